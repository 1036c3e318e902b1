"""The logs of a running instance are never much longer than five megabytes, and neither is the copy before."""

from __future__ import annotations

from pathlib import Path

from letserver.up.folder import open_log, put_long_log_aside


def test_log_of_a_running_child_is_cut_and_the_child_goes_on_in_it(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    log = tmp_path / "logs" / "web.log"
    with open_log(tmp_path, "web") as child:
        child.write(b"x" * (5 * 1024 * 1024) + b"last\n")
        child.flush()
        put_long_log_aside(tmp_path, "web")
        child.write(b"next\n")
        child.flush()
        assert log.read_bytes() == b"next\n"
        put_long_log_aside(tmp_path, "web")
    assert log.read_bytes() == b"next\n", "a short one stays"
    assert log.with_suffix(".log.1").read_bytes().endswith(b"xlast\n")

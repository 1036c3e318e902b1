"""Allowed entries that permit more than they seem to; `skadi check` names them."""

from __future__ import annotations

import os.path
import shutil

from skadi.entries import Entry

# Programs whose arguments can make them run other programs or write any file.
# fmt: off
CAN_RUN_PROGRAMS = frozenset(
    [
        "awk", "bash", "busybox", "cargo", "composer", "crontab", "curl", "dash", "docker", "dpkg", "ed",
        "emacs", "env", "expect", "find", "ftp", "gawk", "gdb", "git", "go", "ionice", "java", "journalctl",
        "kubectl", "ld.so", "less", "lua", "make", "man", "mawk", "more", "mysql", "nano", "nc", "nice",
        "nmap", "node", "nohup", "npm", "npx", "openssl", "perl", "php", "pip", "pip3", "podman", "psql",
        "python", "python3", "rsync", "ruby", "scp", "screen", "script", "sed", "setsid", "sftp", "sh",
        "socat", "sqlite3", "ssh", "strace", "su", "sudo", "systemctl", "systemd-run", "tar", "taskset",
        "tclsh", "tee", "time", "timeout", "tmux", "vi", "vim", "watch", "wget", "xargs", "yum", "zip",
        "zsh",
    ]
)
# fmt: on


def risks_of(entry: Entry) -> list[str]:
    """Return sentences about what this entry allows beyond its text."""
    risks = []
    if entry.unsafe:
        risks.append("`match: string` lets a message run any command, as in the original; remove it if you can")
    if entry.kind == "command" and not entry.args and entry.max_args > 0 and not entry.unsafe:
        program = os.path.basename(entry.words[0]) if entry.words else ""
        if program in CAN_RUN_PROGRAMS:
            risks.append(
                f"with free arguments {program} can run other programs; say what is allowed with args or max_args"
            )
    if not entry.shell and not entry.refusal and entry.words and not entry.directory:
        path = entry.env.get("PATH")
        if not shutil.which(entry.words[0], path=path) and "/" not in entry.words[0]:
            risks.append(f"{entry.words[0]} was not found on this machine")
    return risks

"""Builds the environment that everything else runs in, then becomes the command it was asked to run.

    python3 -I letserver/bootstrap.py [--exactly-this-python] GROUPS ARGUMENTS...

GROUPS is `base` or `base,dev`; ARGUMENTS go to the environment's Python. -I keeps this folder's modules from passing
for the standard library's. This is the one file that any Python on the machine may have to run: standard library
only, and it must parse on Python 3.6, so that a machine with nothing but an old one gets a sentence instead of a
syntax error.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from typing import Iterator, List, NoReturn, Optional, Tuple

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
OLDEST = (3, 11)
# The order in which others are looked for: those first for which every wheel exists.
NEWER_NAMES = ("python3.12", "python3.11", "python3.13", "python3.14")
GROUPS = {
    "base": ("requirements.txt", ["--require-hashes", "--only-binary", ":all:"]),
    "dev": ("requirements-dev.txt", ["--require-hashes", "--only-binary", ":all:"]),
    # The only one that is compiled; see tests/lanes.
    "mysql": ("requirements-mysql.txt", ["--require-hashes"]),
}
BUILDING = "letserver-building"
LOCK = "letserver-lock"


class Refusal(Exception):
    """The environment cannot be built. The error has one sentence in Chinese and one in English."""


def say(text: str) -> None:
    """Print at once, whatever the terminal's encoding can show."""
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, "replace").decode(encoding), flush=True)


def environment_folder() -> str:
    """Return where the environment is or will be."""
    return os.path.abspath(os.environ.get("LETSERVER_VENV") or os.path.join(ROOT, ".venv"))


def environment_python(folder: str) -> str:
    """Return the environment's interpreter."""
    return os.path.join(folder, "bin", "python")


def stamp_text(folder: str, group: str) -> str:
    """Return what an up-to-date group's stamp says: the requirements' hash and the environment's Python."""
    digest = hashlib.sha256()
    for path in (os.path.join(ROOT, GROUPS[group][0]), os.path.join(folder, "pyvenv.cfg")):
        with open(path, "rb") as file:
            digest.update(file.read())
    return digest.hexdigest()


def is_current(folder: str, group: str) -> bool:
    """Tell whether the group is installed as the requirements say today, by a Python that is still there."""
    try:
        with open(os.path.join(folder, "letserver-" + group)) as file:
            stamp = file.read()
        return (
            stamp == stamp_text(folder, group)
            and not os.path.exists(os.path.join(folder, BUILDING))
            and os.access(environment_python(folder), os.X_OK)
        )
    except OSError:
        return False


def version_of(python: str) -> Optional[Tuple[int, int]]:
    """Return (major, minor) of an interpreter, None if it does not run: version managers leave empty shims."""
    try:
        answer = subprocess.check_output(
            [python, "-c", "import sys; print(sys.version_info[0], sys.version_info[1])"],
            stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
        )
        major, minor = answer.decode().split()
        return int(major), int(minor)
    except (OSError, ValueError, subprocess.CalledProcessError):
        return None


def find_newer_python() -> Optional[str]:
    """Return an interpreter that is new enough, by its versioned name."""
    for name in NEWER_NAMES:
        found = shutil.which(name)
        if found and (version_of(found) or (0, 0)) >= OLDEST:
            return found
    return None


def refuse_old_python() -> NoReturn:
    """Raise the sentence for a machine without a Python that is new enough."""
    here = "%d.%d" % sys.version_info[:2]
    raise Refusal(
        "LetServer 需要 Python 3.11 或更新版本，而 %s 是 %s；请安装后运行：make up PYTHON=python3.11\n"
        "  LetServer needs Python 3.11 or newer and %s is %s; install one, then run: make up PYTHON=python3.11"
        % (sys.executable or "python3", here, sys.executable or "python3", here)
    )


def check_venv_module() -> None:
    """Raise the sentence for a Python whose distribution put `venv` or `ensurepip` into a package of its own."""
    try:
        import ensurepip
        import venv

        del ensurepip, venv
    except ImportError as error:
        package = "python%d.%d-venv" % sys.version_info[:2]
        raise Refusal(
            "这个 Python 缺少 %s 模块；Debian/Ubuntu 请运行：sudo apt-get install %s\n"
            "  This Python lacks the module %s; on Debian or Ubuntu run: sudo apt-get install %s"
            % (error.name, package, error.name, package)
        )


@contextlib.contextmanager
def build_lock(folder: str) -> Iterator[None]:
    """Let one process at a time build."""
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, LOCK), "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            say("  · 等待另一个进程构建环境 · Waiting for another process that builds the environment …")
            fcntl.flock(file, fcntl.LOCK_EX)
        os.set_inheritable(file.fileno(), True)
        yield


def make_environment(folder: str, python_matters: bool) -> None:
    """Leave an environment with a working pip in `folder`; one half built, or of a Python that is gone, is rebuilt."""
    names = set(os.listdir(folder)) - {LOCK}
    ours = BUILDING in names or "pyvenv.cfg" in names
    if names and not ours:
        raise Refusal(
            "%s 不是 Python 虚拟环境，里面有别的文件；请用 LETSERVER_VENV 换一个目录。\n"
            "  %s is not a virtual environment and holds other files; choose another folder with LETSERVER_VENV."
            % (folder, folder)
        )
    version = version_of(environment_python(folder)) if names else None
    wrong_python = version is None or version < OLDEST or (python_matters and version != sys.version_info[:2])
    if BUILDING not in names and not wrong_python:
        return
    check_venv_module()
    say("  · 创建 Python 环境 · Making the Python environment (%s) …" % folder)
    with open(os.path.join(folder, BUILDING), "w"):
        pass
    for name in names - {BUILDING}:
        path = os.path.join(folder, name)
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        else:
            os.remove(path)
    run_logged(folder, [sys.executable, "-m", "venv", folder])
    os.remove(os.path.join(folder, BUILDING))


def install(folder: str, group: str) -> None:
    """Install one group and stamp it."""
    requirements, options = GROUPS[group]
    with open(os.path.join(ROOT, requirements), encoding="utf-8") as file:
        count = sum(1 for line in file if "==" in line and not line.startswith((" ", "#")))
    say("  · 安装依赖 · Installing %d packages (%s), about a minute …" % (count, requirements))
    building = os.path.join(folder, BUILDING)
    with open(building, "w"):
        pass
    pip = [environment_python(folder), "-m", "pip", "--disable-pip-version-check", "--no-input", "install"]
    run_logged(folder, pip + options + ["-r", os.path.join(ROOT, requirements)])
    with open(os.path.join(folder, "letserver-" + group), "w") as file:
        file.write(stamp_text(folder, group))
    os.remove(building)


def run_logged(folder: str, command: List[str]) -> None:
    """Run a command with its output in a log; raise the end of that log as the reason when it fails."""
    path = os.path.join(folder, "letserver-build.log")
    with open(path, "wb") as log:
        # close_fds: the command inherits the build lock, so that it stays held when we are killed and it is not.
        status = subprocess.call(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, close_fds=False
        )
    if status == 0:
        return
    with open(path, encoding="utf-8", errors="replace") as file:
        last_lines = "".join("    " + line for line in file.readlines()[-12:])
    raise Refusal(
        "构建 Python 环境没有成功，日志：%s\n  The Python environment could not be built; the log: %s\n\n%s"
        % (path, path, last_lines)
    )


def ensure(groups: List[str], python_matters: bool = False) -> str:
    """Return the environment's interpreter with these groups installed, building what is missing."""
    folder = environment_folder()
    if python_matters or not all(is_current(folder, group) for group in groups):
        with build_lock(folder):
            make_environment(folder, python_matters)
            for group in groups:
                if not is_current(folder, group):
                    began = time.time()
                    install(folder, group)
                    say("    ✓ %.0f s" % (time.time() - began))
    return environment_python(folder)


def become(command: List[str]) -> NoReturn:
    """Replace this process by the command, so that no extra process is between a terminal and the command."""
    sys.stdout.flush()
    os.execv(command[0], command)


def main(arguments: List[str]) -> int:
    """Build, then become the command. Returns only when there is a reason not to."""
    exactly = arguments[0] == "--exactly-this-python"
    groups, command = arguments[int(exactly)].split(","), arguments[int(exactly) + 1 :]
    folder = environment_folder()
    try:
        if sys.version_info[:2] < OLDEST:
            newer = None if exactly else find_newer_python()
            if newer is None:
                refuse_old_python()
            become([newer, "-I", os.path.abspath(__file__), *arguments])
        # An environment of another Python will do, unless the caller named this one.
        python_matters = exactly and version_of(environment_python(folder)) != sys.version_info[:2]
        python = ensure(groups, python_matters)
    except Refusal as refusal:
        say("\n✗ %s" % refusal)
        return 1
    except KeyboardInterrupt:
        return 130
    os.chdir(ROOT)
    os.environ["PYTHONUNBUFFERED"] = "1"
    become([python, *command])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

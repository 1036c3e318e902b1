"""One run of `make up`, in order.

1. Read the settings, lock the data folder, take the web port: whatever can refuse does so before anything starts.
2. Private Redis, migrations, credentials: one after the other.
3. Web, worker and beat together; the agent once the web answers.
4. Print what a person needs, then keep the children running until the end is asked for.
"""

from __future__ import annotations

import http.client
import os
import resource
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from letserver.embedded import NoSocketFolder, RedisServer, find_redis, ping, place_redis, write_configuration
from letserver.environment import ROOT
from letserver.lifeline import adopt_orphans, die_with_parent
from letserver.private import make_files_private
from letserver.up.children import Child, Program
from letserver.up.configuration import Configuration, agent_environment, read_configuration, server_environment
from letserver.up.first_start import Credentials, agent_file, ensure_credentials, forget_credentials_of_a_lost_database
from letserver.up.folder import Lock, lend_environment, open_data_folder, secret_key, tail
from letserver.up.health import demo_agent_is_awaited, last_answer_of_web
from letserver.up.port import WebPort
from letserver.up.runfolder import redis_folders
from letserver.up.signals import Signals, Stopping
from letserver.up.supervisor import Supervisor
from letserver.up.words import Ready, Refusal, refuse, step, tell_ready, tell_stopped, tell_stopping

_MIGRATE_SECONDS = 600.0
_WEB_SECONDS = 60.0
_REDIS_SECONDS = 10.0
_AGENT_SECONDS = 10.0
_HOPELESS_FAILURES = 3
# More would only make programs slow that close every possible descriptor one by one.
_ENOUGH_FILES = 1_048_576


def main() -> int:
    """Run one instance until the end is asked for. Returns the exit status."""
    began = time.monotonic()
    make_files_private()
    _raise_file_limit()
    _end_with_make()
    adopt_orphans()
    signals = Signals()
    try:
        with ExitStack() as stack:
            _run(signals, stack, began)
    except Refusal as refusal:
        refuse(refusal)
        return 1
    except Stopping:
        tell_stopped()
    return 0


def _run(signals: Signals, stack: ExitStack, began: float) -> None:
    configuration = read_configuration()
    open_data_folder(configuration.data)
    lock = Lock(configuration.data)
    stack.callback(lock.release)
    port = WebPort(host=configuration.host, port=configuration.port, shared=configuration.web_processes > 1)
    stack.callback(port.close)
    redis = _place_redis(configuration, stack)
    supervisor = Supervisor(data=configuration.data, lock_descriptor=lock.descriptor, signals=signals)
    stack.callback(supervisor.stop)
    stack.callback(_tell_stopping, signals)

    environment = server_environment(
        configuration,
        secret_key=configuration.secret_key or secret_key(configuration.data),
        redis_url=redis.url if redis is not None else configuration.redis_url or "",
    )
    lend_environment(configuration.data, environment)
    if redis is not None:
        _start_redis(supervisor, redis, environment)
    credentials = _prepare_database(supervisor, configuration, environment)
    step("启动网站、任务进程和定时器", "Starting web, worker and beat")
    _start_server(supervisor, configuration, environment, port)
    _wait_for_web(supervisor, configuration)
    _start_agent(supervisor, configuration, credentials)
    tell_ready(
        Ready(
            url=configuration.local_url,
            username=credentials.username,
            password=credentials.password,
            user_token=credentials.user_token,
            data=configuration.data,
            seconds=time.monotonic() - began,
        )
    )
    while True:
        supervisor.tick()


def _tell_stopping(signals: Signals) -> None:
    if signals.stop_requests:
        tell_stopping()


def _place_redis(configuration: Configuration, stack: ExitStack) -> RedisServer | None:
    """Return the private server to start, None where the environment names one."""
    if configuration.redis_url is not None:
        return None
    binary = find_redis()
    if binary is None:
        raise Refusal(
            "找不到 Redis：请安装 valkey-server 或 redis-server，或用 LETSERVER_REDIS_URL 指定一个。",
            "No Redis was found: install valkey-server or redis-server, or name one with LETSERVER_REDIS_URL.",
        )
    try:
        return place_redis(binary, redis_folders(configuration.data, stack))
    except NoSocketFolder as error:
        raise Refusal(
            "没有目录可以放私有 Redis 的 Unix 套接字：请把 TMPDIR 设为一个较短、只含普通字符的路径。",
            "No folder takes the Unix socket of the private Redis: set TMPDIR to a short path of plain characters.",
        ) from error


def _start_redis(supervisor: Supervisor, redis: RedisServer, environment: Mapping[str, str]) -> None:
    step("启动私有 Redis", "Starting a private Redis")
    write_configuration(redis)
    program = Program(name="redis", arguments=redis.command, environment=environment, folder=redis.folder, stage=0)
    child = supervisor.start(program)
    deadline = time.monotonic() + _REDIS_SECONDS
    while not ping(redis):
        _give_up_if_hopeless(child, late=time.monotonic() > deadline)
        supervisor.tick(0.03)


def _prepare_database(
    supervisor: Supervisor, configuration: Configuration, environment: Mapping[str, str]
) -> Credentials:
    step("迁移数据库", "Migrating the database")
    forget_credentials_of_a_lost_database(configuration)
    supervisor.run_step(
        "migrate",
        [sys.executable, str(ROOT / "manage.py"), "migrate", "--no-input", "--verbosity", "1"],
        environment=environment,
        seconds=_MIGRATE_SECONDS,
    )
    return ensure_credentials(supervisor, configuration, environment)


def _start_server(
    supervisor: Supervisor, configuration: Configuration, environment: Mapping[str, str], port: WebPort
) -> None:
    python = sys.executable
    for number in range(1, configuration.web_processes + 1):
        name = "web" if configuration.web_processes == 1 else f"web-{number}"
        web = [python, "-m", "letserver.web"]
        supervisor.start(Program(name=name, arguments=web, environment=environment, stage=1, port=port))
    celery = [python, "-m", "celery", "-A", "letserver"]
    worker = [*celery, "worker", "--loglevel", "INFO", "--without-mingle", "--without-gossip"]
    sweeps = [*worker, "--concurrency", "2"]
    supervisor.start(Program(name="worker", arguments=sweeps, environment=environment, stage=1))
    threads = str(configuration.courier_threads)
    courier = [*worker, "--queues", "deliveries", "--pool", "threads", "--concurrency", threads, "-n", "courier@%h"]
    supervisor.start(Program(name="courier", arguments=courier, environment=environment, stage=1))
    beat = [*celery, "beat", "--loglevel", "INFO", "--pidfile", ""]
    supervisor.start(Program(name="beat", arguments=beat, environment=environment, stage=1))


def _wait_for_web(supervisor: Supervisor, configuration: Configuration) -> None:
    web = next(child for child in supervisor.children if child.program.port is not None)
    deadline = time.monotonic() + _WEB_SECONDS
    while (status := last_answer_of_web(configuration)) != http.client.NO_CONTENT:
        if status and time.monotonic() > deadline:
            raise Refusal(
                f"网站对 /status 的回答是 {status}，应为 204；日志：{web.log}",
                f"The web answers /status with {status} instead of 204; its log: {web.log}",
                details=tail(web.log),
            )
        _give_up_if_hopeless(web, late=time.monotonic() > deadline)
        supervisor.tick(0.1)


def _give_up_if_hopeless(child: Child, *, late: bool) -> None:
    """Raise Refusal when a child cannot even start once."""
    if late or child.failures >= _HOPELESS_FAILURES:
        name = child.program.name
        raise Refusal(
            f"{name} 无法启动，日志：{child.log}",
            f"{name} does not start; its log: {child.log}",
            details=tail(child.log),
        )


def _start_agent(supervisor: Supervisor, configuration: Configuration, credentials: Credentials) -> None:
    """Start the demo agent and wait for its first call, so that the command that is printed next works at once."""
    arguments = [sys.executable, "-m", "skadi", "--config", str(agent_file(configuration))]
    agent = supervisor.start(
        Program(name="agent", arguments=arguments, environment=agent_environment(configuration), stage=2)
    )
    deadline = time.monotonic() + _AGENT_SECONDS
    while (
        demo_agent_is_awaited(configuration, token=credentials.user_token)
        and not agent.given_up
        and time.monotonic() < deadline
    ):
        supervisor.tick(0.05)


def _raise_file_limit() -> None:
    """Raise the soft limit of open files to the hard one: every parked poll is an open file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _ENOUGH_FILES if hard == resource.RLIM_INFINITY else min(hard, _ENOUGH_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _end_with_make() -> None:
    """Stop when the `make` that we replaced a recipe of is killed: it takes us for its child, and so does the user."""
    try:
        parent = Path(f"/proc/{os.getppid()}/comm").read_text(encoding="utf-8").strip()
    except OSError:
        return
    if parent in ("make", "gmake"):
        die_with_parent(signal.SIGTERM)

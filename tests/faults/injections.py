"""The faults themselves: each makes one kind happen in a running product, waits as long as it lasts, and counts it."""

from __future__ import annotations

import errno
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.journal import Journal
from tests.faults.load import Load
from tests.faults.product import REAL_AGENTS, WEBS, World
from tests.faults.proxy import Proxy
from tests.waiting import until

FREEZE_SECONDS = 15.0
SLOW_SECONDS = 6.0
_SLOW_BY_SECONDS = 0.5
# Of the pieces of data, for 5 % of the calls or more: a call is two pieces to the web and some twenty to the database.
_RESET_SHARES = {"agent-web": 0.05, "web-database": 0.004}


@dataclass(slots=True)
class Scene:
    """A cell while it runs. `measured` holds the moments from which recovery counts, `remarks` lines for the table."""

    world: World
    load: Load
    journal: Journal
    landed: int = 0
    measured: list[float] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    @contextmanager
    def fault(self, component: str, kind: str, *, lasts: bool = False) -> Iterator[None]:
        """Write down a fault that lasts as long as the block. Recovery counts from its end if it lasts."""
        began = self.journal.note("fault", component=component, kind=kind)
        try:
            yield
        finally:
            ended = self.journal.note("healed", component=component, kind=kind)
        self.landed += 1
        self.measured.append(ended if lasts else began)

    def count(self, component: str, kind: str) -> None:
        """Write down a fault of a moment that has landed."""
        self.measured.append(self.journal.note("fault", component=component, kind=kind))
        self.journal.note("healed", component=component, kind=kind)
        self.landed += 1

    def pause(self, least: float, most: float) -> None:
        """Let the load go on for a while."""
        time.sleep(random.uniform(least, most))


Strike = Callable[[Scene], None]


def _any_of(component: str) -> str:
    members = {"web": WEBS, "agent": REAL_AGENTS}.get(component, (component,))
    return random.choice(members)


def kill(component: str, least: float = 2.0, most: float = 4.0) -> Strike:
    """kill -9 of one process; the keeper starts it again. Old clients forget their job along with a real agent."""

    def strike(scene: Scene) -> None:
        name = _any_of(component)
        part = scene.world.parts[name]
        until(lambda: part.is_alive, seconds=30)
        starts = part.starts
        with scene.fault(name, "kill -9"):
            scene.world.kill(name)
            if component == "agent":
                random.choice(scene.load.old_agents).crash()
            until(lambda: part.starts > starts, seconds=30)
        scene.pause(least, most)

    return strike


def freeze(component: str) -> Strike:
    """SIGSTOP for 15 s: longer than a lease."""

    def strike(scene: Scene) -> None:
        name = _any_of(component)
        with scene.fault(name, "SIGSTOP", lasts=True):
            scene.world.freeze(name)
            time.sleep(FREEZE_SECONDS)
            scene.world.thaw(name)
        scene.pause(1.5, 3.0)

    return strike


def restart(component: str, *, down_seconds: float = 0.0, pause: tuple[float, float] = (2.0, 4.0)) -> Strike:
    """A polite end and a start, as at an upgrade."""

    def strike(scene: Scene) -> None:
        name = _any_of(component)
        with scene.fault(name, "restart", lasts=down_seconds > 0):
            scene.world.take_away(name)
            time.sleep(down_seconds)
            scene.world.bring_back(name)
        scene.pause(*pause)

    return strike


def flush_redis(scene: Scene) -> None:
    """FLUSHALL, every 3 s."""
    import redis

    with scene.fault("redis", "FLUSHALL"), redis.Redis.from_url(scene.world.redis_url) as client:
        client.flushall()
    time.sleep(3.0)


def start_without_redis(scene: Scene) -> None:
    """A web process or the worker starts while there is no Redis, and there is none for the whole load."""
    name = random.choice((*WEBS, "worker"))
    with scene.fault(name, "start without Redis"):
        scene.world.take_away(name)
        scene.world.bring_back(name)
    scene.pause(3.0, 5.0)


def _proxy(scene: Scene, link: str) -> Proxy:
    proxy = scene.world.link if link == "agent-web" else scene.world.database_link
    assert proxy is not None
    return proxy


def slow(link: str, *, commits_only: bool = False) -> Strike:
    """A link on which a question and its answer take 500 ms, for some seconds; or only a COMMIT does."""

    def strike(scene: Scene) -> None:
        proxy = _proxy(scene, link)
        delayed = proxy.delayed
        with scene.fault(f"link {link}", "latency", lasts=True):
            if commits_only:
                proxy.commit_latency_seconds = _SLOW_BY_SECONDS
            else:
                proxy.latency_seconds = _SLOW_BY_SECONDS / 2
            time.sleep(SLOW_SECONDS)
            proxy.heal()
        assert proxy.delayed > delayed, "nothing was slow"
        scene.pause(1.5, 3.0)

    return strike


def hole(link: str) -> Strike:
    """A link that swallows everything for 15 s."""

    def strike(scene: Scene) -> None:
        proxy = _proxy(scene, link)
        swallowed = proxy.swallowed
        with scene.fault(f"link {link}", "black hole", lasts=True):
            proxy.open_hole()
            time.sleep(FREEZE_SECONDS)
            proxy.heal()
        assert proxy.swallowed > swallowed, "nothing was sent into the hole"
        scene.pause(2.0, 4.0)

    return strike


def half_open(link: str) -> Strike:
    """Every connection ends for its client, and the server is not told for some seconds."""

    def strike(scene: Scene) -> None:
        proxy = _proxy(scene, link)
        before = proxy.landed
        with scene.fault(f"link {link}", "half-open"):
            while proxy.landed == before:
                proxy.half_open()
                time.sleep(0.05)
            time.sleep(3.0)
            proxy.heal()
        scene.pause(1.0, 2.0)

    return strike


def resets(link: str) -> Strike:
    """One call in twenty or more loses its connection midway. Counted by the proxy."""

    def strike(scene: Scene) -> None:
        proxy = _proxy(scene, link)
        proxy.reset_some(_RESET_SHARES[link])
        _count_what_lands(scene, f"link {link}", "RST")

    return strike


def cut_commits(scene: Scene) -> None:
    """One COMMIT in three reaches MariaDB, and the web never hears of it. Counted by the proxy."""
    assert scene.world.database_link is not None
    scene.world.database_link.cut_after_commit(0.33)
    _count_what_lands(scene, "link web-database", "cut after COMMIT")


def lose_claims(scene: Scene) -> None:
    """Two answers in five that bring a job never reach the agent; the server cannot know. Counted by the proxy."""
    assert scene.world.link is not None
    scene.world.link.lose_claims(0.4)
    _count_what_lands(scene, "link agent-web", "answer of a claim lost")


def replay_puts(scene: Scene) -> None:
    """Whatever agents put reaches the server three times, out of order. Counted by the proxy."""
    assert scene.world.link is not None
    scene.world.link.replay_puts()
    _count_what_lands(scene, "link agent-web", "PUT replayed")


def _count_what_lands(scene: Scene, component: str, kind: str) -> None:
    """Wait some seconds and take over what the proxies counted."""
    deadline = time.monotonic() + 3.0
    proxies = scene.world.proxies
    while time.monotonic() < deadline:
        before = sum(proxy.landed for proxy in proxies)
        time.sleep(0.2)
        for _ in range(sum(proxy.landed for proxy in proxies) - before):
            scene.count(component, kind)


def fill_disk(scene: Scene) -> None:
    """The disk of the database is full for 4 s."""
    filler = scene.world.folder / "data" / "filler"
    component = "mariadbd" if scene.world.mariadb is not None else "sqlite"
    with scene.fault(component, "disk full", lasts=True):
        full = 0
        deadline = time.monotonic() + 4.0
        while time.monotonic() < deadline:
            full += _fill(filler)
            time.sleep(0.1)
        filler.unlink()
    assert full, "the disk was never full"
    scene.pause(5.0, 7.0)


def _fill(path: Path) -> bool:
    """Take every byte that is left; tell whether the disk is full now."""
    try:
        with path.open("ab", buffering=0) as file:
            while True:
                file.write(bytes(65_536))
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        return True


def take_redis_away(scene: Scene) -> None:
    scene.world.take_away("redis")


def everything_once(scene: Scene) -> None:
    """The short form: every kind that does not take long, one after the other."""
    soon = (0.3, 0.8)
    quick = [kill(part, *soon) for part in ("web", "worker", "agent", "redis", "beat", "web", "agent", "redis")]
    quick.append(kill("mariadbd" if scene.world.mariadb is not None else "worker", *soon))
    quick.append(restart("web", pause=soon))
    for strike in quick:
        strike(scene)

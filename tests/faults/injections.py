"""Fault injections: each injects one kind of fault into a running product, waits until it is over, and counts it."""

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
from tests.faults.product import REAL_AGENTS, WEBS, Product
from tests.faults.proxy import Proxy
from tests.waiting import until

FREEZE_SECONDS = 15.0
SLOW_SECONDS = 6.0
_SLOW_BY_SECONDS = 0.5
# Shares of the pieces of data that reset at least 5 % of the calls: a call has two pieces to the web and about twenty
# to the database.
_RESET_SHARES = {"agent-web": 0.05, "web-database": 0.004}


@dataclass(slots=True)
class Scene:
    """A running cell. `measured` holds the times from which recovery is measured, `remarks` lines for the table."""

    product: Product
    load: Load
    journal: Journal
    landed: int = 0
    measured: list[float] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    @contextmanager
    def fault(self, component: str, kind: str, *, lasts: bool = False) -> Iterator[None]:
        """Log a fault that lasts as long as the block. Recovery is measured from its start, or its end if `lasts`."""
        began = self.journal.note("fault", component=component, kind=kind)
        try:
            yield
        finally:
            ended = self.journal.note("healed", component=component, kind=kind)
        self.landed += 1
        self.measured.append(ended if lasts else began)

    def count(self, component: str, kind: str) -> None:
        """Log an instantaneous fault that hit a connection."""
        self.measured.append(self.journal.note("fault", component=component, kind=kind))
        self.journal.note("healed", component=component, kind=kind)
        self.landed += 1

    def pause(self, least: float, most: float) -> None:
        """Let the load continue for a random time in seconds."""
        time.sleep(random.uniform(least, most))


Injection = Callable[[Scene], None]


def _any_of(component: str) -> str:
    members = {"web": WEBS, "agent": REAL_AGENTS}.get(component, (component,))
    return random.choice(members)


def kill(component: str, least: float = 2.0, most: float = 4.0) -> Injection:
    """kill -9 of one process, which is started again at once. With a real agent, an old client crashes too."""

    def inject(scene: Scene) -> None:
        name = _any_of(component)
        part = scene.product.parts[name]
        until(lambda: part.is_alive, seconds=30)
        starts = part.starts
        with scene.fault(name, "kill -9"):
            scene.product.kill(name)
            if component == "agent":
                random.choice(scene.load.old_agents).crash()
            until(lambda: part.starts > starts, seconds=30)
        scene.pause(least, most)

    return inject


def freeze(component: str) -> Injection:
    """SIGSTOP for 15 s, longer than a lease."""

    def inject(scene: Scene) -> None:
        name = _any_of(component)
        with scene.fault(name, "SIGSTOP", lasts=True):
            scene.product.freeze(name)
            time.sleep(FREEZE_SECONDS)
            scene.product.thaw(name)
        scene.pause(1.5, 3.0)

    return inject


def restart(component: str, *, down_seconds: float = 0.0, pause: tuple[float, float] = (2.0, 4.0)) -> Injection:
    """SIGTERM and a new start, as in an upgrade."""

    def inject(scene: Scene) -> None:
        name = _any_of(component)
        with scene.fault(name, "restart", lasts=down_seconds > 0):
            scene.product.take_away(name)
            time.sleep(down_seconds)
            scene.product.bring_back(name)
        scene.pause(*pause)

    return inject


def flush_redis(scene: Scene) -> None:
    """FLUSHALL, every 3 s."""
    import redis

    with scene.fault("redis", "FLUSHALL"), redis.Redis.from_url(scene.product.redis_url) as client:
        client.flushall()
    time.sleep(3.0)


def start_without_redis(scene: Scene) -> None:
    """Restart a web process or the worker without Redis, which is down for the whole cell."""
    name = random.choice((*WEBS, "worker"))
    with scene.fault(name, "start without Redis"):
        scene.product.take_away(name)
        scene.product.bring_back(name)
    scene.pause(3.0, 5.0)


def _proxy(scene: Scene, link: str) -> Proxy:
    proxy = scene.product.link if link == "agent-web" else scene.product.database_link
    assert proxy is not None
    return proxy


def slow(link: str, *, commits_only: bool = False) -> Injection:
    """Add 500 ms to each round trip of a link, or to each COMMIT, for some seconds."""

    def inject(scene: Scene) -> None:
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

    return inject


def hole(link: str) -> Injection:
    """Drop all bytes on a link for 15 s."""

    def inject(scene: Scene) -> None:
        proxy = _proxy(scene, link)
        swallowed = proxy.swallowed
        with scene.fault(f"link {link}", "black hole", lasts=True):
            proxy.open_hole()
            time.sleep(FREEZE_SECONDS)
            proxy.heal()
        assert proxy.swallowed > swallowed, "nothing was sent into the hole"
        scene.pause(2.0, 4.0)

    return inject


def half_open(link: str) -> Injection:
    """Close every connection for its client; the server does not notice for some seconds."""

    def inject(scene: Scene) -> None:
        proxy = _proxy(scene, link)
        before = proxy.landed
        with scene.fault(f"link {link}", "half-open"):
            while proxy.landed == before:
                proxy.half_open()
                time.sleep(0.05)
            time.sleep(3.0)
            proxy.heal()
        scene.pause(1.0, 2.0)

    return inject


def resets(link: str) -> Injection:
    """Reset the connection of at least one call in twenty. The proxy counts them."""

    def inject(scene: Scene) -> None:
        proxy = _proxy(scene, link)
        proxy.reset_some(_RESET_SHARES[link])
        _count_what_lands(scene, f"link {link}", "RST")

    return inject


def cut_commits(scene: Scene) -> None:
    """Cut the connection after one COMMIT in three, so that its answer is lost. The proxy counts them."""
    assert scene.product.database_link is not None
    scene.product.database_link.cut_after_commit(0.33)
    _count_what_lands(scene, "link web-database", "cut after COMMIT")


def lose_claims(scene: Scene) -> None:
    """Lose two of five answers with a job on their way to the agent. The proxy counts them."""
    assert scene.product.link is not None
    scene.product.link.lose_claims(0.4)
    _count_what_lands(scene, "link agent-web", "answer of a claim lost")


def replay_puts(scene: Scene) -> None:
    """Deliver every PUT of an agent three times, out of order. The proxy counts them."""
    assert scene.product.link is not None
    scene.product.link.replay_puts()
    _count_what_lands(scene, "link agent-web", "PUT replayed")


def _count_what_lands(scene: Scene, component: str, kind: str) -> None:
    """Wait some seconds and log the faults that the proxies count meanwhile."""
    deadline = time.monotonic() + 3.0
    proxies = scene.product.proxies
    while time.monotonic() < deadline:
        before = sum(proxy.landed for proxy in proxies)
        time.sleep(0.2)
        for _ in range(sum(proxy.landed for proxy in proxies) - before):
            scene.count(component, kind)


def fill_disk(scene: Scene) -> None:
    """Fill the disk of the database for 4 s."""
    filler = scene.product.folder / "data" / "filler"
    component = "mariadbd" if scene.product.mariadb is not None else "sqlite"
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
    """Write until the disk is full; return True."""
    try:
        with path.open("ab", buffering=0) as file:
            while True:
                file.write(bytes(65_536))
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        return True


def take_redis_away(scene: Scene) -> None:
    scene.product.take_away("redis")


def everything_once(scene: Scene) -> None:
    """Inject every quick fault once, for the short form."""
    soon = (0.3, 0.8)
    quick = [kill(part, *soon) for part in ("web", "worker", "agent", "redis", "beat", "web", "agent", "redis")]
    quick.append(kill("mariadbd" if scene.product.mariadb is not None else "worker", *soon))
    quick.append(restart("web", pause=soon))
    for inject in quick:
        inject(scene)

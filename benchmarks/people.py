"""Users with tokens, and webhook channels to the simulator."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.product import Product

CHANNELS = 8
_PEOPLE = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    id: str
    token: str


def people(product: Product) -> list[Person]:
    """Return eight users, each with the channels c0 to c7; create what is missing."""
    from accounts.models import TokenScope
    from accounts.services.tokens import own_token
    from notifications.channels.service import create_channel
    from notifications.models import Channel, Level
    from tests.factories import make_user

    found = []
    for number in range(_PEOPLE):
        user = make_user(f"bench{number}")
        for channel in range(CHANNELS):
            if not Channel.objects.filter(owner=user, name=f"c{channel}").exists():
                create_channel(
                    owner_id=user.pk,
                    name=f"c{channel}",
                    driver="webhook",
                    settings={"url": f"{product.sim.base}/hook/{number}-{channel}"},
                    levels=Level.values,
                    actor="bench",
                )
        token = own_token(user=user, scope=TokenScope.FULL, actor="bench")
        found.append(Person(id=user.pk, token=token))
    return found

"""Where copies go: rendezvous hashing (Thaler and Ravishankar, 1998) over nodes, spread over zones first.

Every key ranks all nodes by a hash of its own, so that each node gets an equal share, nobody keeps a table, and a node
that comes or goes changes one copy at most of any key. A zone gives its best node before any zone gives a second one.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """A node to put copies on.

    Attributes:
        name: Of the node.
        zone: Empty: a zone of its own.
        identity: What it is in the swarm; two places of one identity are one. Empty: its name.
        copies_at_most: How many copies it can hold.
    """

    name: str
    zone: str = ""
    identity: str = ""
    copies_at_most: int = 1


def place(key: bytes, places: Iterable[Place], copies: int, *, held: Iterable[str] = ()) -> dict[str, int]:
    """Who shall get how many copies; the total is less than ``copies`` only where there is no more room for them.

    Args:
        key: What is placed; any bytes.
        places: Who may hold it. Their order does not matter.
        copies: Wanted altogether.
        held: Names of ``places`` that hold a copy, once for each: those count, and are kept.

    Returns:
        Copies by name, those of ``held`` included. Cost: one hash a place.
    """
    held = list(held)
    known = _distinct(places, held)
    zones: dict[str, list[tuple[int, bytes, Place]]] = {}
    wanted: dict[str, int] = {}
    filled: dict[str, int] = {}
    for name in held:
        if name in known:
            wanted[name] = wanted.get(name, 0) + 1
            zone = _zone(known[name])
            filled[zone] = filled.get(zone, 0) + 1
    for one in known.values():
        slots = zones.setdefault(_zone(one), [])
        slots += ((nth, _rank(key, one), one) for nth in range(wanted.get(one.name, 0), one.copies_at_most))
    rounds = [
        (filled.get(zone, 0) + nth, slot[1], slot[2])
        for zone, slots in zones.items()
        for nth, slot in enumerate(sorted(slots, key=_slot_order))
    ]
    missing = max(0, copies - sum(wanted.values()))
    for _round, _score, one in sorted(rounds, key=_round_order)[:missing]:
        wanted[one.name] = wanted.get(one.name, 0) + 1
    return wanted


def _distinct(places: Iterable[Place], held: list[str]) -> dict[str, Place]:
    """One place of each identity: one that holds a copy, else the one whose name comes first."""
    by_identity: dict[str, Place] = {}
    for one in sorted(places, key=lambda it: (it.name not in held, it.name)):
        by_identity.setdefault(one.identity or f"\0{one.name}", one)
    return {one.name: one for one in by_identity.values()}


def _zone(one: Place) -> str:
    return one.zone or f"\0{one.name}"


def _rank(key: bytes, one: Place) -> bytes:
    """The lower, the better. Hashed by name, so that it does not change while a node cannot be asked for its id."""
    return hashlib.sha256(len(key).to_bytes(4, "big") + key + one.name.encode()).digest()


def _slot_order(slot: tuple[int, bytes, Place]) -> tuple[int, bytes]:
    return slot[0], slot[1]


def _round_order(slot: tuple[int, bytes, Place]) -> tuple[int, bytes]:
    return slot[0], slot[1]

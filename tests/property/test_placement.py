"""Laws of placement: everybody agrees, zones first, a copy a node, and a node that comes or goes moves one copy."""

from hypothesis import given
from hypothesis import strategies as st

from noisefs.core.domain.nodes.placement import Place, place

KEYS = st.binary(min_size=1, max_size=40)
NAMES = st.text("abcdefgh", min_size=1, max_size=3)
ZONES = st.sampled_from(["", "east", "west", "north"])


@st.composite
def fleets(draw: st.DrawFn, *, clusters: bool = True) -> list[Place]:
    names = draw(st.lists(NAMES, unique=True, min_size=1, max_size=10))
    most = st.integers(1, 3) if clusters else st.just(1)
    return [Place(name, draw(ZONES), copies_at_most=draw(most)) for name in names]


def zone_of(one: Place) -> str:
    return one.zone or f"own {one.name}"


@given(KEYS, fleets(), st.integers(1, 8))
def test_the_order_of_nodes_does_not_matter(key: bytes, fleet: list[Place], copies: int) -> None:
    assert place(key, fleet, copies) == place(key, list(reversed(fleet)), copies)


@given(KEYS, fleets(), st.integers(1, 8))
def test_as_many_copies_as_wanted_or_as_there_is_room_for(key: bytes, fleet: list[Place], copies: int) -> None:
    goal = place(key, fleet, copies)

    assert sum(goal.values()) == min(copies, sum(one.copies_at_most for one in fleet))
    assert all(0 < goal[one.name] <= one.copies_at_most for one in fleet if one.name in goal)


@given(KEYS, fleets(), st.integers(1, 8))
def test_no_zone_has_two_copies_more_than_one_with_room(key: bytes, fleet: list[Place], copies: int) -> None:
    goal = place(key, fleet, copies)
    zones = {zone_of(one) for one in fleet}
    have = {zone: sum(goal.get(one.name, 0) for one in fleet if zone_of(one) == zone) for zone in zones}
    room = {zone: sum(one.copies_at_most for one in fleet if zone_of(one) == zone) for zone in zones}

    for zone in zones:
        if have[zone] < room[zone]:
            assert all(have[other] <= have[zone] + 1 for other in zones)


@given(KEYS, fleets(clusters=False), st.integers(1, 6), st.data())
def test_a_node_that_goes_moves_its_own_copy_only(
    key: bytes, fleet: list[Place], copies: int, data: st.DataObject
) -> None:
    gone = data.draw(st.sampled_from(fleet))
    before = set(place(key, fleet, copies))
    after = set(place(key, [one for one in fleet if one != gone], copies))

    assert before - after <= {gone.name}
    assert len(after - before) <= 1


@given(KEYS, fleets(), st.integers(1, 6), st.data())
def test_what_is_held_is_kept_and_counts(key: bytes, fleet: list[Place], copies: int, data: st.DataObject) -> None:
    held = data.draw(st.lists(st.sampled_from([one.name for one in fleet]), unique=True))
    goal = place(key, fleet, copies, held=held)

    assert set(held) <= set(goal)
    assert sum(goal.values()) == max(len(held), min(copies, sum(one.copies_at_most for one in fleet)))


@given(KEYS, st.integers(1, 4))
def test_two_addresses_of_one_node_are_one(key: bytes, copies: int) -> None:
    fleet = [Place("a", identity="peer 1"), Place("b", identity="peer 1"), Place("c", identity="peer 2")]

    goal = place(key, fleet, copies)

    assert not {"a", "b"} <= set(goal)
    assert sum(goal.values()) == min(copies, 2)


def test_an_address_that_holds_a_copy_stands_for_its_node() -> None:
    fleet = [Place("a", identity="peer 1"), Place("b", identity="peer 1"), Place("c", identity="peer 2")]

    assert place(b"key", fleet, 1, held=["b"]) == {"b": 1}


def test_every_node_gets_about_the_same() -> None:
    fleet = [Place(f"node {number}", zone=f"zone {number % 3}") for number in range(6)]
    got = dict.fromkeys((one.name for one in fleet), 0)
    for number in range(3000):
        for name in place(number.to_bytes(16, "big"), fleet, 2):
            got[name] += 1

    assert all(850 < count < 1150 for count in got.values())

"""Lifecycle rules carried out: what goes, when, and what stays whatever rules say."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from noisefs.adapters.outbound.memory.entropy import SeededEntropy
from noisefs.core.domain.buckets.lifecycle import DAY_US, KIND, Filter, Rule, encode_rules
from noisefs.core.domain.buckets.object_lock import GOVERNANCE, Wish
from noisefs.core.domain.records import LockRule
from noisefs.core.ports.index import Table
from noisefs.core.ports.telemetry import Counter
from noisefs.core.services.namespace.background.lifecycle import SLICE, Lifecycle
from tests.support.namespace import ALICE, PLAIN, World, stream

DAY_S = 86_400.0


async def rule(world: World, *rules: Rule) -> None:
    """Give ALICE's bucket these rules."""
    await world.buckets.configure(ALICE, "bucket", KIND, encode_rules(b"", rules) if rules else None)


async def after(world: World, days: float) -> int:
    """Let days pass, and rules be carried out; returns how many things went."""
    world.clock.advance(days * DAY_S)
    gone = await world.store.lifecycle.run()
    world.check()
    return gone


async def history(world: World, key: str = "k") -> list[tuple[str, bool, bool]]:
    """All versions of a key, the newest first: id, whether it is a delete marker, whether it is current."""
    page = await world.objects.list_history(ALICE, "bucket", prefix=key)
    return [(entry.version_id, entry.version.delete_marker, entry.latest) for entry in page.entries]


async def test_an_object_goes_at_the_midnight_after_its_days(world: World) -> None:
    """Not before, and only what the filter is about."""
    await rule(world, Rule("r", enabled=True, filter=Filter("logs/", above_bytes=1), expire_days=2))
    for key, data in (("logs/a", b"abc"), ("logs/small", b"a"), ("other", b"abc")):
        await world.put(key, data)
    midnight_s = (-world.clock.now_us() % DAY_US) / 1e6
    world.clock.advance(midnight_s + 2 * DAY_S - 1)
    assert await world.store.lifecycle.run() == 0
    world.clock.advance(1)
    assert await world.store.lifecycle.run() == 1
    assert await world.keys() == ["logs/small", "other"]
    assert world.telemetry.counted(Counter.LIFECYCLE, ("expire",)) == 1
    world.check()


async def test_a_date_that_a_client_named_makes_nothing_older(world: World) -> None:
    """A file with an old modification time was taken today."""
    await rule(world, Rule("r", enabled=True, expire_days=3))
    old = replace(PLAIN, modified_us=1_000_000)
    await world.objects.put(ALICE, "bucket", "k", stream(b"x" * 5000), old)
    assert await after(world, 2) == 0
    assert await after(world, 2) == 1


@pytest.mark.parametrize(
    "rules", [(), (Rule("r", enabled=False, expire_days=1),), (Rule("r", enabled=True, abort_days=1),)]
)
async def test_nothing_goes_without_a_rule(world: World, rules: Sequence[Rule]) -> None:
    """None, a disabled one, one about other things."""
    await rule(world, *rules)
    await world.put("k", b"x")
    assert await after(world, 50) == 0


async def test_a_bucket_with_versions_gets_a_delete_marker(world: World) -> None:
    """The version stays until a rule about older ones names it; then the marker goes too."""
    await world.versions.configure(ALICE, "bucket", enabled=True)
    await rule(world, Rule("r", enabled=True, expire_days=1, noncurrent_days=2))
    version = await world.put("k", b"x" * 5000)
    assert await after(world, 3) == 1
    assert [row[1:] for row in await history(world)] == [(True, True), (False, False)]
    assert await world.store.lifecycle.run() == 0
    assert await after(world, 1) == 0
    assert await after(world, 2) == 1
    assert [row[1:] for row in await history(world)] == [(True, True)]
    assert version.version_id not in [row[0] for row in await history(world)]
    assert await after(world, 1) == 1
    assert await history(world) == []


async def test_newer_older_versions_stay(world: World) -> None:
    """So many as the rule says, however old they are; across pages of the look."""
    await world.versions.configure(ALICE, "bucket", enabled=True)
    await rule(world, Rule("r", enabled=True, noncurrent_days=1, newer_noncurrent=2))
    for key in ("k", "kk"):
        for number in range(6):
            await world.put(key, bytes([number]))
    versions = await history(world, "k")
    assert await after(world, 5) == 6
    left = await history(world, "k")
    assert left == [row for at, row in enumerate(versions) if at % 6 < 3]
    assert await after(world, 5) == 0


async def test_a_version_counts_its_days_from_when_it_ceased_to_be_current(world: World) -> None:
    """Not from when it was made."""
    await world.versions.configure(ALICE, "bucket", enabled=True)
    await rule(world, Rule("r", enabled=True, noncurrent_days=3))
    await world.put("k", b"one")
    assert await after(world, 30) == 0
    await world.put("k", b"two")
    assert await after(world, 2) == 0
    assert await after(world, 2) == 1


async def test_a_delete_marker_goes_only_when_nothing_is_below_it(world: World) -> None:
    """Asked for by name."""
    await world.versions.configure(ALICE, "bucket", enabled=True)
    await rule(world, Rule("r", enabled=True, expire_markers=True))
    version = await world.put("k", b"x")
    await world.objects.delete(ALICE, "bucket", "k")
    assert await after(world, 1) == 0
    await world.objects.delete(ALICE, "bucket", "k", version_id=version.version_id)
    assert await after(world, 1) == 1
    assert world.rows(Table.VERSIONS) == []
    assert world.telemetry.counted(Counter.LIFECYCLE, ("expire_marker",)) == 1


async def test_a_lock_is_stronger(world: World) -> None:
    """A retained version stays until its retention is over."""
    await world.buckets.create(ALICE, "locked", lock=True)
    await world.versions.set_lock(ALICE, "locked", LockRule())
    raw = encode_rules(b"", [Rule("r", enabled=True, noncurrent_days=1)])
    await world.buckets.configure(ALICE, "locked", KIND, raw)
    until_us = world.clock.now_us() + 10 * DAY_US
    wish = Wish(GOVERNANCE, until_us)
    await world.objects.put(ALICE, "locked", "k", stream(b"one"), PLAIN, lock=wish)
    await world.put("k", b"two", bucket="locked")
    assert await after(world, 5) == 0
    assert await after(world, 6) == 1


async def test_uploads_are_aborted(world: World) -> None:
    """Days after they were begun."""
    await rule(world, Rule("r", enabled=True, filter=Filter("a"), abort_days=2))
    for key in ("a", "b"):
        upload_id = await world.uploads.create(ALICE, "bucket", key, PLAIN)
        await world.uploads.put_part(ALICE, "bucket", key, upload_id, 1, stream(b"x" * 5000))
    assert await after(world, 1) == 0
    assert await after(world, 2) == 1
    assert [row[0][8:9] for row in world.rows(Table.UPLOADS)] == [b"b"]


async def test_many_objects_go_in_slices(world: World) -> None:
    """More than one read or one commit holds."""
    await rule(world, Rule("r", enabled=True, expire_days=1))
    for number in range(SLICE + 5):
        await world.put(f"k{number:05}")
    assert await after(world, 3) == SLICE + 5
    assert await world.keys() == []


async def test_a_bucket_is_looked_at_once_a_day_and_when_rules_change(world: World) -> None:
    """Not at every step."""
    await rule(world, Rule("r", enabled=True, filter=Filter("x"), expire_days=1))
    await world.put("k", b"x")
    assert await after(world, 5) == 0
    await rule(world, Rule("r", enabled=True, filter=Filter("k"), expire_days=1))
    assert await world.store.lifecycle.run() == 1


async def test_a_shortened_day(world: World) -> None:
    """Carries rules out without midnights."""
    quick = Lifecycle(
        index=world.index,
        commits=world.store.commits,
        workers=world.workers,
        clock=world.clock,
        entropy=SeededEntropy(1),
        telemetry=world.telemetry,
        day_s=10,
    )
    await rule(world, Rule("r", enabled=True, expire_days=2))
    await world.put("k", b"x")
    world.clock.advance(19)
    assert await quick.run() == 0
    world.clock.advance(1)
    assert await quick.run() == 1

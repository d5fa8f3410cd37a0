"""What several workers answer about their tiers, as one answer."""

import pytest

from noisefs.gateway.cli.gathering import explained_by_all, status_of_all, warmed_by_all


def state(entries: int, **more: object) -> dict[str, object]:
    """What one process says."""
    sums = {"entries": entries, "bytes": 10 * entries, "max_bytes": 1000, "policy": "s3fifo", "in_charge": "s3fifo"}
    ahead = {
        "on": False,
        "precision": None,
        "used_cells": entries,
        "wasted_cells": 1,
        "wasted_bytes": 2,
        "waiting_bytes": 3,
    }
    return {
        "memory": sums,
        "seeds": {"packs": 1, "blocks": entries, "bytes": 4, "max_bytes": 8},
        "disk_cache": sums | {"enabled": True, "reason": ""},
        "fetched_ahead": {"sequential": ahead, "object": ahead | {"on": True, "precision": 0.5}},
        "warming": {"listed": entries, "done": 1, "failed": 0, "running": entries == 5},
    } | more


def test_one_process_answers_for_itself() -> None:
    rows = [{"first": 0, "last": 3}]
    assert status_of_all({0: state(3)}) == state(3)
    assert explained_by_all({0: rows}) == rows


def test_several_are_told_together_and_each() -> None:
    first = state(3, memory={"entries": 3, "bytes": 1, "max_bytes": 1000, "policy": "lru", "in_charge": "lru"})
    found = status_of_all({0: first, 1: state(5)})
    assert isinstance(found, dict)
    assert found["memory"] == {
        "entries": 8,
        "bytes": 51,
        "max_bytes": 2000,
        "policy": "lru, s3fifo",
        "in_charge": "lru, s3fifo",
    }
    assert found["disk_cache"]["bytes"] == 80
    assert found["disk_cache"]["enabled"] is True
    assert found["fetched_ahead"]["object"] == {
        "on": True,
        "precision": 0.5,
        "used_cells": 8,
        "wasted_cells": 2,
        "wasted_bytes": 4,
        "waiting_bytes": 6,
    }
    assert found["fetched_ahead"]["sequential"]["precision"] is None
    assert found["seeds"] == {"packs": 2, "blocks": 8, "bytes": 8, "max_bytes": 16}
    assert found["warming"] == {"listed": 8, "done": 2, "failed": 0, "running": True}
    assert found["workers"] == [{"worker": 0, **first}, {"worker": 1, **state(5)}]


@pytest.mark.parametrize("name", ["disk_cache", "warming"])
def test_what_no_process_has_is_told_so(name: str) -> None:
    found = status_of_all({0: state(3, **{name: None}), 1: state(5, **{name: None})})
    assert isinstance(found, dict)
    assert found[name] is None


def test_a_disk_cache_that_is_off_somewhere_is_told_with_its_reason() -> None:
    off = {
        "enabled": False,
        "reason": "disk full",
        "entries": 0,
        "bytes": 0,
        "max_bytes": 1000,
        "policy": "s3fifo",
        "in_charge": "s3fifo",
    }
    found = status_of_all({0: state(3), 1: state(5, disk_cache=off)})
    assert isinstance(found, dict)
    assert (found["disk_cache"]["enabled"], found["disk_cache"]["reason"]) == (False, "disk full")


def test_each_process_explains_its_own_tiers() -> None:
    rows = {0: [{"first": 0, "tier": "nodes"}], 1: [{"first": 0, "tier": "memory"}]}
    assert explained_by_all(rows) == [
        {"worker": 0, "first": 0, "tier": "nodes"},
        {"worker": 1, "first": 0, "tier": "memory"},
    ]


def test_what_all_warmed_is_added() -> None:
    one = {"listed": 4, "done": 3, "failed": 1, "running": False}
    assert warmed_by_all({0: one, 2: one}) == {"listed": 8, "done": 6, "failed": 2, "running": False}

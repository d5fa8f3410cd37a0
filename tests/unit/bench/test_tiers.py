"""The load of the live comparison of policies, and a short run of all of it."""

from collections import Counter
from pathlib import Path

import pytest

from bench.tiers import POLICIES, Load, measure_tiers


def test_favourites_change_and_the_order_is_the_same_for_all() -> None:
    load = Load(100, 4000)
    order = load.order()
    assert order == Load(100, 4000).order()
    first, last = Counter(order[:400]), Counter(order[-400:])
    assert first.most_common(1)[0][1] > 3 * 400 / 100
    assert not {number for number, _ in first.most_common(3)} & {number for number, _ in last.most_common(3)}
    assert load.cells == sum(1 + number % 3 for number in range(100))


@pytest.mark.e2e
@pytest.mark.needs("ipfs")
def test_policies_are_compared_before_a_distant_node(tmp_path: Path) -> None:
    finding = measure_tiers(tmp_path, 0.005, lambda _line: None)
    assert [row[0] for row in finding.rows] == list(POLICIES)
    for row in finding.rows:
        without, blocks, seeds, p50, p99 = (float(value) for value in row[1:6])
        assert 0 < without < 1
        assert 0 < seeds < blocks
        assert 0 < p50 <= p99
    assert finding.note.count("cells warmed") == len(POLICIES)

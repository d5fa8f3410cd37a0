"""Masking: which earlier blocks of a pack turn a cell into a block that is noise on its own."""

from collections.abc import Mapping
from typing import Final

from noisefs.core.domain.ids import PackId
from noisefs.core.domain.masking.chain import Chain
from noisefs.core.domain.masking.fresh import Fresh
from noisefs.core.domain.masking.strategy import BlockAt, Noise, RunPlan, Strategy
from noisefs.core.domain.masking.uniform import Uniform
from noisefs.core.errors import InvalidArgument

__all__ = ["BlockAt", "Chain", "Fresh", "Noise", "RunPlan", "Strategy", "Uniform", "strategy_named", "stride_of"]

_KEYLESS: Final[Mapping[str, Strategy]] = {Chain.name: Chain(), Fresh.name: Fresh()}


def strategy_named(name: str, *, pack_id: PackId, prf_key: bytes) -> Strategy:
    """The strategy of one pack.

    Args:
        name: ``chain``, ``uniform`` or ``fresh``.
        pack_id: The pack.
        prf_key: 32 bytes derived from the store key; only ``uniform`` uses it.

    Raises:
        InvalidArgument: There is no such strategy.
    """
    if name == Uniform.name:
        return Uniform(pack_id, prf_key)
    try:
        return _KEYLESS[name]
    except KeyError:
        raise InvalidArgument("strategy", name, f"one of {sorted([*_KEYLESS, Uniform.name])}") from None


def stride_of(name: str) -> int:
    """Blocks a cell takes in packs of this strategy, the noise that belongs to it included."""
    strategy = _KEYLESS.get(name)
    return Uniform.stride if strategy is None else strategy.stride

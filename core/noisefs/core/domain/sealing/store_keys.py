"""The keys a running store works with, derived once from its store key."""

from dataclasses import dataclass, field

from noisefs.core.domain.ids import StoreId
from noisefs.core.domain.sealing.keys import KeyWrap, Label, derive


@dataclass(frozen=True, slots=True, repr=False)
class StoreKeys:
    """Never logged: it has no ``repr`` of its fields.

    Attributes:
        store_id: The store.
        store_key: The random key that the root key wraps in the keyring.
        wrap: Wraps body keys and secrets.
        prf: Key of the strategy ``uniform``.
        index: Key of the index's pages.
    """

    store_id: StoreId
    store_key: bytes
    wrap: KeyWrap = field(init=False)
    prf: bytes = field(init=False)
    index: bytes = field(init=False)

    def __post_init__(self) -> None:
        """Derive what follows from the store key."""
        object.__setattr__(self, "wrap", KeyWrap(self.store_key, self.store_id))
        object.__setattr__(self, "prf", derive(self.store_key, Label.RANDOMIZERS))
        object.__setattr__(self, "index", derive(self.store_key, Label.INDEX))

"""Bugs that are planted, to see that histories find them."""

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass


@dataclass(frozen=True)
class Bug:
    """One bug: a sync that does nothing, or a function replaced by a wrong one."""

    name: str
    ignored_sync: str = ""
    index_sync_off: bool = False
    plant: Callable[[], AbstractContextManager[None]] | None = None

    @contextlib.contextmanager
    def planted(self) -> Iterator[None]:
        """The bug is there inside the ``with`` block."""
        with self.plant() if self.plant is not None else contextlib.nullcontext():
            yield


BUGS: tuple[Bug, ...] = ()

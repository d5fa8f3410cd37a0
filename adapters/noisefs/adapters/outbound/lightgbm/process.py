"""Training in a process of its own, at the lowest priority: the server's own never stops for it."""

import multiprocessing
import os
from multiprocessing.connection import Connection
from typing import Final

from noisefs.adapters.outbound.lightgbm.trainer import LightGbmTrainer
from noisefs.core.domain.caching.scoring.forest import BadModel, Forest
from noisefs.core.domain.caching.scoring.samples import Samples
from noisefs.core.errors import Unavailable
from noisefs.core.ports.cache_model import CacheTrainer

LIMIT_S: Final = 120.0
"""A training that takes longer is ended: its model would be of the past."""
_NICEST: Final = 19


class TrainerProcess(CacheTrainer):
    """A process for each training; it ends with it. Thread-safe."""

    def __init__(self, limit_s: float = LIMIT_S) -> None:
        self._limit_s = limit_s
        self._spawning = multiprocessing.get_context("spawn")

    def train(self, samples: Samples, seed: int) -> Forest | None:
        """As the port says. Blocks while the other process works.

        Raises:
            Unavailable: LightGBM is not installed, the process failed or took too long.
        """
        ours, theirs = self._spawning.Pipe()
        process = self._spawning.Process(target=_train, args=(theirs,), name="noisefs-trainer", daemon=True)
        process.start()
        theirs.close()
        try:
            ours.send((samples, seed))
            if not ours.poll(self._limit_s):
                raise Unavailable(f"training took longer than {self._limit_s:g} s")
            answer = ours.recv()
        except (EOFError, OSError) as exc:
            raise Unavailable(f"the training process ended: {type(exc).__name__}") from exc
        finally:
            ours.close()
            process.kill()
            process.join()
        if isinstance(answer, str):
            raise Unavailable(answer)
        try:
            return None if answer is None else Forest.decode(answer)
        except BadModel as exc:
            raise Unavailable(f"the training process made no model: {exc}") from exc


def _train(pipe: Connection) -> None:
    """All that process does."""
    os.nice(_NICEST)
    samples, seed = pipe.recv()
    try:
        forest = LightGbmTrainer().train(samples, seed)
        pipe.send(None if forest is None else forest.encode())
    except Unavailable as exc:
        pipe.send(str(exc))
    pipe.close()

"""The schema of the tiers between readers and nodes."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from noisefs.gateway.config.table import Seconds, Table
from noisefs.gateway.config.values import Size

_MIB = 1 << 20


class CacheConfig(Table):
    """What is kept of packs that only nodes have, and what is fetched ahead."""

    policy: Literal["learned", "s3fifo", "lru", "2q", "wtinylfu", "arc"] = Field(
        default="s3fifo",
        description="Who decides what memory and disk keep, where there are nodes. `learned`: whichever of the others, "
        "or of a model that is trained from the reads (with the extra `learned`), serves most; `cache simulate` tells "
        "what that is worth on a trace. It costs some 20 us a read and seconds at a first start, to compile.",
    )
    train_every_s: Seconds = Field(default=300, description="A model is trained anew so often; about a second of CPU.")
    disk_max_bytes: Size = Field(
        default=4096 * _MIB,
        ge=0,
        description="Disk space for cells and small objects whose packs only nodes have; 0: none, else 1MiB or more.",
    )
    prefetch_waste: Annotated[float, Field(ge=0, le=10)] = Field(
        default=0.1,
        description="Bytes that may be fetched ahead of readers in vain, for each byte they took from nodes; 0: none.",
    )

    @field_validator("disk_max_bytes")
    @classmethod
    def _enough(cls, value: int) -> int:
        if 0 < value < _MIB:
            raise ValueError("0, or at least 1MiB")
        return value

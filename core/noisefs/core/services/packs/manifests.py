"""Reading back what a sealed pack says it holds."""

from dataclasses import dataclass

from noisefs.core.domain.geometry import Geometry
from noisefs.core.domain.ids import PackId
from noisefs.core.domain.manifest import Manifest, open_manifest
from noisefs.core.domain.masking import strategy_named
from noisefs.core.domain.store_keys import StoreKeys
from noisefs.core.errors import PackDamaged
from noisefs.core.ports.packs import PackStore


@dataclass(frozen=True, slots=True)
class ManifestReader:
    """Opens manifests. Blocks: call from a lane. Cost: three block reads."""

    packs: PackStore
    keys: StoreKeys
    geometry: Geometry

    def read(self, pack_id: PackId, blocks: int, strategy_name: str = "") -> Manifest:
        """The manifest of a sealed pack of ``blocks`` blocks; it is the last of them.

        Raises:
            PackNotFound, BlockUnavailable: The pack, or one of the three blocks, is missing.
            PackDamaged: The manifest does not open.
        """
        strategy = strategy_named(strategy_name or self.geometry.strategy, pack_id=pack_id, prf_key=self.keys.prf)
        if blocks <= strategy.seeds + 1:
            raise PackDamaged(pack_id, f"it has {blocks} blocks: too few for a cell and a manifest")

        def block_at(position: int) -> memoryview:
            buffer = memoryview(bytearray(self.geometry.block_bytes))
            self.packs.read(pack_id, position, [buffer])
            return buffer

        cell = memoryview(bytearray(self.geometry.block_bytes))
        strategy.unmask_manifest(blocks - 1, block_at, cell)
        return open_manifest(
            cell,
            store_key=self.keys.store_key,
            store_id=self.keys.store_id,
            pack_id=pack_id,
            blocks=blocks,
            segment_bytes=self.geometry.segment_bytes,
        )

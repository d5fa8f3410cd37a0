"""Reading back what a sealed pack says it holds."""

from dataclasses import dataclass

from noisefs.core.domain.geometry import Geometry
from noisefs.core.domain.ids import PackId
from noisefs.core.domain.masking import strategy_named
from noisefs.core.domain.packs.manifest import Manifest, open_manifest
from noisefs.core.domain.sealing.store_keys import StoreKeys
from noisefs.core.errors import PackDamaged
from noisefs.core.ports.packs import PackRead, PackStore, Reach


@dataclass(frozen=True, slots=True)
class ManifestReader:
    """Opens manifests. Blocks: call from a lane. Cost: three block reads."""

    packs: PackStore
    keys: StoreKeys
    geometry: Geometry

    def read(self, pack_id: PackId, blocks: int, strategy_name: str = "", *, reach: Reach = Reach.NETWORK) -> Manifest:
        """The manifest of a sealed pack of ``blocks`` blocks; it is the last of them. ``reach``: how far to go for it.

        Raises:
            BlockUnavailable: One of the three blocks is missing.
            PackDamaged: The manifest does not open.
        """
        strategy = strategy_named(strategy_name or self.geometry.strategy, pack_id=pack_id, prf_key=self.keys.prf)
        if blocks <= strategy.seeds + 1:
            raise PackDamaged(pack_id, f"it has {blocks} blocks: too few for a cell and a manifest")

        size = self.geometry.block_bytes
        found = {
            position: memoryview(bytearray(size))
            for position in (blocks - 1, *strategy.manifest_randomizers(blocks - 1))
        }
        reads = [PackRead(pack_id, position, [block]) for position, block in found.items()]
        self.packs.read_all(reads, reach=reach)
        cell = memoryview(bytearray(size))
        strategy.unmask_manifest(blocks - 1, found.__getitem__, cell)
        return open_manifest(
            cell,
            store_key=self.keys.store_key,
            store_id=self.keys.store_id,
            pack_id=pack_id,
            blocks=blocks,
            segment_bytes=self.geometry.segment_bytes,
        )

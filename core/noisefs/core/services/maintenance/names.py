"""Which objects need a body: for reports about damage. Walks all objects; never logged beside pack or block ids."""

from noisefs.core.domain.keyspace import VERSION_TAIL_BYTES
from noisefs.core.domain.records import Bucket, LayoutChunk, Version, decode
from noisefs.core.ports.index import Index, Table
from noisefs.core.services.maintenance.rows import walk
from noisefs.core.services.namespace.rows.versions import NULL


def objects_of_bodies(index: Index, bodies: set[bytes]) -> list[str]:
    """``bucket/key`` of every object that has an extent in one of these bodies, ascending; an older version is named
    behind it. Blocks.
    """
    names = {decode(Bucket, raw).bucket_id: key.decode() for key, raw in walk(index, Table.BUCKETS)}
    layouts = {
        key[:16]
        for key, raw in walk(index, Table.LAYOUTS)
        if len(key) > 16 and any(extent.body_id in bodies for extent in decode(LayoutChunk, raw).extents)
    }
    found: list[str] = []
    for table, tail_bytes in ((Table.OBJECTS, 0), (Table.VERSIONS, VERSION_TAIL_BYTES)):
        for key, raw in walk(index, table):
            version = decode(Version, raw)
            if version.layout in layouts or any(extent.body_id in bodies for extent in version.extents):
                name = f"{names.get(int.from_bytes(key[:8], 'big'), '?')}/{key[8 : len(key) - tail_bytes].decode()}"
                found.append(f"{name} (version {version.version_id or NULL})" if tail_bytes else name)
    return sorted(found)

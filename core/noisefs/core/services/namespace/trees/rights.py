"""Whether somebody may change whole trees: every key in them is asked for, as if it were changed by itself.

A bucket that plainly belongs to whoever asks costs nothing; in others each key costs some 10 to 30 us.
"""

from collections.abc import Iterable

from noisefs.core.domain.keyspace import u64
from noisefs.core.domain.records import Bucket
from noisefs.core.domain.requests import Need, Principal
from noisefs.core.errors import AccessDenied
from noisefs.core.ports.index import Reading
from noisefs.core.services.namespace.rights.access import is_plain
from noisefs.core.services.namespace.rights.evaluating import allows
from noisefs.core.services.namespace.rows.trees import rows_below

_BASE_BYTES = 8
"""What stands before an object's key: the bucket's id."""


def permit_below(
    tx: Reading, bucket: Bucket, who: Principal, name: str, raw_prefix: bytes, actions: Iterable[str]
) -> None:
    """Let pass whoever may do all of ``actions`` to every object below a prefix.

    Raises:
        AccessDenied: It may not, of one of them.
    """
    if is_plain(bucket, who):
        return
    rows = rows_below(tx, u64(bucket.bucket_id) + raw_prefix)
    keys = [row_key[_BASE_BYTES:].decode() for row_key, _ in rows]
    permit_keys(tx, bucket, who, name, (Need(action, name, key) for action in actions for key in keys))


def permit_keys(tx: Reading, bucket: Bucket, who: Principal, name: str, needs: Iterable[Need]) -> None:
    """Let pass whoever may do all of ``needs``.

    Raises:
        AccessDenied: It may not.
    """
    if is_plain(bucket, who):
        return
    asking = who.asking
    if asking is None or not all(allows(tx, bucket, who, need, asking) for need in needs):
        raise AccessDenied(f"no policy, list or ownership lets {who.name!r} do this to everything there in {name!r}")


def permit_relocation(
    tx: Reading,
    who: Principal,
    source: tuple[Bucket, str, bytes],
    target: tuple[Bucket, str, bytes],
    *,
    keep_source: bool,
) -> None:
    """Let pass whoever may read (and unless ``keep_source`` delete) the source, and write and replace at the target.

    Source and target: the bucket's row, its name, and the key, with a slash at its end for a tree.

    Raises:
        AccessDenied: It may not.
    """
    (from_row, from_name, raw_source), (to_row, to_name, raw_target) = source, target
    if is_plain(from_row, who) and is_plain(to_row, who):
        return
    taken = ("s3:GetObject",) if keep_source else ("s3:GetObject", "s3:DeleteObject")
    if not raw_source.endswith(b"/"):
        key = raw_source.decode()
        permit_keys(tx, from_row, who, from_name, (Need(action, from_name, key) for action in taken))
        permit_keys(tx, to_row, who, to_name, (Need("s3:PutObject", to_name, raw_target.decode()),))
        return
    permit_below(tx, from_row, who, from_name, raw_source, taken)
    permit_below(tx, to_row, who, to_name, raw_target, ("s3:DeleteObject",))
    cut = _BASE_BYTES + len(raw_source)
    rest = [row_key[cut:] for row_key, _ in rows_below(tx, u64(from_row.bucket_id) + raw_source)]
    written = (Need("s3:PutObject", to_name, (raw_target + end).decode()) for end in rest)
    permit_keys(tx, to_row, who, to_name, written)

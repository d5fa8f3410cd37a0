"""A store on a real disk, full of canaries: none is in any file, at any time, and packs and database are noise."""

import logging
import shutil
from pathlib import Path

import pytest

from noisefs.core.domain.geometry import STRATEGIES, Geometry
from noisefs.core.domain.records import Lock
from noisefs.core.domain.requests import Attributes, CompletedPart, Principal
from noisefs.core.services.store import Store
from tests.support.canaries import forms, found_in, found_in_folder, noise_faults, uneven_files
from tests.support.faults import packs_of
from tests.support.stores import KEYS, local_store, pieces

S = 131072

CANARIES = {
    "user": b"canary-user-7Qx2",
    "bucket": b"canary-bucket-9k3v",
    "key": b"canary/object name/4hJw",
    "content": b"the canary in the coal mine sings 31415926. ",
    "metadata": b"canary metadata value Zp81",
    "header": b"attachment; filename=canary-8Ytr.pdf",
    "type": b"application/x-canary-5tGb",
    "property": b"canary dead property 77-Lm",
    "lock": b"canary lock owner 12-Wq",
    "upload": b"canary/upload name/Bn55",
    "part": b"canary part content 2718281828. ",
    "access key": b"CANARYACCESSKEY00042",
    "secret": b"canary/secret+key00000000000000000000042",
    "password": b"canary password 9u8y7t",
    "store key": KEYS.store_key,
    "index key": KEYS.index,
    "zeros": bytes(4096),
}


def content(size: int, name: str = "content") -> bytes:
    """A canary over and over."""
    line = CANARIES[name]
    return (line * (size // len(line) + 1))[:size]


def text(name: str) -> str:
    """A canary as a client sends it."""
    return CANARIES[name].decode()


async def fill(store: Store) -> Principal:
    """Everything a client can say, in every place where bytes lie."""
    user_id = await store.accounts.add_user(text("user"), admin=True, password=text("password"))
    await store.accounts.add_key(text("user"), access_key_id=text("access key"), secret=text("secret"))
    who = Principal(user_id, text("user"), admin=True)
    bucket = text("bucket")
    await store.buckets.create(who, bucket)
    attributes = Attributes(
        content_type=text("type"),
        headers={"Content-Disposition": text("header")},
        metadata={"note": text("metadata")},
    )
    sizes = {"tiny": 400, "inline": 9000, "slice": 60000, "run": 9 * S, "both": 3 * S + 5000}
    for kind, size in sizes.items():
        await store.objects.put(who, bucket, f"{text('key')}/{kind}", pieces(content(size), 1 << 16), attributes)
    await store.objects.put(who, bucket, "zeros", pieces(bytes(20 * S + 9000), 1 << 16), Attributes())
    await store.objects.put(who, bucket, "few zeros", pieces(bytes(9000), 1 << 16), Attributes())
    await store.properties.update(who, bucket, f"{text('key')}/run", {"{urn:x}p": CANARIES["property"]})
    await store.locks.create(
        Lock("opaque", f"/{bucket}/{text('key')}", who.user_id, 0, 0, exclusive=True, deep=False, data=CANARIES["lock"])
    )
    upload = await store.uploads.create(who, bucket, text("upload"), attributes)
    part = await store.uploads.put_part(who, bucket, text("upload"), upload, 1, pieces(content(6 * S, "part"), 1 << 16))
    await store.uploads.complete(who, bucket, text("upload"), upload, [CompletedPart(1, part.md5.hex())])
    open_upload = await store.uploads.create(who, bucket, text("upload") + "2", attributes)
    await store.uploads.put_part(
        who, bucket, text("upload") + "2", open_upload, 1, pieces(content(2 * S + 9, "part"), 1 << 16)
    )
    return who


def test_the_search_finds_what_is_there() -> None:
    canaries = {"one": b"a canary of some length"}
    for form, pattern in forms(canaries["one"]).items():
        assert found_in(b"before" + pattern + b"after", canaries), form
    assert noise_faults(bytes(70000))
    assert noise_faults(b"abcdefgh" * 9000)


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_no_canary_is_in_any_file_and_packs_and_database_are_noise(
    strategy: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    # The zeros of a preallocated, still open pack say nothing.
    searched = {name: canary for name, canary in CANARIES.items() if name != "zeros"}

    def look(moment: str, *, closed: bool = False) -> None:
        assert found_in_folder(tmp_path, CANARIES if closed else searched, spare=("index.db-shm",)) == [], moment
        assert uneven_files(tmp_path) == [], moment

    async with local_store(tmp_path, Geometry(strategy=strategy)) as store:
        who = await fill(store)
        look("after writing")
        await store.packer.run(flush=True)
        look("after packing")
        for kind in ("tiny", "slice", "run"):
            await store.objects.delete(who, text("bucket"), f"{text('key')}/{kind}")
        await store.reaper.run()
        await store.checkpoint()
        look("after deleting")
        await store.writer.rest()
        await store.cleaner.run(everything=True)
        look("after cleaning")
        assert (await store.scrubber.run()).clean
    look("after the end", closed=True)
    assert found_in(caplog.text.encode(), searched) == []
    assert not any("canary" in str(record.__dict__) for record in caplog.records)


async def test_what_a_crash_leaves_and_what_recovery_makes_of_it_is_noise(tmp_path: Path) -> None:
    """Recovery seals packs; blocks that were never synced must not get into one as the zeros they were preallocated."""
    live, crashed = tmp_path / "live", tmp_path / "crashed"
    searched = {name: canary for name, canary in CANARIES.items() if name != "zeros"}
    with packs_of(64):
        async with local_store(live) as store:
            await fill(store)
            under_way = await store.body_writer.ingest(pieces(content(150 * S), 1 << 20))
            shutil.copytree(live, crashed, ignore=shutil.ignore_patterns("locks"))
            assert under_way.digested.size == 150 * S
        async with local_store(crashed) as store:
            assert found_in_folder(crashed, searched) == []
            assert uneven_files(crashed) == []
            assert (await store.scrubber.run()).clean
    assert found_in_folder(crashed, CANARIES, spare=("index.db-shm",)) == []
    assert uneven_files(crashed) == []


async def test_a_store_of_zeros_is_noise(tmp_path: Path) -> None:
    async with local_store(tmp_path) as store:
        user_id = await store.accounts.add_user("root", admin=True)
        who = Principal(user_id, "root", admin=True)
        await store.buckets.create(who, "zeros")
        for number in range(40):
            await store.objects.put(
                who, "zeros", f"{number}", pieces(bytes(number * 20000 + 1025), 1 << 16), Attributes()
            )
        await store.packer.run(flush=True)
    assert uneven_files(tmp_path) == []
    packs = list(tmp_path.rglob("*.pack"))
    assert packs
    assert not any(bytes(64) in path.read_bytes() for path in packs)

"""Logins: devices' passwords, what they may do, when they end; and how often a wrong one is tried."""

import asyncio

import pytest

from noisefs.adapters.inbound.webdav import WebdavSettings
from noisefs.core.domain.app_password import letters_of
from noisefs.core.errors import Conflict, InvalidArgument, NotFound, TooMany
from noisefs.core.services.app_passwords import MOST
from tests.support.webdav_server import BUCKET, OTHER, PASSWORD, USER, WebdavServer, basic, serve


async def device(dav: WebdavServer, name: str = "phone", *, read_only: bool = False, root: str = "") -> str:
    """A login of alice's device."""
    return basic(USER, await dav.world.app_passwords.add(USER, name, read_only=read_only, root=root))


async def test_each_device_has_its_own_password(dav: WebdavServer) -> None:
    """Both work beside the user's own; a revoked one is out at once, and the other one stays."""
    phone, laptop = await device(dav), await device(dav, "laptop")
    for auth in (phone, laptop, basic(USER, PASSWORD)):
        assert (await dav("PUT", f"/{BUCKET}/k", b"x", auth=auth)).status in (201, 204)
    await dav.world.app_passwords.revoke(USER, "phone")
    assert (await dav("GET", f"/{BUCKET}/k", auth=phone)).status == 401
    assert (await dav("GET", f"/{BUCKET}/k", auth=laptop)).status == 200
    assert (await dav("GET", f"/{BUCKET}/k")).status == 200
    await dav.world.accounts.disable_user(USER)
    assert (await dav("GET", f"/{BUCKET}/k", auth=laptop)).status == 401


async def test_it_is_for_its_user_alone(dav: WebdavServer) -> None:
    """Not with another login, nor with a letter changed; blanks for hyphens and capitals are forgiven."""
    password = await dav.world.app_passwords.add(USER, "phone")
    letters = letters_of(password)
    assert letters is not None
    assert (await dav("GET", f"/{BUCKET}/", auth=basic(OTHER, password))).status == 401
    wrong = password[:-1] + ("a" if password[-1] != "a" else "b")
    assert (await dav("GET", f"/{BUCKET}/", auth=basic(USER, wrong))).status == 401
    for same in (password, letters, password.upper(), password.replace("-", " ")):
        assert (await dav("GET", f"/{BUCKET}/", auth=basic(USER, same))).status == 200


async def test_a_read_only_device_changes_nothing(dav: WebdavServer) -> None:
    """Whatever its user may do."""
    await dav("PUT", f"/{BUCKET}/k", b"x")
    auth = await device(dav, read_only=True)
    assert (await dav("GET", f"/{BUCKET}/k", auth=auth)).body == b"x"
    assert f"/{BUCKET}/" in (await dav("PROPFIND", "/", auth=auth, Depth="1")).text
    assert (await dav("PROPFIND", f"/{BUCKET}/", auth=auth, Depth="1")).status == 207
    requests = {
        "PUT": (f"/{BUCKET}/k", {}),
        "DELETE": (f"/{BUCKET}/k", {}),
        "MKCOL": (f"/{BUCKET}/d", {}),
        "COPY": (f"/{BUCKET}/k", {"Destination": f"/{BUCKET}/l"}),
        "MOVE": (f"/{BUCKET}/k", {"Destination": f"/{BUCKET}/l"}),
    }
    for method, (path, headers) in requests.items():
        assert (await dav(method, path, auth=auth, **headers)).status == 403, method
    assert (await dav("MKCOL", "/newbucket", auth=auth)).status == 403
    assert (await dav("GET", f"/{BUCKET}/k", auth=auth)).body == b"x"


async def test_a_read_only_device_brings_no_chunks_either(dav: WebdavServer) -> None:
    """Nextcloud's uploads lie outside of every bucket; one that reaches a collection may use them."""
    auth = await device(dav, read_only=True)
    uploads = f"/remote.php/dav/uploads/{USER}/one"
    for method, path in (("MKCOL", ""), ("PUT", "/00001"), ("MOVE", "/.file"), ("DELETE", "")):
        reply = await dav(method, f"{uploads}{path}", b"x" if method == "PUT" else None, auth=auth)
        assert reply.status == 403, method
    await dav.world.trees.make(dav.who, BUCKET, "in/")
    narrow = await device(dav, "tablet", root=f"{BUCKET}/in")
    assert (await dav("MKCOL", uploads, auth=narrow)).status == 201
    assert (await dav("PUT", f"{uploads}/00001", b"x" * 1000, auth=narrow)).status == 201
    target = f"{dav.url}/remote.php/dav/files/{USER}/k"
    assert (await dav("MOVE", f"{uploads}/.file", auth=narrow, Destination=target)).status == 201
    assert (await dav("GET", f"/{BUCKET}/in/k")).body == b"x" * 1000


@pytest.mark.parametrize("folder", ["in", "a*b?c$d", "ä ö"])
async def test_a_device_may_reach_one_collection_only(dav: WebdavServer, folder: str) -> None:
    """It is its root, and nothing beside it can be named or reached."""
    for path in (folder, f"{folder}/d", "axbyczd"):
        await dav.world.trees.make(dav.who, BUCKET, f"{path}/")
    await dav("PUT", f"/{BUCKET}/axbyczd/k", b"secret")
    auth = await device(dav, root=f"{BUCKET}/{folder}")
    assert (await dav("PUT", "/d/k", b"x", auth=auth)).status == 201
    assert (await dav("PUT", "/d/k", b"y", auth=auth)).status == 204
    assert (await dav("COPY", "/d/k", auth=auth, Destination="/l")).status == 201
    assert (await dav("DELETE", "/l", auth=auth)).status == 204
    listed = await dav("PROPFIND", "/", auth=auth, Depth="infinity")
    assert (listed.status, "href>/d/k<" in listed.text, "axbyczd" in listed.text) == (207, True, False)
    assert (await dav("GET", f"/{BUCKET}/axbyczd/k", auth=auth)).status in (403, 404)
    await dav.world.app_passwords.revoke(USER, "phone")
    reader = await device(dav, root=f"{BUCKET}/{folder}", read_only=True)
    assert (await dav("GET", "/d/k", auth=reader)).body == b"y"
    assert (await dav("PUT", "/d/k", b"z", auth=reader)).status == 403


async def test_the_last_use_is_told_to_the_hour(dav: WebdavServer) -> None:
    """Written when it is first used, and once an hour, not with every request."""
    auth = await device(dav)
    assert [row.used_us for row in await dav.world.app_passwords.list(USER)] == [0]
    first_us = dav.world.clock.now_us()
    await dav("GET", f"/{BUCKET}/", auth=auth)
    await dav("PUT", f"/{BUCKET}/barrier", b"")  # commits behind the note
    assert (await dav.world.app_passwords.list(USER))[0].used_us >= first_us
    dav.world.clock.advance(3700)
    await dav("GET", f"/{BUCKET}/", auth=auth)
    await dav("PUT", f"/{BUCKET}/barrier", b"")
    assert (await dav.world.app_passwords.list(USER))[0].used_us >= first_us + 3_600_000_000


async def test_names_are_a_users_own_and_bounded(dav: WebdavServer) -> None:
    """One name once, no blank around it, and a hundred at most."""
    await dav.world.app_passwords.add(USER, "phone")
    await dav.world.app_passwords.add(OTHER, "phone")
    with pytest.raises(Conflict):
        await dav.world.app_passwords.add(USER, "phone")
    for name in ("", " phone", "a\nb", "x" * 65):
        with pytest.raises(InvalidArgument):
            await dav.world.app_passwords.add(USER, name)
    with pytest.raises(NotFound):
        await dav.world.app_passwords.revoke(USER, "laptop")
    for number in range(1, MOST):
        await dav.world.app_passwords.add(USER, f"device {number}")
    with pytest.raises(TooMany):
        await dav.world.app_passwords.add(USER, "one more")


async def test_a_deleted_user_leaves_no_password_to_a_later_one(dav: WebdavServer) -> None:
    """The name may be given again; the rows are gone."""
    auth = basic(OTHER, await dav.world.app_passwords.add(OTHER, "phone"))
    await dav.world.identities.delete_user(OTHER)
    await dav.world.accounts.add_user(OTHER, password="another one")
    assert (await dav("GET", "/", auth=auth)).status == 401
    assert await dav.world.app_passwords.list(OTHER) == []


async def test_a_verified_password_costs_one_hash(dav: WebdavServer) -> None:
    """Many requests at once, one look."""
    auth = await device(dav)
    await dav("GET", f"/{BUCKET}/", auth=auth)
    before = dav.world.workers_runs()
    await asyncio.gather(*(dav("GET", f"/{BUCKET}/", auth=auth) for _ in range(20)))
    assert dav.world.workers_runs() == before


async def test_wrong_logins_are_held_up_and_right_ones_are_not() -> None:
    """Who is known goes on; who is not waits, for the time that is told, and nothing is hashed for them."""
    async with serve(WebdavSettings(wrong_logins_a_minute=3)) as dav:
        assert (await dav("GET", f"/{BUCKET}/")).status == 200
        for _ in range(3):
            assert (await dav("GET", f"/{BUCKET}/", auth=basic(OTHER, "a guess"))).status == 401
        hashed = dav.world.workers_runs()
        held = await dav("GET", f"/{BUCKET}/", auth=basic(OTHER, "another guess"))
        assert (held.status, held.headers["Retry-After"]) == (429, "20")
        assert dav.world.workers_runs() == hashed
        assert (await dav("GET", f"/{BUCKET}/")).status == 200
        dav.world.clock.advance(21)
        assert (await dav("GET", f"/{BUCKET}/", auth=basic(OTHER, "a guess"))).status == 401
        assert (await dav("GET", f"/{BUCKET}/", auth=basic(OTHER, "a guess"))).status == 429

"""Digest authentication, where it is on."""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator

import pytest

from noisefs.adapters.inbound.webdav import WebdavSettings
from noisefs.adapters.inbound.webdav.auth.digest import NONCE_S, parse_digest
from tests.support.webdav_server import BUCKET, PASSWORD, USER, Reply, WebdavServer, basic, serve

_PATH = f"/{BUCKET}/k"
_HASHES = {"SHA-256": hashlib.sha256, "MD5": hashlib.md5}


@pytest.fixture
async def dav() -> AsyncIterator[WebdavServer]:
    async with serve(WebdavSettings(digest=True)) as server:
        yield server


class Client:
    """Somebody with an access key."""

    def __init__(self, dav: WebdavServer, name: str, secret: str, algorithm: str = "SHA-256") -> None:
        self._dav, self._name, self._secret, self._algorithm = dav, name, secret, algorithm
        self.nonce = ""

    def answer(self, count: int, *, method: str = "GET", uri: str = _PATH, **changes: str) -> str:
        """An ``Authorization`` header."""

        def digested(text: str) -> str:
            return _HASHES[self._algorithm](text.encode()).hexdigest()

        nc, cnonce = f"{count:08x}", "client's"
        first, second = digested(f"{self._name}:NoiseFS:{self._secret}"), digested(f"{method}:{uri}")
        fields = {
            "username": self._name,
            "realm": "NoiseFS",
            "nonce": self.nonce,
            "uri": uri,
            "cnonce": cnonce,
            "response": digested(f"{first}:{self.nonce}:{nc}:{cnonce}:auth:{second}"),
            **changes,
        }
        quoted = ", ".join(f'{name}="{value}"' for name, value in fields.items())
        return f"Digest {quoted}, algorithm={self._algorithm}, qop=auth, nc={nc}"

    async def challenged(self) -> Reply:
        """Take a fresh nonce."""
        reply = await self._dav("GET", _PATH, auth=None)
        self.take(reply)
        return reply

    def take(self, reply: Reply) -> None:
        """Take the nonce of an answer."""
        self.nonce = re.findall('nonce="([^"]+)"', reply.headers["WWW-Authenticate"])[0]


@pytest.fixture(params=["SHA-256", "MD5"])
async def client(dav: WebdavServer, request: pytest.FixtureRequest) -> Client:
    key = await dav.world.accounts.add_key(USER)
    await dav("PUT", _PATH, b"x")
    return Client(dav, key.access_key_id, key.secret, request.param)


async def test_an_access_key_logs_in(dav: WebdavServer, client: Client) -> None:
    """With each algorithm, for any method, counts out of order; Basic goes on beside it."""
    challenged = await client.challenged()
    offered = [value.partition(" ")[0] for value in challenged.headers.getall("WWW-Authenticate")]  # type: ignore[attr-defined]
    assert offered == ["Digest", "Digest", "Basic"]
    for count in (1, 3, 2, 9, 5):
        assert (await dav("GET", _PATH, auth=client.answer(count))).body == b"x"
    assert (await dav("PUT", _PATH, b"y", auth=client.answer(10, method="PUT"))).status == 204
    assert (await dav("GET", _PATH, auth=basic(USER, PASSWORD))).body == b"y"


async def test_an_answer_counts_once(dav: WebdavServer, client: Client) -> None:
    """A repeated one, and one far behind, is stale: the client goes on with the nonce it gets."""
    await client.challenged()
    assert (await dav("GET", _PATH, auth=client.answer(1))).status == 200
    again = await dav("GET", _PATH, auth=client.answer(1))
    assert (again.status, "stale=true" in again.headers["WWW-Authenticate"]) == (401, True)
    assert (await dav("GET", _PATH, auth=client.answer(1000))).status == 200
    assert (await dav("GET", _PATH, auth=client.answer(2))).status == 401
    client.take(again)
    assert (await dav("GET", _PATH, auth=client.answer(1))).status == 200


async def test_a_nonce_ends(dav: WebdavServer, client: Client) -> None:
    """After its time, and one that this server never gave: stale, not wrong."""
    await client.challenged()
    dav.world.clock.advance(NONCE_S + 1)
    late = await dav("GET", _PATH, auth=client.answer(1))
    assert (late.status, "stale=true" in late.headers["WWW-Authenticate"]) == (401, True)
    client.nonce = "AAAA" + client.nonce[4:]
    forged = await dav("GET", _PATH, auth=client.answer(1))
    assert (forged.status, "stale=true" in forged.headers["WWW-Authenticate"]) == (401, True)


async def test_what_is_wrong_stays_out(dav: WebdavServer, client: Client) -> None:
    """Another path, method, secret, realm or algorithm; a user's password, of which there is only a hash."""
    await client.challenged()
    wrong = [
        client.answer(1, uri=f"/{BUCKET}/other"),
        client.answer(1, method="PUT"),
        client.answer(1, response="0" * 32),
        client.answer(1, realm="another"),
        client.answer(1).replace("algorithm=", "algorithm=X"),
        client.answer(1).replace("qop=auth", "qop=auth-int"),
        client.answer(1).replace("nc=", "nc=x"),
        "Digest",
        'Digest username="a", username="b"',
        "Digest %%%",
    ]
    for auth in wrong:
        reply = await dav("GET", _PATH, auth=auth)
        assert (reply.status, "stale" in reply.headers["WWW-Authenticate"]) == (401, False), auth
    user = Client(dav, USER, PASSWORD)
    user.nonce = client.nonce
    assert (await dav("GET", _PATH, auth=user.answer(1))).status == 401


async def test_a_revoked_key_is_out(dav: WebdavServer) -> None:
    """Within a second."""
    key = await dav.world.accounts.add_key(USER)
    await dav("PUT", _PATH, b"x")
    client = Client(dav, key.access_key_id, key.secret)
    await client.challenged()
    assert (await dav("GET", _PATH, auth=client.answer(1))).status == 200
    await dav.world.accounts.revoke_key(key.access_key_id)
    assert (await dav("GET", _PATH, auth=client.answer(2))).status == 401


async def test_it_is_off_unless_asked_for() -> None:
    """Then it is neither offered nor taken."""
    async with serve() as dav:
        key = await dav.world.accounts.add_key(USER)
        client = Client(dav, key.access_key_id, key.secret)
        reply = await dav("GET", _PATH, auth=None)
        assert reply.headers["WWW-Authenticate"].startswith("Basic ")
        assert (await dav("GET", _PATH, auth=client.answer(1))).status == 401


def test_fields_are_read_as_they_are_written() -> None:
    """Quoted pairs, commas in quotes, blanks."""
    read = parse_digest(r'Digest  username="a\"b, c" ,nc=00000001 , uri="/x"')
    assert read == {"username": 'a"b, c', "nc": "00000001", "uri": "/x"}
    assert parse_digest('Digest username="a" b') is None
    assert parse_digest("Basic abc") is None


@pytest.mark.needs("curl")
async def test_curl_logs_in_by_digest(dav: WebdavServer) -> None:
    """A real client, of several requests on one nonce."""
    key = await dav.world.accounts.add_key(USER)
    await dav("PUT", _PATH, b"x")
    command = ["curl", "-sS", "--digest", "-u", f"{key.access_key_id}:{key.secret}", *[dav.url + _PATH] * 3]
    done = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    out, _ = await done.communicate()
    assert (done.returncode, out) == (0, b"xxx")

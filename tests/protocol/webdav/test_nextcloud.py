"""What Nextcloud's and ownCloud's clients ask for: their paths, chunked uploads, properties, and who the server is."""

import hashlib
import json
import xml.etree.ElementTree as ET

import pytest

from noisefs.core.ports.index import Table
from tests.support.namespace import ROOT, stream
from tests.support.webdav_server import OTHER, OTHER_PASSWORD, USER, Reply, WebdavServer, basic

FILES = f"/remote.php/dav/files/{USER}"
UPLOADS = f"/remote.php/dav/uploads/{USER}"
OC = "{http://owncloud.org/ns}"
ASKS = (
    '<?xml version="1.0"?><d:propfind xmlns:d="DAV:" xmlns:oc="http://owncloud.org/ns" xmlns:nc="http://nextcloud.org/ns">'
    "<d:prop><d:getlastmodified/><d:getetag/><d:getcontenttype/><d:resourcetype/><d:getcontentlength/><oc:fileid/>"
    "<oc:id/><oc:permissions/><oc:size/><oc:checksums/><nc:has-preview/><oc:favorite/></d:prop></d:propfind>"
)


def found(reply: Reply) -> dict[str, dict[str, str]]:
    """Properties with status 200 by href; of checksums, the inner text."""
    assert reply.status == 207, reply.text
    answers = {}
    for response in ET.fromstring(reply.body):
        props = {
            prop.tag: "".join(prop.itertext())
            for stat in response.iter("{DAV:}propstat")
            if "200" in (stat.findtext("{DAV:}status") or "")
            for prop in stat.find("{DAV:}prop") or ()
        }
        answers[response.findtext("{DAV:}href") or ""] = props
    return answers


async def begin(dav: WebdavServer, *chunks: tuple[str, bytes], name: str = "web-1", **headers: str) -> None:
    """An upload with these chunks."""
    assert (await dav("MKCOL", f"{UPLOADS}/{name}", **headers)).status == 201
    for number, data in chunks:
        assert (await dav("PUT", f"{UPLOADS}/{name}/{number}", data, **headers)).status == 201


async def join(dav: WebdavServer, path: str, name: str = "web-1", **headers: str) -> Reply:
    """The end of an upload."""
    return await dav("MOVE", f"{UPLOADS}/{name}/.file", Destination=f"{dav.url}{FILES}{path}", **headers)


async def test_the_alias_is_the_same_tree(dav: WebdavServer) -> None:
    """Hrefs and destinations stay behind the alias that the request came by."""
    for base in (FILES, "/remote.php/webdav"):
        assert (await dav("MKCOL", f"{base}/bucket/d%20%C3%A4")).status == 201
        assert (await dav("PUT", f"{base}/bucket/d%20%C3%A4/x", b"1")).status == 201
        assert (await dav("GET", "/bucket/d%20%C3%A4/x")).body == b"1"
        listing = found(await dav("PROPFIND", f"{base}/bucket/d%20%C3%A4", Depth="1"))
        assert set(listing) == {f"{base}/bucket/d%20%C3%A4/", f"{base}/bucket/d%20%C3%A4/x"}
        assert set(found(await dav("PROPFIND", f"{base}/", Depth="1"))) == {f"{base}/", f"{base}/bucket/"}
        moved = await dav("MOVE", f"{base}/bucket/d%20%C3%A4/x", Destination=f"{dav.url}{base}/bucket/y")
        assert moved.status == 201
        assert (await dav("DELETE", f"{base}/bucket/d%20%C3%A4")).status == 204
        assert (await dav("COPY", f"{base}/bucket/y", Destination=f"{base}/bucket/z")).status == 201
        assert (await dav("DELETE", f"{base}/bucket/z")).status == 204
        assert (await dav("DELETE", "/bucket/y")).status == 204


async def test_locks_are_the_same_behind_the_alias(dav: WebdavServer) -> None:
    """One made there holds elsewhere, and the other way round."""
    lock = '<lockinfo xmlns="DAV:"><lockscope><exclusive/></lockscope><locktype><write/></locktype></lockinfo>'
    await dav("PUT", "/bucket/f", b"1")
    locked = await dav("LOCK", f"{FILES}/bucket/f", lock)
    assert f"<D:href>{FILES}/bucket/f</D:href>" in locked.text.replace("ns0:", "D:")
    refused = await dav("PUT", "/bucket/f", b"2")
    assert refused.status == 423
    refused = await dav("PUT", f"{FILES}/bucket/f", b"2")
    assert refused.status == 423
    assert f"{FILES}/bucket/f" in refused.text
    token = locked.headers["Lock-Token"]
    tagged = f"<{dav.url}{FILES}/bucket/f> ({token})"
    assert (await dav("PUT", f"{FILES}/bucket/f", b"2", If=tagged)).status == 204
    await begin(dav, ("1", b"3"))
    assert (await join(dav, "/bucket/f")).status == 423
    assert (await join(dav, "/bucket/f", If=tagged)).status == 204
    assert (await dav("GET", "/bucket/f")).body == b"3"


async def test_somebody_elses_name_leads_nowhere(dav: WebdavServer) -> None:
    """Neither to files nor to uploads."""
    for path in (f"/remote.php/dav/files/{OTHER}/", f"/remote.php/dav/uploads/{OTHER}/x", "/remote.php/dav/files"):
        assert (await dav("PROPFIND", path, Depth="0")).status == 404
    assert (await dav("PROPFIND", f"{FILES}/", Depth="0", auth=None)).status == 401


async def test_their_properties(dav: WebdavServer) -> None:
    """Those of files and of collections; one that is not known is missing, and none is in allprop."""
    data = b"content"
    sha1 = hashlib.sha1(data).hexdigest()
    await dav("MKCOL", f"{FILES}/bucket/d")
    await dav("PUT", f"{FILES}/bucket/d/f", data, OC_Checksum=f"SHA1:{sha1}", X_OC_Mtime="981173106")
    listing = found(await dav("PROPFIND", f"{FILES}/bucket/d/", ASKS, Depth="1"))
    folder, file = listing[f"{FILES}/bucket/d/"], listing[f"{FILES}/bucket/d/f"]
    assert file[f"{OC}checksums"] == f"SHA1:{sha1} MD5:{hashlib.md5(data).hexdigest()}"
    assert (file[f"{OC}permissions"], folder[f"{OC}permissions"]) == ("GDNVW", "GDNVCK")
    assert file[f"{OC}size"] == "7"
    assert file[f"{OC}fileid"].isdecimal()
    assert file[f"{OC}fileid"] != folder[f"{OC}fileid"]
    assert file[f"{OC}id"].startswith(file[f"{OC}fileid"])
    assert file["{DAV:}getlastmodified"] == "Sat, 03 Feb 2001 04:05:06 GMT"
    assert "{http://nextcloud.org/ns}has-preview" not in file
    assert "owncloud" not in (await dav("PROPFIND", f"{FILES}/bucket/d/", Depth="1")).text
    assert found(await dav("PROPFIND", f"{FILES}/", ASKS, Depth="0"))[f"{FILES}/"][f"{OC}permissions"] == "GK"


async def test_a_collection_has_a_tag_that_changes_with_what_is_below(dav: WebdavServer) -> None:
    """Clients look there whether they have to look further. Elsewhere it has none."""
    await dav("MKCOL", "/bucket/d")
    await dav("PUT", "/bucket/d/f", b"1")

    async def tag(base: str = FILES) -> str | None:
        return next(iter(found(await dav("PROPFIND", f"{base}/bucket/", ASKS, Depth="0")).values())).get(
            "{DAV:}getetag"
        )

    first = await tag()
    assert first == await tag()
    await dav("PUT", "/bucket/d/f", b"2")
    assert first != await tag()
    assert await tag("") is None


async def test_protected_properties(dav: WebdavServer) -> None:
    """They say what is so; checksums that are known already may be set, as rclone does together with a time."""
    await dav("PUT", "/bucket/f", b"x", OC_Checksum=f"SHA1:{hashlib.sha1(b'x').hexdigest()}")

    async def patch(inner: str) -> Reply:
        body = f'<d:propertyupdate xmlns:d="DAV:" xmlns:o="http://owncloud.org/ns"><d:set><d:prop>{inner}</d:prop>'
        return await dav("PROPPATCH", "/bucket/f", f"{body}</d:set></d:propertyupdate>")

    assert "403" in (await patch("<o:fileid>1</o:fileid>")).text
    assert "403" in (await patch("<o:checksums><o:checksum>SHA1:00</o:checksum></o:checksums>")).text
    known = f"<o:checksums><o:checksum>SHA1:{hashlib.sha1(b'x').hexdigest()}</o:checksum></o:checksums>"
    done = await patch(f"<d:lastmodified>981173106</d:lastmodified>{known}")
    assert "200 OK" in done.text
    assert "403" not in done.text
    assert (await dav("HEAD", "/bucket/f")).headers["Last-Modified"] == "Sat, 03 Feb 2001 04:05:06 GMT"
    assert "200 OK" in (await patch("<o:favorite>1</o:favorite>")).text
    assert found(await dav("PROPFIND", "/bucket/f", ASKS, Depth="0"))["/bucket/f"][f"{OC}favorite"] == "1"


async def test_an_upload_in_numbered_chunks(dav: WebdavServer) -> None:
    """The second kind: every request names where it goes."""
    where = {"Destination": f"{dav.url}{FILES}/bucket/big.jpg", "OC_Total_Length": "700007"}
    pieces = [bytes([number]) * 70_000 for number in range(10)] + [b"tail..."]
    await begin(dav, *[(f"{number:05}", piece) for number, piece in reversed(list(enumerate(pieces, 1)))], **where)
    listing = found(await dav("PROPFIND", f"{UPLOADS}/web-1", Depth="1"))
    assert f"{UPLOADS}/web-1/00011" in listing
    assert listing[f"{UPLOADS}/web-1/00011"]["{DAV:}getcontentlength"] == "7"
    assert (await dav("GET", "/bucket/big.jpg")).status == 404
    digest = hashlib.sha1(b"".join(pieces)).hexdigest()
    fields = {"OC_Checksum": f"SHA1:{digest}", "X_OC_Mtime": "981173106", "OC_Total_Length": "700007"}
    done = await join(dav, "/bucket/big.jpg", **fields)
    assert (done.status, done.headers["X-OC-MTime"]) == (201, "accepted")
    assert done.headers["OC-ETag"] == done.headers["ETag"]
    got = await dav("GET", "/bucket/big.jpg")
    assert got.body == b"".join(pieces)
    assert (got.headers["Content-Type"], got.headers["OC-Checksum"]) == ("image/jpeg", f"SHA1:{digest}")
    assert got.headers["Last-Modified"] == "Sat, 03 Feb 2001 04:05:06 GMT"
    assert (await join(dav, "/bucket/big.jpg")).status == 404
    file = found(await dav("PROPFIND", f"{FILES}/bucket/big.jpg", ASKS, Depth="0"))[f"{FILES}/bucket/big.jpg"]
    assert file[f"{OC}fileid"] == done.headers["OC-FileId"]


async def test_an_upload_that_is_resumed(dav: WebdavServer) -> None:
    """The client looks which chunks are there, sends one once more, and the rest."""
    await begin(dav, ("0000000-0000004", b"hello"), ("0000005-0000009", b"wor"))
    sizes = found(await dav("PROPFIND", f"{UPLOADS}/web-1/", ASKS, Depth="1"))
    assert sizes[f"{UPLOADS}/web-1/0000005-0000009"][f"{OC}size"] == "3"
    assert (await dav("PUT", f"{UPLOADS}/web-1/0000005-0000009", b"world")).status == 201
    assert (await join(dav, "/bucket/f", OC_Total_Length="10")).status == 201
    assert (await dav("GET", "/bucket/f")).body == b"helloworld"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"OC_Total_Length": "11"}, 400),
        ({"OC_Total_Length": "x"}, 400),
        ({"OC_Checksum": f"SHA1:{'0' * 40}"}, 400),
        ({"OC_Checksum": "ADLER32:00000000"}, 400),
        ({"Overwrite": "F"}, 412),
        ({"If_Match": '"other"'}, 412),
        ({"If_None_Match": "*"}, 412),
        ({"If": "(<urn:uuid:none>)"}, 412),
    ],
)
async def test_a_join_that_is_refused_changes_nothing(dav: WebdavServer, headers: dict[str, str], status: int) -> None:
    """The old file stays, and so do the chunks."""
    await dav("PUT", "/bucket/f", b"old")
    await begin(dav, ("1", b"hello"), ("2", b"world"))
    assert (await join(dav, "/bucket/f", **headers)).status == status
    assert (await dav("GET", "/bucket/f")).body == b"old"
    assert (await join(dav, "/bucket/f", OC_Total_Length="10")).status == 204
    assert (await dav("GET", "/bucket/f")).body == b"helloworld"


async def test_where_a_join_cannot_go(dav: WebdavServer) -> None:
    """No collection above, a collection there, nobody's bucket, another server, nowhere."""
    await dav("MKCOL", "/bucket/d")
    await begin(dav, ("1", b"x"))
    assert (await join(dav, "/bucket/none/f")).status == 409
    assert (await join(dav, "/bucket/d")).status == 405
    assert (await join(dav, "/f")).status == 403
    assert (await dav("MOVE", f"{UPLOADS}/web-1/.file", Destination="http://elsewhere/bucket/f")).status == 502
    assert (await dav("MOVE", f"{UPLOADS}/web-1/.file")).status == 400
    assert (await dav("MOVE", f"{UPLOADS}/web-1/1", Destination=f"{FILES}/bucket/f")).status == 405
    assert (await dav("MKCOL", f"{UPLOADS}/web-2", Destination=f"{FILES}/bucket/none/f")).status == 409


async def test_a_user_with_a_root_of_their_own(dav: WebdavServer) -> None:
    """Behind the alias paths begin there too, those of joins and of refusals included."""
    await dav("MKCOL", "/bucket/home")
    await dav.world.accounts.set_root(USER, "bucket", "home")
    assert (await dav("PUT", f"{FILES}/f", b"1")).status == 201
    assert set(found(await dav("PROPFIND", f"{FILES}/", Depth="1"))) == {f"{FILES}/", f"{FILES}/f"}
    await begin(dav, ("1", b"2"))
    assert (await join(dav, "/g")).status == 201
    keys = [key for key, _ in (await dav.world.objects.list(dav.who, "bucket")).entries]
    assert keys == ["home/", "home/f", "home/g"]
    lock = '<lockinfo xmlns="DAV:"><lockscope><exclusive/></lockscope><locktype><write/></locktype></lockinfo>'
    assert (await dav("LOCK", "/g", lock)).status == 200
    await begin(dav, ("1", b"3"))
    refused = await join(dav, "/g")
    assert (refused.status, f"<D:href>{FILES}/g</D:href>" in refused.text) == (423, True)


async def test_nothing_is_joined_among_older_versions(dav: WebdavServer) -> None:
    """As nothing else is written there."""
    await dav.world.store.versions.configure(dav.who, "bucket", enabled=True)
    top = found(await dav("PROPFIND", "/bucket/", Depth="1"))
    await begin(dav, ("1", b"2"))
    for name in (".trash", ".versions"):
        assert (await join(dav, f"/bucket/{name}/g")).status == 403
    assert found(await dav("PROPFIND", "/bucket/", Depth="1")) == top


async def test_rights_of_a_join(dav: WebdavServer) -> None:
    """Those of a PUT: somebody else's bucket stays closed."""
    auth = basic(OTHER, OTHER_PASSWORD)
    uploads = f"/remote.php/dav/uploads/{OTHER}/u"
    where = f"/remote.php/dav/files/{OTHER}/bucket/f"
    assert (await dav("MKCOL", uploads, auth=auth, Destination=where)).status == 403
    assert (await dav("MKCOL", uploads, auth=auth)).status == 201
    assert (await dav("PUT", f"{uploads}/1", b"x", auth=auth)).status == 201
    assert (await dav("MOVE", f"{uploads}/.file", auth=auth, Destination=where)).status == 403
    assert (await dav("GET", "/bucket/f")).status == 404


async def test_quotas_of_chunks(dav: WebdavServer) -> None:
    """What is announced and cannot fit is refused at once; what does not fit in the end, in the end."""
    await dav.world.store.quotas.set_bucket(ROOT, "bucket", max_bytes=10)
    where = {"Destination": f"{FILES}/bucket/f", "OC_Total_Length": "11"}
    assert (await dav("MKCOL", f"{UPLOADS}/big", **where)).status == 507
    await begin(dav, ("1", b"123456"), ("2", b"123456"))
    assert (await join(dav, "/bucket/f")).status == 507
    assert (await dav("GET", "/bucket/f")).status == 404


async def test_an_upload_is_given_up(dav: WebdavServer) -> None:
    """By its client, one chunk or all; or it expires."""
    await begin(dav, ("1", b"x"), ("2", b"y"))
    assert (await dav("MKCOL", f"{UPLOADS}/web-1")).status == 405
    assert (await dav("DELETE", f"{UPLOADS}/web-1/2")).status == 204
    assert (await dav("DELETE", f"{UPLOADS}/web-1/2")).status == 404
    assert (await dav("DELETE", f"{UPLOADS}/web-1/")).status == 204
    for method in ("DELETE", "PROPFIND"):
        assert (await dav(method, f"{UPLOADS}/web-1")).status == 404
    assert (await dav("PUT", f"{UPLOADS}/web-1/1", b"x")).status == 404
    await begin(dav, ("1", b"x"))
    dav.world.clock.advance(dav.world.limits.upload_expiry_s + 1)
    await dav.world.uploads.expire()
    assert (await join(dav, "/bucket/f")).status == 404
    assert not dav.world.rows(Table.PARTS)


async def test_a_chunk_that_is_wrong_is_not_kept(dav: WebdavServer) -> None:
    """Cut off, or with another checksum."""
    await begin(dav)
    refused = await dav("PUT", f"{UPLOADS}/web-1/1", b"x", OC_Checksum="MD5:00")
    assert refused.status == 400
    cut = await dav("PUT", f"{UPLOADS}/web-1/1", stream(b"abc"), X_Expected_Entity_Length="4")
    assert cut.status == 400
    assert not dav.world.rows(Table.PARTS)


async def test_old_chunking_is_refused(dav: WebdavServer) -> None:
    """Each piece would look like a file."""
    refused = await dav("PUT", "/bucket/f-chunking-1-2-0", b"x", OC_Chunked="1")
    assert refused.status == 400
    assert (await dav("GET", "/bucket/f-chunking-1-2-0")).status == 404


async def test_who_the_server_is(dav: WebdavServer) -> None:
    """A client looks there before anybody logs in, then for what it can do, then for its user."""
    status = json.loads((await dav("GET", "/status.php", auth=None)).body)
    assert (status["installed"], status["maintenance"]) == (True, False)
    assert (await dav("GET", "/ocs/v2.php/cloud/user?format=json", auth=None)).status == 401
    user = json.loads((await dav("GET", "/ocs/v2.php/cloud/user?format=json")).body)["ocs"]
    assert (user["meta"]["statuscode"], user["data"]["id"]) == (200, USER)
    capabilities = json.loads((await dav("GET", "/ocs/v1.php/cloud/capabilities?format=json")).body)["ocs"]
    assert capabilities["meta"]["statuscode"] == 100
    assert capabilities["data"]["capabilities"]["dav"]["chunking"] == "1.0"
    xml = ET.fromstring((await dav("GET", "/ocs/v1.php/cloud/capabilities")).body)
    assert xml.findtext("data/capabilities/files/bigfilechunking") == "1"
    assert (await dav("GET", "/ocs/v1.php/cloud/none")).status == 404

"""The elements of a folder's files: written by columns they are what each would be alone."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noisefs.adapters.inbound.webdav.listing.brevity import NO_BREVITY, Brevity
from noisefs.adapters.inbound.webdav.listing.multistatus import Renderer
from noisefs.adapters.inbound.webdav.listing.scene import Scene
from noisefs.adapters.inbound.webdav.listing.wanted import EVERYTHING, Mode, Wanted
from noisefs.adapters.inbound.webdav.places.nodes import Members, Node
from noisefs.adapters.inbound.webdav.places.place import Place
from noisefs.adapters.inbound.webdav.places.view import WHOLE, View, view_of
from noisefs.adapters.inbound.webdav.rules.locking import LockMap
from noisefs.core.domain.ids import UserId
from noisefs.core.domain.records import Bucket, Lock, Version

BUCKET = Bucket(7, UserId("me"), 1_700_000_000_000_000)
SOME = Wanted(Mode.SOME, ("{DAV:}getcontentlength", "{DAV:}resourcetype", "{urn:x%s}own", "{DAV:}displayname"))
CLOUD = Wanted(Mode.SOME, ("{http://owncloud.org/ns}fileid", "{DAV:}getetag"))

names = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=8)
versions = st.builds(
    Version,
    size=st.integers(0, 1 << 40),
    etag=st.sampled_from(["d41d8cd98f00b204e9800998ecf8427e", "0" * 32 + "-3"]),
    modified_us=st.integers(0, 4_000_000_000_000_000),
    owner=st.just(UserId("me")),
    content_type=st.sampled_from(["text/plain", "a/b; c=<&>", ""]),
    headers=st.sampled_from([{}, {}, {}, {"Content-Language": "de"}]),
    created_us=st.sampled_from([0, 1_600_000_000_000_000]),
)


def elements(xml: bytes) -> list[str]:
    """The response elements, in an order of their own."""
    return sorted(re.findall(r"<D:response>.*?</D:response>", xml.decode(), re.DOTALL))


def members_of(files: dict[str, Version], key: str = "a b/c") -> Members:
    """A folder's members, with two folders among them."""
    return Members(Node(Place("bucket", key), bucket=BUCKET), ["x", "y&z"], list(files), list(files.values()))


@pytest.mark.parametrize("key", ["", "a b/c"])
@pytest.mark.parametrize("wanted", [EVERYTHING, SOME, CLOUD, Wanted(Mode.NAMES)], ids=["all", "some", "oc", "names"])
@given(files=st.dictionaries(names, versions, max_size=6), noted=st.booleans())
def test_columns_say_what_each_file_says_alone(
    key: str, wanted: Wanted, files: dict[str, Version], *, noted: bool
) -> None:
    """Whatever the names, headers and dead properties are."""
    members = members_of(files, key)
    dead = {}
    if noted:
        dead = {node.place.path: {"{urn:x%s}own": b"<own/>"} for node in list(members)[::2]}
    renderer = Renderer(wanted, Scene())

    assert elements(renderer.page(members, dead)) == elements(renderer.page(list(members), dead))


@pytest.mark.parametrize("view", [WHOLE, view_of("bucket"), view_of("bucket/a b"), View(base="/remote.php/webdav")])
@pytest.mark.parametrize("brevity", [NO_BREVITY, Brevity(frozenset({"{DAV:}displayname"}))])
@pytest.mark.parametrize("locked", [False, True])
def test_columns_keep_to_the_scene(view: View, brevity: Brevity, *, locked: bool) -> None:
    """Where paths begin, what is left out, and which files are locked."""
    files = {name: Version(5, "e" * 32, 1, UserId("me"), content_type="t/p") for name in ("one", "two ü", "three")}
    lock = Lock("urn:uuid:1", "/bucket/a b/c/one", UserId("me"), 0, 0, exclusive=True, deep=False)
    scene = Scene(locks=LockMap([lock] if locked else []), view=view)
    renderer = Renderer(EVERYTHING, scene, brevity)
    members = members_of(files)

    xml = renderer.page(members, {})

    assert elements(xml) == elements(renderer.page(list(members), {}))
    assert xml.count(b"<D:activelock>") == locked

"""What Kubo's answers mean, where a real daemon cannot be made to give them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noisefs.adapters.outbound.ipfs.answers import (
    PinList,
    check_import,
    failure,
    id_text,
    judge_version,
    message_of,
    parse_root_id,
    row_of,
    shorten,
)
from noisefs.adapters.outbound.ipfs.client import check_url
from noisefs.adapters.outbound.ipfs.private import PRIVATE, apply_private_settings, swarm_key, why_public
from noisefs.core.domain.ids import RootId
from noisefs.core.domain.nodes.block_id import compute_block_id
from noisefs.core.domain.nodes.root import root_id
from noisefs.core.errors import InvalidArgument, LinksMissing, NodeFull, NodeRefused, NodeUnavailable

ROOT = root_id(b"a root")


def _error(message: str) -> bytes:
    return json.dumps({"Message": message, "Code": 0, "Type": "error"}).encode()


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (401, b"Unauthorized", NodeRefused),
        (403, b"Kubo RPC Access Denied: Please provide a valid authorization token", NodeRefused),
        (404, b"404 page not found\n", NodeRefused),
        (405, b"405 - Method Not Allowed\n", NodeRefused),
        (404, b'{"code":404,"message":"not found"}', NodeUnavailable),
        (507, b"", NodeFull),
        (500, _error("write /data/blocks/X: no space left on device"), NodeFull),
        (500, _error("write /data/blocks/X: disk quota exceeded"), NodeFull),
        (500, _error("open /data/blocks/X: read-only file system"), NodeFull),
        (500, _error("x" * 1000 + ": no space left on device"), NodeFull),
        (500, _error("context deadline exceeded"), NodeUnavailable),
        (502, b"<html>Bad Gateway</html>", NodeUnavailable),
        (302, b"", NodeUnavailable),
        (500, b"[1]", NodeUnavailable),
        (500, b"\xff\xfe", NodeUnavailable),
    ],
)
def test_an_error_has_one_meaning(status: int, body: bytes, kind: type[NodeUnavailable]) -> None:
    error = failure("it", "pin/add", status, body)
    assert type(error) is kind
    assert str(error).startswith("node it: pin/add: ")
    assert len(str(error)) < 400


def test_of_a_long_message_its_end_is_kept() -> None:
    assert shorten("a" * 999 + " the cause").endswith(" the cause")
    assert shorten("short") == "short"


def test_a_message_is_one_line() -> None:
    assert message_of(b"one\r\ntwo\n") == "one two"
    assert message_of(b'{"code": 500, "message": "of a cluster"}') == "of a cluster"


@pytest.mark.parametrize(
    ("rows", "kind"),
    [
        ([], NodeUnavailable),
        ([{"Root": {"Cid": {"/": id_text(root_id(b"another"))}, "PinErrorMsg": ""}}], NodeUnavailable),
        ([{"Stats": {"BlockCount": 5}}], NodeUnavailable),
        ([{"Root": None}], NodeUnavailable),
        ([{"Root": {"Cid": {"/": id_text(ROOT)}, "PinErrorMsg": "ipld: could not find bafk"}}], LinksMissing),
        ([{"Root": {"Cid": {"/": id_text(ROOT)}, "PinErrorMsg": "merkledag: not found"}}], LinksMissing),
        ([{"Root": {"Cid": {"/": id_text(ROOT)}, "PinErrorMsg": "context deadline exceeded"}}], LinksMissing),
        ([{"Root": {"Cid": {"/": id_text(ROOT)}, "PinErrorMsg": "put: no space left on device"}}], NodeFull),
        ([{"Root": {"Cid": {"/": id_text(ROOT)}, "PinErrorMsg": "leveldb: closed"}}], NodeUnavailable),
    ],
)
def test_an_import_counts_only_when_its_root_is_pinned(
    rows: list[dict[str, object]], kind: type[NodeUnavailable]
) -> None:
    with pytest.raises(NodeUnavailable) as raised:
        check_import("it", "dag/import", ROOT, list(rows))
    assert type(raised.value) is kind


def test_a_pinned_root_is_found_among_other_rows() -> None:
    rows: list[dict[str, object]] = [
        {"Root": {"Cid": {"/": id_text(root_id(b"another"))}, "PinErrorMsg": "of another"}},
        {"Root": {"Cid": {"/": id_text(ROOT)}, "PinErrorMsg": ""}},
        {"Stats": {"BlockCount": 5}},
    ]
    check_import("it", "dag/import", ROOT, list(rows))


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (b'{"Error":"could not remove bafk: permission denied"}', NodeUnavailable),
        (b'{"Message":"could not remove: no space left on device","Code":0,"Type":"error"}', NodeFull),
        (b'"a string"', NodeUnavailable),
        (b'{"Key":', NodeUnavailable),
    ],
)
def test_a_row_may_be_an_error(line: bytes, kind: type[NodeUnavailable]) -> None:
    with pytest.raises(NodeUnavailable) as raised:
        row_of("it", "repo/gc", line)
    assert type(raised.value) is kind


def _pin_list(names: list[str]) -> bytes:
    keys = {name: {"Type": "recursive", "Name": ""} for name in names}
    return json.dumps({"Keys": keys} if keys else {}, separators=(",", ":")).encode() + b"\n"


ROOTS = [root_id(bytes([n])) for n in range(20)]
OTHERS = ["QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn", id_text(compute_block_id(b"raw"))]


@given(st.lists(st.integers(1, 200), min_size=1, max_size=60), st.integers(0, 20))
def test_a_list_of_pins_reads_the_same_in_any_pieces(cuts: list[int], count: int) -> None:
    raw = _pin_list([*OTHERS, *map(id_text, ROOTS[:count])])
    reader, at = PinList(), 0
    found: list[RootId] = []
    for cut in cuts:
        found += reader.feed(raw[at : at + cut])
        at += cut
        assert reader.whole() == (at >= len(raw))
    found += reader.feed(raw[at:])
    assert found == ROOTS[:count]
    assert reader.whole()


def test_a_list_of_no_pins_is_whole_and_nothing_is_not() -> None:
    for raw, whole in ((_pin_list([]), True), (b"", False), (b"<html>{}\n", False)):
        reader = PinList()
        assert list(reader.feed(raw)) == []
        assert reader.whole() is whole


@pytest.mark.parametrize(
    "text",
    ["", "b", id_text(compute_block_id(b"raw")), id_text(ROOT).upper(), id_text(ROOT)[:-1] + "b", "b" + "1" * 58],
)
def test_what_is_no_root_is_none(text: str) -> None:
    assert parse_root_id(text) is None


def test_a_root_has_one_text() -> None:
    assert parse_root_id(id_text(ROOT)) == ROOT


@pytest.mark.parametrize(
    ("version", "usable", "said"),
    [
        ("0.43.0", True, ""),
        ("v0.44.1-rc1", True, ""),
        ("1.0.0", True, ""),
        ("0.42.9", True, "older than 0.43"),
        ("0.20.0", True, "older than 0.43"),
        ("0.19.2", False, "too old"),
        ("", False, "does not tell"),
        ("go-ipfs", False, "does not tell"),
    ],
)
def test_versions_are_judged(version: str, usable: bool, said: str) -> None:
    judged, reason = judge_version(version)
    assert judged is usable
    assert (said in reason) if said else not reason


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:5001",
        "http://",
        "http://u:p@host:5001",
        "unix:///x",
        "http://host:99999",
        "http://h/?a=b",
        "http://h:0",
    ],
)
def test_an_address_is_plain_http(url: str) -> None:
    with pytest.raises(InvalidArgument) as raised:
        check_url("api", url)
    assert "u:p" not in str(raised.value)


def test_an_address_may_have_a_path() -> None:
    assert check_url("api", "https://example.org/ipfs/") == "https://example.org/ipfs"


def _settings() -> dict[str, object]:
    mounts = [{"type": "flatfs", "sync": False}, {"type": "levelds"}]
    config: dict[str, object] = {"Datastore": {"Spec": {"mounts": mounts}}, "Bootstrap": ["auto"]}
    apply_private_settings(config, swarm=["/ip4/0.0.0.0/tcp/4001"], api="/ip4/127.0.0.1/tcp/5001", gateway="")
    return config


def test_shipped_settings_are_not_public() -> None:
    assert len(PRIVATE) > 20
    assert why_public(_settings(), has_swarm_key=True) == ""
    assert why_public(_settings(), has_swarm_key=None) == ""
    assert "swarm key" in why_public(_settings(), has_swarm_key=False)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"Routing": {}, "Provide": {"Enabled": False}, "Bootstrap": []}, "Routing.Type is 'auto'"),
        ({"Routing": {"Type": "dht"}, "Provide": {"Enabled": False}}, "Routing.Type is 'dht'"),
        ({"Routing": {"Type": "none"}, "Provide": {"Enabled": False}, "Bootstrap": ["/dnsaddr/x"]}, "1 entries"),
        ({"Routing": {"Type": "none"}, "Bootstrap": None}, "Provide is on"),
    ],
)
def test_public_settings_are_told(config: dict[str, object], said: str) -> None:
    assert said in why_public(config, has_swarm_key=None)
    assert why_public(config, has_swarm_key=True) == ""


def test_a_node_that_listens_on_loopback_alone_needs_no_key() -> None:
    config = {**_settings(), "Addresses": {"Swarm": ["/ip4/127.0.0.1/tcp/4001"]}}
    assert why_public(config, has_swarm_key=False) == ""


def test_a_swarm_key_is_a_file_of_three_lines() -> None:
    assert swarm_key(bytes(32)) == f"/key/swarm/psk/1.0.0/\n/base16/\n{'00' * 32}\n"
    with pytest.raises(ValueError, match="32 bytes"):
        swarm_key(b"short")

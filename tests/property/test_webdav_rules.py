"""Laws of WebDAV's pure rules: paths, the If header, what is shown and what is hidden."""

from hypothesis import given
from hypothesis import strategies as st

from noisefs.adapters.inbound.webdav.listing.wanted import parse_propfind
from noisefs.adapters.inbound.webdav.places.place import Place, is_expressible, place_of
from noisefs.adapters.inbound.webdav.refusal import Refused
from noisefs.adapters.inbound.webdav.rules.if_header import Condition, ConditionList, IfHeader, parse_if
from noisefs.adapters.inbound.webdav.rules.preconditions import byte_range, byte_ranges, etags_of
from noisefs.core.domain.ids import UserId
from noisefs.core.domain.records import Version
from noisefs.core.errors import InvalidArgument, RangeNotSatisfiable

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=12).filter(is_expressible)
PLACES = st.builds(lambda bucket, names: Place(bucket, "/".join(names)), NAMES, st.lists(NAMES, max_size=5))
URIS = st.from_regex(r"[a-z]{1,5}:[!-;=?-~]{1,12}", fullmatch=True)
ETAGS = st.from_regex(r'(W/)?"[!#-~]{0,8}"', fullmatch=True)
CONDITIONS = st.builds(
    lambda value, etag, is_etag, negated: Condition(etag if is_etag else value, is_etag, negated),
    URIS,
    ETAGS,
    st.booleans(),
    st.booleans(),
)
LISTS = st.lists(CONDITIONS, min_size=1, max_size=4).map(tuple)
TAGGED = st.lists(st.builds(ConditionList, URIS, LISTS), min_size=1, max_size=4)
UNTAGGED = st.lists(st.builds(ConditionList, st.just(""), LISTS), min_size=1, max_size=4)


def written(header: IfHeader) -> str:
    """The header as text; every list names its resource, where it has one."""
    text = ""
    for group in header.lists:
        inside = " ".join(
            ("Not " if one.negated else "") + (f"[{one.value}]" if one.is_etag else f"<{one.value}>")
            for one in group.conditions
        )
        text += f"<{group.resource}> ({inside}) " if group.resource else f"({inside}) "
    return text


@given(PLACES)
def test_an_href_names_the_place_it_was_made_from(place: Place) -> None:
    """Whatever is in its name; in pure ASCII, without anything that could mean something else."""
    for collection in (False, True):
        href = place.href(collection=collection)
        found = place_of(href)
        assert (found.bucket, found.key) == (place.bucket, place.key)
        assert href.isascii()
        assert not set('?#;&<>" ') & set(href)


@given(st.text(max_size=40))
def test_a_target_is_a_place_or_refused(target: str) -> None:
    """And a place's path has no empty and no dot segment, so no two places share a key."""
    try:
        place = place_of("/" + target)
    except InvalidArgument:
        return
    segments = [place.bucket, *place.key.split("/")] if place.key else [place.bucket] if place.bucket else []
    assert all(is_expressible(segment) for segment in segments)
    assert "\0" not in place.path


@given(st.one_of(TAGGED, UNTAGGED))
def test_an_if_header_is_read_as_it_was_written(lists: list[ConditionList]) -> None:
    """Every list, resource, tag, token and negation."""
    header = IfHeader(tuple(lists))
    assert parse_if(written(header)) == header


@given(st.text(st.sampled_from('()<>[]"Not aW/ \t,'), max_size=30))
def test_any_text_is_an_if_header_or_refused(text: str) -> None:
    """No other exception, and nothing parses to no lists at all."""
    try:
        header = parse_if(text)
    except InvalidArgument:
        return
    assert header.lists
    assert all(group.conditions for group in header.lists)


@given(st.lists(st.from_regex(r"[!#-+\--~]{1,8}", fullmatch=True), min_size=1, max_size=5))
def test_entity_tags_are_read_as_they_were_written(tags: list[str]) -> None:
    """Quoted, in a list."""
    assert etags_of(", ".join(f'"{tag}"' for tag in tags)) == tuple(tags)


@given(st.text(max_size=40), st.integers(0, 100))
def test_a_range_lies_within_the_file(header: str, size: int) -> None:
    """Or is ignored, or refused: never empty, never beyond."""
    version = Version(size, "e", 0, UserId("u"))
    for text in (header, f"bytes={header}"):
        try:
            found = byte_range({"Range": text}, version)
        except RangeNotSatisfiable:
            continue
        assert found is None or 0 <= found[0] < found[1] <= size


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), min_size=1, max_size=6), st.integers(0, 40))
def test_several_ranges_lie_within_the_file_and_apart(spans: list[tuple[int, int]], size: int) -> None:
    """In the order asked for; all bytes that are asked for and there, or the whole file, or 416."""
    version = Version(size, "e", 0, UserId("u"))
    asked = ",".join(f"{first}-{last}" for first, last in spans)
    try:
        found = byte_ranges({"Range": f"bytes={asked}"}, version)
    except RangeNotSatisfiable:
        assert all(first >= size for first, _ in spans)
        return
    assert all(0 <= start < end <= size for start, end in found)
    taken = [at for start, end in found for at in range(start, end)]
    assert len(set(taken)) == len(taken)
    if found:
        assert taken == [at for first, last in spans for at in range(first, min(last + 1, size))]


@given(st.integers(0, 120), st.integers(0, 120), st.integers(1, 100))
def test_a_range_is_the_bytes_it_names(first: int, last: int, size: int) -> None:
    """Compared with slicing."""
    data = bytes(range(size))
    version = Version(size, "e", 0, UserId("u"))
    try:
        found = byte_range({"Range": f"bytes={first}-{last}"}, version)
    except RangeNotSatisfiable:
        assert first >= size
        return
    if found is None:
        assert last < first
    else:
        assert data[found[0] : found[1]] == data[first : last + 1]


@given(st.binary(max_size=200))
def test_any_bytes_are_a_propfind_or_refused(body: bytes) -> None:
    """With 400, and no other exception."""
    statuses = []
    for document in (body, b"<propfind xmlns='DAV:'>" + body + b"</propfind>"):
        try:
            parse_propfind(document)
        except Refused as exc:
            statuses.append(exc.status)
    assert set(statuses) <= {400}

"""Reading traces, and telling what is wrong with them."""

import pytest

from noisefs.core.domain.caching.access import Access
from noisefs.core.domain.caching.asker import Protocol
from noisefs.core.domain.caching.replaying.trace import BadTrace, read_trace


def test_numerical_ids_are_neighbours_in_groups() -> None:
    trace = read_trace(["time,id,size\n", "0,65,10\n", "1.5,64,1\n", "2,0,1\n"])
    assert trace.accesses[0] == Access(65, 10, 0.0, 1, 64, group=1)
    assert trace.accesses[2] == Access(0, 1, 2.0, 0, None, group=0)
    assert trace.ids.tolist() == [65, 64, 0]
    assert trace.objects == 3


def test_recorded_traces_tell_object_and_position() -> None:
    lines = [
        "time,id,size,object,position,protocol,sequential",
        "0,a,10,x,0,s3,0",
        "1,b,10,x,1,webdav,1",
        "2,a,10,x,0,gopher,0",
    ]
    trace = read_trace(lines)
    assert trace.accesses[1] == Access(1, 10, 1.0, 1, 0, Protocol.WEBDAV, sequential=True, group=0)
    assert [access.protocol for access in trace.accesses] == [Protocol.S3, Protocol.WEBDAV, len(Protocol)]
    assert trace.ids.tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "line 1: the header"),
        (["time,id"], "line 1: .* size is missing"),
        (["time,id,size"], "no read"),
        (["time,id,size", "0,1,1", "1,2"], "line 3: 2 fields"),
        (["time,id,size", "0,1,x"], "line 2: time and size must be numbers"),
        (["time,id,size", "0,1,0"], "line 2: size 0"),
        (["time,id,size", "nan,1,1"], "line 2: size 1 and time nan"),
        (["time,id,size", "5,1,1", "4,1,1"], "line 3: time 4 comes before"),
        (["time,id,size", "5,1,1", "6,a,1"], "line 3: id 'a' is no number"),
        (["time,id,size", "5,,1"], "line 2: no id"),
        (["time,id,size,object,position", "5,a,1,x,-1"], "line 2: position"),
    ],
)
def test_a_bad_line_is_named(lines: list[str], message: str) -> None:
    with pytest.raises(BadTrace, match=message):
        read_trace(lines)

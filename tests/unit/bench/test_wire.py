"""The load client: what it counts, what it refuses, how it goes on."""

from collections.abc import Callable, Iterator
from itertools import repeat

import pytest

from bench.failures import BenchError
from bench.payload import Pool
from bench.wire import Driver, Outcome, Request

Serve = Callable[[Callable[[bytes], bytes]], tuple[str, int]]
GET = b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture(scope="module")
def pool() -> Pool:
    return Pool(4 << 20)


def answer(body: bytes, status: bytes = b"200 OK") -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)


def drive(address: tuple[str, int], requests: Iterator[Request], connections: int = 2) -> Outcome:
    driver = Driver(address, connections)
    try:
        return driver.run(requests, 60)
    finally:
        driver.close()


def test_every_answer_is_counted(serve: Serve) -> None:
    outcome = drive(serve(lambda _: answer(b"y" * 10)), repeat(Request(GET), 25))
    assert outcome.count == 25
    assert outcome.errors == 0
    assert all(0 < first <= whole for first, whole in zip(outcome.firsts_s, outcome.latencies_s, strict=True))


def test_large_answers_are_read_to_their_end(serve: Serve) -> None:
    size = 3 << 20
    outcome = drive(serve(lambda _: answer(bytes(size))), repeat(Request(GET, answer_bytes=size), 4))
    assert (outcome.count, outcome.errors) == (4, 0)


@pytest.mark.parametrize("size", [1, 4096, 65536, 65537, 3 << 20])
def test_bodies_arrive_whole(serve: Serve, pool: Pool, size: int) -> None:
    head = b"PUT /x HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size
    outcome = drive(serve(lambda _: answer(b"")), repeat(Request(head, pool, size), 6))
    assert (outcome.count, outcome.errors) == (6, 0)


def test_chunked_answers_end_with_their_last_chunk(serve: Serve) -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    outcome = drive(serve(lambda _: chunked), repeat(Request(GET), 5))
    assert (outcome.count, outcome.errors) == (5, 0)


def test_an_interim_answer_is_skipped(serve: Serve) -> None:
    both = b"HTTP/1.1 100 Continue\r\n\r\n" + answer(b"")
    outcome = drive(serve(lambda _: both), repeat(Request(GET), 3), connections=1)
    assert outcome.errors == 0


def test_a_wrong_status_is_an_error_that_is_shown(serve: Serve) -> None:
    outcome = drive(serve(lambda _: answer(b"SlowDown", b"503 Slow")), repeat(Request(GET), 3), connections=1)
    assert (outcome.count, outcome.errors) == (0, 3)
    assert "SlowDown" in outcome.first_error


def test_a_wrong_length_is_an_error(serve: Serve) -> None:
    outcome = drive(serve(lambda _: answer(b"short")), repeat(Request(GET, answer_bytes=9), 2), connections=1)
    assert (outcome.count, outcome.errors) == (0, 2)


def test_a_connection_cut_inside_an_answer_is_an_error_and_the_run_goes_on(serve: Serve) -> None:
    answers = iter([b"", *repeat(answer(b""), 9)])
    outcome = drive(serve(lambda _: next(answers)), repeat(Request(GET), 10), connections=1)
    assert (outcome.count, outcome.errors) == (9, 1)


def test_a_server_that_only_fails_ends_the_run(serve: Serve) -> None:
    with pytest.raises(BenchError, match="wrong answers"):
        drive(serve(lambda _: answer(b"", b"500 No")), repeat(Request(GET), 1000))


def test_answered_requests_are_told_of(serve: Serve) -> None:
    told: list[Request] = []
    driver = Driver(serve(lambda _: answer(b"")), 2)
    driver.run(repeat(Request(GET), 5), 60, answered=told.append)
    driver.close()
    assert len(told) == 5

"""Where a request ends, however its bytes are cut."""

import pytest

from app.web.worker.arrival import MAX_BYTES, Arrival

REQUESTS = {
    "no body": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "no header": b"GET / HTTP/1.1\r\n\r\n",
    "length": b"POST / HTTP/1.1\r\ncontent-LENGTH:  7 \r\n\r\na\r\n\r\nbc",
    "length with zeros": b"POST / HTTP/1.1\r\nContent-Length: %s2\r\n\r\nab" % (100 * b"0"),
    "length of 0": b"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
    "another header's length": b"GET / HTTP/1.1\r\nX-Content-Length: 7\r\n\r\n",
    "chunks": b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n",
    "a chunk like the last": b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n0\r\n\r\n\r\n0\r\n\r\n",
    "trailers": b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nDigest: y\r\n\r\n",
}


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
def test_request_is_complete_with_its_last_byte(request_: bytes) -> None:
    arrival = Arrival()
    for index in range(len(request_)):
        assert not arrival.is_complete
        assert arrival.add(request_[index : index + 1]) == 1
    assert arrival.is_complete
    assert not arrival.is_large
    assert arrival.data == request_


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
def test_next_request_is_left(request_: bytes) -> None:
    arrival = Arrival()
    assert arrival.add(request_ + REQUESTS["length"]) == len(request_)
    assert arrival.data == request_


def test_empty_lines_before_a_request_are_no_request() -> None:
    arrival = Arrival()
    arrival.add(b"\r\n\r\n\r")
    assert not arrival.has_header
    arrival.add(b"\n" + REQUESTS["no body"])
    assert arrival.is_complete
    assert arrival.data == REQUESTS["no body"]


def test_expectation_is_removed_because_the_worker_meets_it() -> None:
    """Gunicorn would send a second 100 Continue."""
    arrival = Arrival()
    arrival.add(b"POST / HTTP/1.1\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\n")
    assert arrival.expects_continue
    assert not arrival.is_complete
    assert arrival.add(b"ab" + REQUESTS["no body"]) == 2
    assert arrival.data == b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nab"


@pytest.mark.parametrize(
    "request_",
    [
        b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % MAX_BYTES,
        b"POST / HTTP/1.1\r\nContent-Length: %s\r\n\r\n" % (5000 * b"9"),
        b"GET / HTTP/1.1\r\nX: " + MAX_BYTES * b"x",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1ffff\r\n" + MAX_BYTES * b"x",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
    ],
    ids=["length", "absurd length", "header", "chunks", "malformed chunk"],
)
def test_request_that_has_no_end_within_the_bound_is_large(request_: bytes) -> None:
    arrival = Arrival()
    arrival.add(request_)
    assert arrival.is_large
    assert not arrival.is_complete


def test_unknown_transfer_coding_is_not_waited_for() -> None:
    """Its end can't be known; gunicorn refuses it with 501 (RFC 9112, section 6.1)."""
    arrival = Arrival()
    arrival.add(b"GET / HTTP/1.1\r\nTransfer-Encoding: x\r\n\r\n")
    assert arrival.is_complete

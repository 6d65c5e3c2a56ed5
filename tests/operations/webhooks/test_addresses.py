"""Where a webhook may lead: never inside, unless the operator says so."""

import re
import socket
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import InvalidInput
from app.operations.webhooks.url_policy import URL_PATTERN, AddressRefused, check_url, may_reach, origin_of, resolve
from app.settings import Settings

PUBLIC = ("93.184.216.34", "8.8.8.8", "2606:2800:220:1:248:1893:25c8:1946", "2a00:1450:4001:81b::200e")
INSIDE = (
    "127.0.0.1", "127.8.9.1", "::1", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1",
    "fc00::1", "fd12:3456::1", "198.18.0.1", "192.0.0.1", "192.0.2.1", "198.51.100.1", "203.0.113.1", "240.0.0.1",
    "255.255.255.255", "0.1.2.3", "192.88.99.1", "2001:db8::1", "2002:7f00:1::", "2001:0:7f00:1::", "64:ff9b::7f00:1",
    "64:ff9b:1::7f00:1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::127.0.0.1", "3fff::1", "100::1",
)  # fmt: skip
NEVER = (
    "169.254.169.254", "fe80::1", "fe80::1%eth0", "::ffff:169.254.169.254", "::", "224.0.0.1", "ff02::1",
    "nonsense", "", ".".join("0000"), "fd00:ec2::254", "100.100.100.200", "::ffff:100.100.100.200",
)  # fmt: skip


def settings(**changes: Any) -> Settings:
    return Settings(environment="production").model_copy(update=changes)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_address_may_be_reached(address: str) -> None:
    """Wherever it is asked for."""
    assert may_reach(address, may_be_inside=False)
    assert may_reach(address, may_be_inside=True)


@pytest.mark.parametrize("address", INSIDE)
def test_address_inside_is_for_who_allows_it(address: str) -> None:
    """Private, loopback, of examples, and whatever holds another address in itself."""
    assert not may_reach(address, may_be_inside=False)
    assert may_reach(address, may_be_inside=True)


@pytest.mark.parametrize("address", NEVER)
def test_address_of_the_link_or_of_nobody_is_never_reached(address: str) -> None:
    """Clouds tell a machine its keys there; STEPKEEP_WEBHOOK_PRIVATE_NETWORKS does not change it."""
    assert not may_reach(address, may_be_inside=True)
    assert not may_reach(address, may_be_inside=False)


def test_name_of_which_one_address_is_inside_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever it is: the connection might go there."""
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443)) for address in ("8.8.8.8", "10.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_kwargs: found)
    with pytest.raises(AddressRefused):
        resolve("mixed.example", 443, may_be_inside=False)
    assert resolve("mixed.example", 443, may_be_inside=True) == ["8.8.8.8", "10.0.0.1"]


@pytest.mark.parametrize("host", ["0x7f.1", "2130706433", "127.1", "0177.0.0.1", "localhost"])
def test_address_that_is_written_in_another_way_is_looked_at_as_it_is(host: str) -> None:
    """As the resolver reads it: all of these are this machine."""
    with pytest.raises(AddressRefused):
        resolve(host, 443, may_be_inside=False)


GOOD = (
    "https://receiver.example.org",
    "https://receiver.example.org/",
    "https://receiver.example.org:8443/hook?key=a&b=%20@x",
    "https://xn--mnchen-3ya.de/x",
    "https://receiver/hook",
)
BAD: tuple[object, ...] = (
    "", None, 7, "receiver.example.org", "ftp://receiver.example.org/", "https://", "https:///x", "//receiver.example/",
    "https://user:password@receiver.example.org/", "https://user@receiver.example.org/", "https://a.example/#x",
    "https://a.example/ x", "https://a.example/\n", "https://a.example\n", "https://a.example/ü", "https://münchen.de/",
    "https://a.example:0/", "https://a.example:65536/", "https://a.example:x/", "https://a.example\\@b.example/",
    "https://[::1]@a.example/", "https://a.example?x", "javascript:alert(1)", "file:///etc/passwd", "https://-",
    "https://a.example/" + "x" * 2000,
)  # fmt: skip
IN_NUMBERS = ("https://127.0.0.1/", "https://10.0.0.1:8443/x", "https://[::1]:8443/")


@pytest.mark.parametrize("url", GOOD)
def test_address_of_a_name_over_tls_is_taken(url: str) -> None:
    """With a port, a path and a query."""
    assert check_url(url, settings()) == url


@pytest.mark.parametrize("url", BAD)
@pytest.mark.parametrize("environment", ["production", "development"])
def test_address_that_is_none_or_hides_something_is_refused(url: object, environment: str) -> None:
    """No credentials, no fragment, nothing that parsers read in two ways, no other scheme."""
    with pytest.raises(InvalidInput):
        check_url(url, settings(environment=environment))


@pytest.mark.parametrize("url", ["http://receiver.example.org/", *IN_NUMBERS, "http://127.0.0.1:9000/x"])
def test_plain_http_and_numbers_are_for_development(url: str) -> None:
    """In production TLS only; numbers only where the operator's own network is allowed."""
    assert check_url(url, settings(environment="development")) == url
    with pytest.raises(InvalidInput):
        check_url(url, settings())
    if url.startswith("https:"):
        assert check_url(url, settings(webhook_private_networks=True)) == url
    else:
        with pytest.raises(InvalidInput):
            check_url(url, settings(webhook_private_networks=True))


@given(st.from_regex(URL_PATTERN, fullmatch=True))
def test_whatever_the_document_allows_is_taken(url: str) -> None:
    """The pattern is what OpenAPI tells; up to its length."""
    if len(url) <= 2000:
        assert check_url(url.rstrip("\n"), settings()) == url.rstrip("\n")


def test_origin_has_no_path() -> None:
    """Whom it goes to, without what may be a secret."""
    assert origin_of("https://a.example:8443/token/abc?key=d") == "https://a.example:8443"
    assert re.fullmatch(URL_PATTERN, "https://a.example")

"""URLs and addresses of webhooks: private networks only if the operator allows them."""

import re
import socket
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import InvalidInput
from app.operations.webhooks.url_policy import URL_PATTERN, AddressRefused, is_allowed, origin, resolve, validate_url
from app.settings import Settings

PUBLIC = ("93.184.216.34", "8.8.8.8", "2606:2800:220:1:248:1893:25c8:1946", "2a00:1450:4001:81b::200e")
PRIVATE = (
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
def test_public_addresses_are_allowed(address: str) -> None:
    """With both settings."""
    assert is_allowed(address, allow_private=False)
    assert is_allowed(address, allow_private=True)


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_are_allowed_when_private_networks_are(address: str) -> None:
    """Private, loopback and documentation networks, and those that embed another address."""
    assert not is_allowed(address, allow_private=False)
    assert is_allowed(address, allow_private=True)


@pytest.mark.parametrize("address", NEVER)
def test_link_local_and_special_addresses_are_never_allowed(address: str) -> None:
    """Cloud metadata services return credentials there; no setting allows them."""
    assert not is_allowed(address, allow_private=True)
    assert not is_allowed(address, allow_private=False)


def test_name_is_refused_when_one_of_its_addresses_is_private(monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection might go to that address."""
    infos = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443)) for address in ("8.8.8.8", "10.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_kwargs: infos)
    with pytest.raises(AddressRefused):
        resolve("mixed.example", 443, allow_private=False)
    assert resolve("mixed.example", 443, allow_private=True) == ["8.8.8.8", "10.0.0.1"]


@pytest.mark.parametrize("host", ["0x7f.1", "2130706433", "127.1", "0177.0.0.1", "localhost"])
def test_other_notations_of_an_address_are_resolved_before_the_check(host: str) -> None:
    """All of these are the loopback address."""
    with pytest.raises(AddressRefused):
        resolve(host, 443, allow_private=False)


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
IP_ADDRESSES = ("https://127.0.0.1/", "https://10.0.0.1:8443/x", "https://[::1]:8443/")


@pytest.mark.parametrize("url", GOOD)
def test_https_url_with_a_host_name_is_valid(url: str) -> None:
    """With port, path and query."""
    assert validate_url(url, settings()) == url


@pytest.mark.parametrize("url", BAD)
@pytest.mark.parametrize("environment", ["production", "development"])
def test_url_is_refused_when_it_is_ambiguous_or_has_credentials(url: object, environment: str) -> None:
    """Also with a fragment or another scheme."""
    with pytest.raises(InvalidInput):
        validate_url(url, settings(environment=environment))


@pytest.mark.parametrize("url", ["http://receiver.example.org/", *IP_ADDRESSES, "http://127.0.0.1:9000/x"])
def test_http_and_ip_addresses_are_for_development(url: str) -> None:
    """Production requires TLS, and allows IP addresses only with private networks."""
    assert validate_url(url, settings(environment="development")) == url
    with pytest.raises(InvalidInput):
        validate_url(url, settings())
    if url.startswith("https:"):
        assert validate_url(url, settings(webhook_private_networks=True)) == url
    else:
        with pytest.raises(InvalidInput):
            validate_url(url, settings(webhook_private_networks=True))


@given(st.from_regex(URL_PATTERN, fullmatch=True))
def test_every_url_that_matches_the_openapi_pattern_is_valid(url: str) -> None:
    """Up to the maximum length."""
    if len(url) <= 2000:
        assert validate_url(url.rstrip("\n"), settings()) == url.rstrip("\n")


def test_origin_has_no_path() -> None:
    """The path may contain a secret."""
    assert origin("https://a.example:8443/token/abc?key=d") == "https://a.example:8443"
    assert re.fullmatch(URL_PATTERN, "https://a.example")

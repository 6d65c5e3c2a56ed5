"""Whom a webhook may reach: what an address may look like, and which machines it may lead to.

Whoever may add a webhook makes this server send requests. So its address leads to the public internet only: the name is
resolved here, each address that it has must be public, and the connection goes to the very address that was looked at
(``posting.py``), so that a name that answers otherwise a moment later (DNS rebinding) leads nowhere else.
"""

import ipaddress
import re
import socket
from urllib.parse import urlsplit

from ...errors import InvalidInput
from ...settings import Settings

MAX_URL = 2000

_PORT = r"(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?"
_NAME = r"([A-Za-z0-9-]{1,63}\.)*[A-Za-z]([A-Za-z0-9-]{0,62})"
_REST = r'(/[!-"$-~]*)?'

URL_PATTERN = f"^https://{_NAME}{_PORT}{_REST}$"
"""A name, not an address in numbers; no name or password of somebody in it, and nothing behind a ``#``."""

_INSIDE = re.compile(rf"https?://({_NAME}|[0-9.]{{7,15}}|\[[0-9a-fA-F:.]{{2,45}}\]){_PORT}{_REST}")

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_GLOBAL_V6 = ipaddress.ip_network("2000::/3")
"""All that is routed in public (RFC 4291, IANA): addresses that hold an IPv4 address by another prefix lie outside."""

_NOT_PUBLIC = tuple(
    map(
        ipaddress.ip_network,
        (
            "192.0.0.0/24",  # IETF protocols (RFC 6890), which Python's is_global has only since 3.11.10
            "192.88.99.0/24",  # relays of 6to4 (RFC 7526)
            "100.64.0.0/10",  # of a provider's own (RFC 6598)
            "198.18.0.0/15",  # benchmarks (RFC 2544)
            "2001::/23",  # IETF protocols, Teredo among them, which hold an IPv4 address
            "2001:db8::/32",  # examples
            "2002::/16",  # 6to4, which holds an IPv4 address
            "3fff::/20",  # examples (RFC 9637)
        ),
    )
)

_KEYS_OF_CLOUDS = (ipaddress.ip_address("fd00:ec2::254"), ipaddress.ip_address("100.100.100.200"))
"""What clouds tell their machines, outside of the link-local addresses."""


class AddressRefused(Exception):
    """A webhook leads where it may not; the message says where, as far as its owner may know."""


def check_url(url: object, settings: Settings) -> str:
    """Return the address of a webhook, if it is one.

    Raises:
        InvalidInput: it is not; says what is.
    """
    may_be_inside = is_private_allowed(settings)
    if isinstance(url, str) and len(url) <= MAX_URL:
        if re.fullmatch(URL_PATTERN[1:-1], url):
            return url
        is_kept_secret = url.startswith("https:") or settings.environment == "development"
        if may_be_inside and is_kept_secret and _INSIDE.fullmatch(url):
            return url
    raise InvalidInput(
        f"a webhook's url is at most {MAX_URL} characters of ASCII and begins with https:// and a name, without user, "
        "password or #; http:// is for development only, an address in numbers for "
        "STEPKEEP_WEBHOOK_PRIVATE_NETWORKS too"
    )


def is_private_allowed(settings: Settings) -> bool:
    """Return whether webhooks may lead to this machine and its network."""
    return settings.webhook_private_networks or settings.environment == "development"


def origin_of(url: str) -> str:
    """Return whom an address means, without its path, which may hold a secret."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def resolve(host: str, port: int, *, may_be_inside: bool) -> list[str]:
    """Return the addresses of a name, each of which may be reached.

    Raises:
        AddressRefused: one of them may not, or there is none.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise AddressRefused("its name can't be resolved") from error
    addresses = list(dict.fromkeys(str(one[4][0]) for one in found))
    for text in addresses:
        if not may_reach(text, may_be_inside=may_be_inside):
            raise AddressRefused("its name leads to an address that is not public (STEPKEEP_WEBHOOK_PRIVATE_NETWORKS)")
    return addresses


def may_reach(text: str, *, may_be_inside: bool) -> bool:
    """Return whether an address is public; or at least a machine's own, where it may be inside."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:  # with a zone (fe80::1%eth0) it is link-local
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    address = mapped or address
    if address.is_multicast or address.is_unspecified or address.is_link_local or address in _KEYS_OF_CLOUDS:
        return False  # link-local has what clouds tell their machines: keys
    return may_be_inside or (mapped is None and _is_public(address))


def _is_public(address: _Address) -> bool:
    if address.version == 6 and address not in _GLOBAL_V6:  # noqa: PLR2004 - the protocol's number
        return False
    return address.is_global and not any(address in network for network in _NOT_PUBLIC)

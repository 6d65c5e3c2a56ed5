"""Protection against SSRF: URLs and addresses that webhooks may have."""

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

URL_PATTERN = f"^https://{_NAME}{_PORT}{_REST}$"  # a host name, not an IP address; no user, password or fragment
_PRIVATE_URL = re.compile(rf"https?://({_NAME}|[0-9.]{{7,15}}|\[[0-9a-fA-F:.]{{2,45}}\]){_PORT}{_REST}")

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_GLOBAL_V6 = ipaddress.ip_network("2000::/3")
"""Publicly routed (RFC 4291, IANA); excludes IPv4 embedded under other prefixes."""

_NOT_PUBLIC = (
    ipaddress.ip_network("192.0.0.0/24"),  # IETF protocols (RFC 6890); is_global has them only since Python 3.11.10
    ipaddress.ip_network("192.88.99.0/24"),  # relays of 6to4 (RFC 7526)
    ipaddress.ip_network("100.64.0.0/10"),  # carrier-grade NAT (RFC 6598)
    ipaddress.ip_network("198.18.0.0/15"),  # benchmarks (RFC 2544)
    ipaddress.ip_network("2001::/23"),  # IETF protocols; Teredo embeds an IPv4 address
    ipaddress.ip_network("2001:db8::/32"),  # documentation
    ipaddress.ip_network("2002::/16"),  # 6to4 embeds an IPv4 address
    ipaddress.ip_network("3fff::/20"),  # documentation (RFC 9637)
)

_CLOUD_METADATA = (ipaddress.ip_address("fd00:ec2::254"), ipaddress.ip_address("100.100.100.200"))
"""Metadata services that are not link-local."""


class AddressRefused(Exception):
    """The host may not be reached; the message omits its addresses."""


def validate_url(url: object, settings: Settings) -> str:
    if isinstance(url, str) and len(url) <= MAX_URL:
        if re.fullmatch(URL_PATTERN[1:-1], url):
            return url
        is_scheme_allowed = url.startswith("https:") or settings.environment == "development"
        if allows_private_networks(settings) and is_scheme_allowed and _PRIVATE_URL.fullmatch(url):
            return url
    raise InvalidInput(
        f"url must have at most {MAX_URL} ASCII characters, begin with https:// and a host name, and contain no user, "
        "password or fragment; http:// is allowed in development, an IP address there and with "
        "STEPKEEP_WEBHOOK_PRIVATE_NETWORKS"
    )


def allows_private_networks(settings: Settings) -> bool:
    return settings.webhook_private_networks or settings.environment == "development"


def origin(url: str) -> str:
    """Return the URL without its path, which may contain a secret."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def resolve(host: str, port: int, *, allow_private: bool) -> list[str]:
    try:
        infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise AddressRefused("the host name can't be resolved") from error
    addresses = list(dict.fromkeys(str(info[4][0]) for info in infos))
    for address in addresses:
        if not is_allowed(address, allow_private=allow_private):
            raise AddressRefused("the host name has an address that is not public (STEPKEEP_WEBHOOK_PRIVATE_NETWORKS)")
    return addresses


def is_allowed(text: str, *, allow_private: bool) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:  # has a zone (fe80::1%eth0), so it is link-local
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    address = mapped or address
    if address.is_multicast or address.is_unspecified or address.is_link_local or address in _CLOUD_METADATA:
        return False  # cloud metadata services return credentials
    return allow_private or (mapped is None and _is_public(address))


def _is_public(address: _Address) -> bool:
    if address.version == 6 and address not in _GLOBAL_V6:  # noqa: PLR2004 - IPv6
        return False
    return address.is_global and not any(address in network for network in _NOT_PUBLIC)

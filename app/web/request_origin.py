"""What a request says about its sender: address, languages, and the page that sent it."""

import ipaddress
from functools import lru_cache
from urllib.parse import urlsplit

import flask

from ..core.formats import is_language, is_loopback
from ..errors import Forbidden
from ..settings import Settings

# For the developer of the page; fits a WebSocket's close reason.
ORIGIN_NOT_ALLOWED = "Pages of this origin are not allowed. The operator can add it to STEPKEEP_ALLOWED_ORIGINS."

LANGUAGE_PARAMETER = "lang"
MAX_LANGUAGES = 20

_PROXY_HEADERS = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP")


def client_address() -> str:
    return network_of(flask.request.remote_addr or "")


@lru_cache(10_000)
def network_of(text: str) -> str:
    """Return an IP address; of IPv6 the /64, which is one household."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return text
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:  # a dual-stack socket: all of IPv4 would share one /64
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, 64), strict=False))


def wanted_languages(named: str | None = None) -> tuple[str, ...]:
    """Return the tags of ``?lang=`` (or ``named``) and Accept-Language (RFC 9110, 12.5.4), the best first."""
    accepted = (tag for tag, quality in flask.request.accept_languages if quality > 0)
    first = named_language() if named is None else named
    return (*((first,) if first else ()), *filter(is_language, accepted))[:MAX_LANGUAGES]


def named_language() -> str | None:
    tag = flask.request.args.get(LANGUAGE_PARAMETER, "")
    return tag if is_language(tag) else None


def public_url(settings: Settings, path: str) -> str:
    return (settings.public_url or flask.request.host_url.rstrip("/")) + path


def allowed_origins(settings: Settings) -> frozenset[str]:
    return frozenset(settings.allowed_origins.split(",")) - {""}


def frame_ancestors(settings: Settings) -> list[str]:
    return [origin for origin in settings.frame_ancestors.split(",") if origin]


def is_allowed_origin(settings: Settings) -> bool:
    """Return whether ``Origin`` is allowed; clients that are no browser send none (RFC 6454)."""
    return flask.request.headers.get("Origin") in allowed_origins(settings) or is_own_origin(settings)


def is_own_origin(settings: Settings) -> bool:
    origin = flask.request.headers.get("Origin")
    if origin is None:
        return True
    own = urlsplit(settings.public_url or flask.request.host_url)
    try:
        sender = urlsplit(origin)
    except ValueError:  # brackets without an address
        return False
    # Behind a TLS proxy the page's scheme may be https, and this server's http.
    return sender.netloc == own.netloc and sender.scheme in {own.scheme, "https"}


def is_own_site() -> bool:
    """Return whether ``Sec-Fetch-Site`` is this server's page, the user, or missing (W3C Fetch Metadata)."""
    return flask.request.headers.get("Sec-Fetch-Site", "same-origin") in {"same-origin", "none"}


def is_link_to_page() -> bool:
    """Return whether a page is shown in a window of its own, where no other page can read it."""
    request = flask.request
    is_page = request.blueprint in {"pages", "dashboard", "sign_in"} and request.endpoint != "pages.static"
    is_window = (request.headers.get("Sec-Fetch-Mode"), request.headers.get("Sec-Fetch-Dest")) == (
        "navigate",
        "document",
    )
    return request.method == "GET" and is_page and is_window


def is_refused_preflight(settings: Settings) -> bool:
    """Return whether the browser will not send the request, since its origin is not allowed."""
    is_preflight = flask.request.method == "OPTIONS" and "Access-Control-Request-Method" in flask.request.headers
    return is_preflight and not is_allowed_origin(settings)


def require_same_origin(settings: Settings) -> None:
    if not (is_own_site() and is_allowed_origin(settings)):
        raise Forbidden("Requests from other sites' pages are not allowed.")


def require_loopback() -> None:
    """Raise Forbidden for proxies and other machines: a web page could point its name here (DNS rebinding)."""
    host = urlsplit(f"//{flask.request.host}").hostname or ""
    address = flask.request.remote_addr  # None over a Unix socket
    is_proxied = any(name in flask.request.headers for name in _PROXY_HEADERS)
    if not is_loopback(host) or (address and not is_loopback(address)) or is_proxied:
        raise Forbidden(
            "Development mode serves only this machine, without a proxy: use http://127.0.0.1 or http://localhost."
        )

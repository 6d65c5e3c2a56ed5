"""Who may see how the server is: its figures and its checks. In development everybody, else who has a key for it.

They are wanted most while the database is away, and an API key is a row in it. So a key that was good is remembered
here for KNOWN_FOR_S; that it was revoked or has expired counts all the same, as everywhere within a second
(``access/revocations.py``).
"""

import hashlib
import threading
from time import monotonic
from typing import cast

import flask

from ..access.principals import Integrator, Principal, Scope, require_scope
from ..errors import StepkeepError, Unavailable
from .authentication import access

KNOWN_FOR_S = 3600.0
"""Seconds after which a key is looked up again; where the database is away then, it goes on to hold."""

MAX_KNOWN = 100


class Insiders:
    """Keys that were good; the application's extension ``stepkeep_insiders``. Safe from any thread."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._known: dict[bytes, tuple[Integrator, float]] = {}

    def who(self) -> Principal:
        """Return who asks.

        Raises:
            Unauthorized, RateLimited: what he shows doesn't hold.
            Unavailable: the database is away, and he is not remembered.
        """
        shown = hashlib.sha256(flask.request.headers.get("Authorization", "").encode(errors="replace")).digest()
        known, at = self._known.get(shown, (None, 0.0))
        if known is not None and not access().holds(known):
            known = None
        if known is not None and monotonic() - at < KNOWN_FOR_S:
            return known
        try:
            found = access().who()
        except Unavailable:
            if known is None:
                raise
            return known
        if isinstance(found, Integrator) and "Authorization" in flask.request.headers:
            self._remember(shown, found)
        return found

    def _remember(self, shown: bytes, who: Integrator) -> None:
        with self._mutex:
            if len(self._known) >= MAX_KNOWN:
                self._known.pop(next(iter(self._known)))
            self._known[shown] = who, monotonic()


def insiders() -> Insiders:
    """Return the running application's."""
    return cast("Insiders", flask.current_app.extensions["stepkeep_insiders"])


def sees_the_inside(*scopes: Scope) -> bool:
    """Return whether who asks is in development, or has a key with one of the scopes; never raises."""
    if access().is_development:
        return True
    if "Authorization" not in flask.request.headers and not flask.request.cookies:
        return False  # a load balancer
    try:
        who = insiders().who()
    except StepkeepError:
        return False
    return isinstance(who, Integrator) and not who.scopes.isdisjoint(scopes)


def check_insider(scope: Scope) -> None:
    """Return if who asks is in development, or has a key with the scope.

    Raises:
        Unauthorized, Forbidden, RateLimited, Unavailable: else.
    """
    if not access().is_development:
        require_scope(insiders().who(), scope)

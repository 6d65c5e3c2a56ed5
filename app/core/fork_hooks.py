"""Calls to registered objects when the process forks."""

import os
import weakref
from collections.abc import Callable


class ForkAware:
    """Has locks, threads or connections that a child must not share."""

    def before_fork(self) -> None:
        """Wait until no lock is held that the child would inherit."""

    def after_fork_in_parent(self) -> None:
        """Resume."""

    def after_fork_in_child(self) -> None:
        """Start anew: threads and connections are the parent's."""


_REGISTERED: "weakref.WeakKeyDictionary[ForkAware, None]" = weakref.WeakKeyDictionary()


def register(aware: ForkAware) -> None:
    """Call the methods at each fork while the object exists.

    In the order of registration: a child can use what was registered before.
    """
    _REGISTERED[aware] = None


def _call_all(method: Callable[[ForkAware], None]) -> Callable[[], None]:
    def call_all() -> None:
        for aware in list(_REGISTERED):
            method(aware)

    return call_all


os.register_at_fork(
    before=_call_all(lambda aware: aware.before_fork()),
    after_in_parent=_call_all(lambda aware: aware.after_fork_in_parent()),
    after_in_child=_call_all(lambda aware: aware.after_fork_in_child()),
)

"""Calls to registered objects when the process forks: before, and after in the parent and in the child."""

import os
import weakref
from collections.abc import Callable


class ForkAware:
    """An object with locks, threads or connections that a child process must not share with its parent."""

    def before_fork(self) -> None:
        """Wait until no lock is held that the child would inherit."""

    def after_fork_in_parent(self) -> None:
        """Resume."""

    def after_fork_in_child(self) -> None:
        """Start anew: threads exist in the parent only, and connections are the parent's."""


_REGISTERED: "weakref.WeakKeyDictionary[ForkAware, None]" = weakref.WeakKeyDictionary()


def register(aware: ForkAware) -> None:
    """Call the object's methods at each fork for as long as it exists, in the order of registration.

    What a child starts anew may then use what was registered before, such as the session store.
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

"""Calls to registered objects when the process forks."""

import os
import weakref
from functools import partial


class ForkAware:
    """Has locks, threads or connections that a child must not share."""

    def before_fork(self) -> None:
        """Wait until no lock is held."""

    def after_fork_in_parent(self) -> None:
        """Resume."""

    def after_fork_in_child(self) -> None:
        """Start again, without the parent's threads and connections."""


_REGISTERED: "weakref.WeakKeyDictionary[ForkAware, None]" = weakref.WeakKeyDictionary()


def register(aware: ForkAware) -> None:
    """Call the methods at each fork, in the order of registration."""
    _REGISTERED[aware] = None


def _call_all(method: str) -> None:
    for aware in list(_REGISTERED):
        getattr(aware, method)()


os.register_at_fork(
    before=partial(_call_all, "before_fork"),
    after_in_parent=partial(_call_all, "after_fork_in_parent"),
    after_in_child=partial(_call_all, "after_fork_in_child"),
)

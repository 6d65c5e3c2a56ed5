"""What lives through a fork of the process, and is told of it: before, and after it on both sides."""

import os
import weakref
from collections.abc import Callable
from typing import Protocol


class Forked(Protocol):
    """Has locks, threads or connections, which a forked child must not share with its parent."""

    def before_fork(self) -> None:
        """Hold still."""
        ...

    def after_fork_in_parent(self) -> None:
        """Go on."""
        ...

    def after_fork_in_child(self) -> None:
        """Begin anew."""
        ...


_KNOWN: "weakref.WeakSet[Forked]" = weakref.WeakSet()


def tell_of_forks(one: Forked) -> None:
    """Call its methods at each fork from now on, for as long as anybody holds it."""
    _KNOWN.add(one)


def _each(act: Callable[[Forked], None]) -> Callable[[], None]:
    def act_on_all() -> None:
        for one in list(_KNOWN):
            act(one)

    return act_on_all


os.register_at_fork(
    before=_each(lambda one: one.before_fork()),
    after_in_parent=_each(lambda one: one.after_fork_in_parent()),
    after_in_child=_each(lambda one: one.after_fork_in_child()),
)

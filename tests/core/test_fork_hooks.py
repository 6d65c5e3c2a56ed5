"""Forks: who is told of them, on both sides, and for how long."""

import gc
import os

from app.core.fork_hooks import ForkAware, register


class Noting(ForkAware):
    def __init__(self, pipe: int) -> None:
        self._pipe = pipe

    def before_fork(self) -> None:
        os.write(self._pipe, b"before ")

    def after_fork_in_parent(self) -> None:
        os.write(self._pipe, b"parent ")

    def after_fork_in_child(self) -> None:
        os.write(self._pipe, b"child ")


def fork() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


def test_both_sides_are_told_of_a_fork_until_nobody_holds_them() -> None:
    """Before it, and after it in the parent and in the child; what was collected keeps nobody alive."""
    reads, writes = os.pipe()
    one = Noting(writes)
    register(one)
    fork()
    assert sorted(os.read(reads, 100).split()) == [b"before", b"child", b"parent"]
    del one
    gc.collect()
    fork()
    os.write(writes, b"nothing")
    assert os.read(reads, 100) == b"nothing"
    os.close(reads)
    os.close(writes)

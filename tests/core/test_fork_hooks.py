"""Registered objects are called at a fork, in both processes."""

import gc
import os

from app.core.fork_hooks import ForkAware, register


class Recorder(ForkAware):
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


def test_registered_object_is_called_at_each_fork_as_long_as_it_exists() -> None:
    """Before it, and after it in the parent and in the child; the registry does not keep the object alive."""
    reads, writes = os.pipe()
    recorder = Recorder(writes)
    register(recorder)
    fork()
    assert sorted(os.read(reads, 100).split()) == [b"before", b"child", b"parent"]
    del recorder
    gc.collect()
    fork()
    os.write(writes, b"nothing")
    assert os.read(reads, 100) == b"nothing"
    os.close(reads)
    os.close(writes)

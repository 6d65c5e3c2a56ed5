"""Compiles templates and routes once a process: each application would compile them again, and most tests open one."""

from collections.abc import Callable
from types import CodeType
from typing import Any

import flask
from jinja2.bccache import Bucket, BytecodeCache
from werkzeug.routing import BaseConverter, Rule


class _Templates(BytecodeCache):
    def __init__(self) -> None:
        self._codes: dict[tuple[str, str], CodeType] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        bucket.code = self._codes.get((bucket.key, bucket.checksum))

    def dump_bytecode(self, bucket: Bucket) -> None:
        assert bucket.code is not None
        self._codes[bucket.key, bucket.checksum] = bucket.code


_builders: dict[tuple[Any, ...], Callable[..., tuple[str, str]]] = {}


class _Route(Rule):
    """Shares the function that builds its URL, 0.3 ms, with equal rules of other applications."""

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:  # noqa: FBT002 - of Werkzeug
        converters = tuple((name, type(each), _arguments(each)) for name, each in self._converters.items())
        key = (tuple(self._trace), converters, repr(self.defaults), append_unknown)
        if key not in _builders:
            _builders[key] = super()._compile_builder(append_unknown)
        return _builders[key]


def _arguments(converter: BaseConverter) -> str:
    """Return what a converter was given, such as ``fixed_digits``: the builder contains the URL of a default value."""
    return repr({name: value for name, value in vars(converter).items() if name != "map"})


def compile_once() -> None:
    """Let applications share the code of their templates and routes."""
    flask.Flask.jinja_options = {"bytecode_cache": _Templates()}
    flask.Flask.url_rule_class = _Route

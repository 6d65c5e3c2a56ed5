"""YAML text as plain data: scalars of YAML 1.2's core schema, no objects, no duplicate keys."""

import re
from collections.abc import Callable
from typing import Any

import yaml

from ..errors import SurveyFileError

_TAG = "tag:yaml.org,2002:"


def _integer(text: str) -> int:
    return int(text[2:], {"0o": 8, "0x": 16}[text[:2]]) if text[:2] in {"0o", "0x"} else int(text)


def _float(text: str) -> float:
    return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))


# https://yaml.org/spec/1.2.2/#103-core-schema: pattern, first characters, and value.
_SCALARS: dict[str, tuple[re.Pattern[str], str, Callable[[str], object]]] = {
    "null": (re.compile(r"~|null|Null|NULL|"), "~nN", lambda _text: None),
    "bool": (re.compile(r"true|True|TRUE|false|False|FALSE"), "tTfF", lambda text: text in {"true", "True", "TRUE"}),
    "int": (re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+"), "-+0123456789", _integer),
    "float": (
        re.compile(
            r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        ),
        "-+.0123456789",
        _float,
    ),
}


class _Refused(yaml.MarkedYAMLError):
    """It is YAML, but a survey file must not contain it."""

    def __init__(self, problem: str, node: yaml.Node) -> None:
        super().__init__(problem=problem, problem_mark=node.start_mark)


class _Loader(yaml.SafeLoader):
    """YAML's safe subset; PyYAML's own scalars are those of YAML 1.1, where ``no`` is false and ``1:30`` is 90."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._flattened: set[int] = set()

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        # PyYAML calls this again for each merge; merged keys would then look like duplicates.
        if id(node) in self._flattened:
            return
        self._flattened.add(id(node))
        _check_keys(node)
        _check_options(node)
        super().flatten_mapping(node)
        node.value = list({_key(key): (key, value) for key, value in node.value}.values())


def _construct(_loader: yaml.SafeLoader, node: yaml.ScalarNode) -> object:
    return _value(node)


_Loader.yaml_implicit_resolvers = {}
_Loader.add_implicit_resolver(f"{_TAG}merge", re.compile(r"<<$"), ["<"])
for _name, (_pattern, _first, _) in _SCALARS.items():
    _Loader.add_implicit_resolver(
        _TAG + _name, re.compile(f"({_pattern.pattern})$"), [*_first, *([""] if _name == "null" else [])]
    )
    _Loader.add_constructor(_TAG + _name, _construct)


def read_yaml(text: str, file: str) -> Any:  # noqa: ANN401 - YAML is decoded here
    """Return the one document in the text.

    Raises:
        SurveyFileError: it is not YAML, has a duplicate key, or an option that may be a number or a text.
    """
    loader: _Loader | None = None
    try:
        loader = _Loader(text)
        return loader.get_single_data()
    except yaml.reader.ReaderError as error:
        place = f"character {error.position}"
        raise SurveyFileError(file, place, "a character that YAML does not allow") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = str(error.problem or error.context)
        raise SurveyFileError(
            file, place, problem if isinstance(error, _Refused) else f"not YAML: {problem}"
        ) from error
    except RecursionError as error:
        raise SurveyFileError(file, "", "nested too deep") from error
    except (TypeError, ValueError) as error:
        raise SurveyFileError(file, "", f"not plain data: {error}") from error
    finally:
        if loader is not None:
            loader.dispose()


def _check_keys(node: yaml.MappingNode) -> None:
    seen: set[object] = set()
    for key, _ in node.value:
        if key.tag != f"{_TAG}merge" and _key(key) in seen:
            raise _Refused(f"the key {key.value!r} occurs twice", key)
        seen.add(_key(key))


def _check_options(node: yaml.MappingNode) -> None:
    """Refuse numbers such as ``1.10`` and ``012`` where a text is allowed too: it would silently change."""
    for key, value in node.value:
        items = value.value if key.value == "options" and isinstance(value, yaml.SequenceNode) else [value]
        for item in items if key.value in {"options", "value"} else ():
            if item.tag in {f"{_TAG}int", f"{_TAG}float"} and str(number := _value(item)) != item.value:
                problem = f'the option {item.value} is the number {number} in YAML; write "{item.value}" or {number}'
                raise _Refused(problem, item)


def _value(node: yaml.ScalarNode) -> object:
    name = node.tag.removeprefix(_TAG)
    pattern, _, convert = _SCALARS[name]
    if pattern.fullmatch(node.value) is None:
        raise _Refused(f"{node.value!r} is no {name} of YAML 1.2", node)
    return convert(node.value)


def _key(node: yaml.Node) -> object:
    return node.value if isinstance(node, yaml.ScalarNode) else id(node)

"""YAML text as plain data: no dates, no objects, no duplicate keys."""

from typing import Any

import yaml

from ..errors import SurveyFileError


class _Loader(yaml.SafeLoader):
    """YAML's safe subset; dates stay text (``min: 1900-01-01``), and duplicate keys are refused."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._flattened: set[int] = set()

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        # PyYAML calls this again for each merge; merged keys would then look like duplicates.
        if id(node) in self._flattened:
            return
        self._flattened.add(id(node))
        _check_keys(node)
        super().flatten_mapping(node)
        node.value = list({_key(key): (key, value) for key, value in node.value}.values())


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_yaml(text: str, file: str) -> Any:  # noqa: ANN401 - YAML is decoded here
    """Return the one document in the text.

    Raises:
        SurveyFileError: it is not YAML, or has a duplicate key.
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
        raise SurveyFileError(file, place, f"not YAML: {error.problem or error.context}") from error
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
        if key.tag != "tag:yaml.org,2002:merge" and _key(key) in seen:
            raise yaml.MarkedYAMLError(problem=f"the key {key.value!r} occurs twice", problem_mark=key.start_mark)
        seen.add(_key(key))


def _key(node: yaml.Node) -> object:
    return node.value if isinstance(node, yaml.ScalarNode) else id(node)

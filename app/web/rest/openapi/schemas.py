"""Schemas of JSON as ``app/core/strict_json.py`` accepts it, and examples made from schemas.

A schema cannot express depth and size, nor tell 1e20 from 100000000000000000000: it bounds all numbers.
"""

import re
from collections.abc import Mapping
from typing import Any

from ....core.strict_json import MAX_DEPTH, MAX_INTEGER
from ...ws.messages import CLIENT_MESSAGE

Schema = Mapping[str, Any]

REFERENCE = "#/components/schemas/{model}"
NO_NUL = r"^[^\x00]*$"  # text that every database can store

_TEXT = {"type": "string", "pattern": NO_NUL}
_JSON = {"$ref": REFERENCE.format(model="Json")}

JSON_SCHEMAS: dict[str, Any] = {
    "Json": {
        "description": f"Any JSON with at most {MAX_DEPTH} nested containers, without U+0000, lone surrogates and "
        "duplicate keys. Send larger integers as text.",
        "anyOf": [
            {"type": "null"},
            {"type": "boolean"},
            {"type": "number", "minimum": -MAX_INTEGER, "maximum": MAX_INTEGER},
            _TEXT,
            {"type": "array", "items": _JSON},
            {"$ref": REFERENCE.format(model="JsonObject")},
        ],
    },
    "JsonObject": {
        "description": "A JSON object with keys and values as in `Json`.",
        "type": "object",
        "propertyNames": _TEXT,
        "additionalProperties": _JSON,
    },
}

_BY_NAME: dict[str, tuple[Any, ...]] = {
    "action": ("answered",),
    "answers": ({"Q1": 2},),
    "code": ("no_such_session",),
    "current_step": ("Q2",),
    "detail": ("There is no session of user123 in phq9.",),
    "draft": (1,),
    "id": ("7f9c", "wh_0123456789abcdef"),
    "is_audio_mode": (False,),
    "message": ("The answer must be one of the options.",),
    "message_id": ("7f9c",),
    "progress": (0.1,),
    "prompt": ("Little interest or pleasure in doing things?",),
    "secret": ("whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3",),
    "step": ("Q2", {"id": "Q2", "type": "choice", "prompt": "How often?", "options": [{"value": 0, "label": "Never"}]}),
    "step_history": (["Q1"],),
    "survey_id": ("phq9",),
    "survey_revision": ("f1d2d2f924e9",),
    "title": ("How are you?",),
    "url": ("https://example.org/stepkeep",),
    "user_id": ("user123",),
    "value": (2,),
    "version": (2,),
}
"""Examples of fields by name: the first one is used that the field's schema accepts."""

_BY_FORMAT = {"date-time": "2026-11-23T10:00:00.000000Z", "date": "2026-11-23"}
_PYTHON_TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "array": list,
    "object": dict,
}


def client_message() -> dict[str, Any]:
    schema: dict[str, Any] = CLIENT_MESSAGE.json_schema(ref_template=REFERENCE)
    for message in schema["$defs"].values():
        # Newer clients' unknown fields are ignored, but must be strict JSON.
        message |= {"propertyNames": _TEXT, "additionalProperties": _JSON}
        for name, field in message["properties"].items():
            if name == "value":
                message["properties"][name] = _JSON
            elif field.get("type") == "string" and "const" not in field:
                field["pattern"] = NO_NUL
    return schema


def example_of(schema: Schema, schemas: Mapping[str, Schema], name: str = "") -> Any:  # noqa: ANN401 - any JSON
    """Return a value that the schema accepts, for the field with this name; ``$ref`` names one of the schemas."""
    while reference := schema.get("$ref"):
        schema = schemas[reference.rsplit("/", 1)[-1]]
    if alternatives := schema.get("oneOf") or schema.get("anyOf"):
        present = [each for each in alternatives if each.get("type") != "null"]
        named = [each for each in present if any(_accepts(each, value) for value in _BY_NAME.get(name, ()))]
        return example_of([*named, *present][0], schemas, name)
    for given in ("const", "example", "default"):
        if given in schema:
            return schema[given]
    if "enum" in schema:
        return schema["enum"][0]
    for named in _BY_NAME.get(name, ()):
        if _accepts(schema, named):
            return named
    return _by_type(schema, schemas, name)


def _accepts(schema: Schema, value: object) -> bool:
    is_of_type = isinstance(value, _PYTHON_TYPES.get(schema.get("type", ""), object))
    return is_of_type and not schema.get("properties") and re.search(schema.get("pattern", ""), str(value)) is not None


def _by_type(schema: Schema, schemas: Mapping[str, Schema], name: str) -> Any:  # noqa: ANN401 - any JSON
    match schema.get("type"):
        case "object":
            return {field: example_of(each, schemas, field) for field, each in schema.get("properties", {}).items()}
        case "array":
            return [example_of(schema["items"], schemas, name)] if schema.get("items") else []
        case "string":
            return _BY_FORMAT.get(schema.get("format", ""), "text")
        case "boolean":
            return True
        case "integer" | "number":
            return max(1, schema.get("minimum", 1))
        case _:
            return None

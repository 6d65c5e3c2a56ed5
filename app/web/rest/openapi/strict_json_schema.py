"""``app/core/strict_json.py`` as JSON Schema.

A schema cannot express depth and size, nor tell 1e20 from 100000000000000000000: it bounds all numbers.
"""

from typing import Any

from ....core.strict_json import MAX_DEPTH, MAX_INTEGER
from ...ws.messages import CLIENT_MESSAGE

REFERENCE = "#/components/schemas/{model}"

NO_NUL = r"^[^\x00]*$"
"""Text that every database can store."""

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

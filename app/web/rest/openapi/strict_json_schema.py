"""The gate of ``app/core/strict_json.py`` as JSON Schema: what both documents say of JSON that comes in.

How deep a value may be (32) and how large are not to be said in a schema; the descriptions do. Whole numbers are
exact up to 2^53 only, and a schema can't tell 1e20 from 100000000000000000000: so it bounds all numbers.
"""

from typing import Any

from ....core.strict_json import MAX_DEPTH, MAX_INTEGER
from ...ws.messages import CLIENT_MESSAGE

REFERENCE = "#/components/schemas/{model}"

NO_NUL = r"^[^\x00]*$"
"""A pattern of text that every database can hold."""

_TEXT = {"type": "string", "pattern": NO_NUL}
_JSON = {"$ref": REFERENCE.format(model="Json")}

JSON_SCHEMAS: dict[str, Any] = {
    "Json": {
        "description": f"Any JSON, at most {MAX_DEPTH} containers inside one another, without U+0000, lone surrogates "
        "and keys that come twice. Larger whole numbers are to be sent as text.",
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
        "description": "A JSON object, its keys and values as those of `Json`.",
        "type": "object",
        "propertyNames": _TEXT,
        "additionalProperties": _JSON,
    },
}


def client_message() -> dict[str, Any]:
    """Return the schema of what a client sends; ``$defs`` holds each kind of message by its name."""
    found: dict[str, Any] = CLIENT_MESSAGE.json_schema(ref_template=REFERENCE)
    for message in found["$defs"].values():
        # Further fields, of a newer client, are left out; but not before the whole went through the gate.
        message |= {"propertyNames": _TEXT, "additionalProperties": _JSON}
        for name, field in message["properties"].items():
            if name == "value":
                message["properties"][name] = _JSON
            elif field.get("type") == "string" and "const" not in field:
                field["pattern"] = NO_NUL
    return found

"""The export of a survey and its codebook, as the OpenAPI document tells of them."""

from typing import Any

from ..operations.export import FORMATS
from .rest.export import CODEBOOK_FORMATS, LEFT_OUT, SWITCHES
from .rest.openapi import operation as parts
from .rest.openapi.operation import Operation

_NEEDS: dict[str, str | None] = {"ApiKey": "export", "SignIn": "export"}
_REFUSES = (400, 401, 403, 404, 422, 429, 500, 503)
_FILE: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}

_SAYS = {
    "labels": "of a choice the label, not its value (csv, parquet, xlsx)",
    "spreadsheet_safe": "a ' before text that a spreadsheet takes for a formula (csv, long)",
    "history": "each session with its events (jsonl)",
    "drafts": "with what was half typed (long, jsonl with history)",
}


def _parameter(name: str, known: tuple[str, ...], says: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": says, "schema": {"type": "string", "enum": list(known)}}


_UPDATED_SINCE = {**parts.UPDATED_SINCE, "description": "only sessions that changed since"}
_FORMAT = _parameter("format", tuple(FORMATS), "a row a session, or with `long` a row an event; left out, csv")

EXPORT_OPERATIONS: dict[str, dict[str, Operation]] = {
    "/api/surveys/{survey_id}/export": {
        "get": Operation(
            does="A survey's sessions as a file",
            says="Partial sessions too, of all revisions. Each session is given as it is when it is read: the file is "
            f"not one snapshot. `{LEFT_OUT}` says what is not in it; the codebook, what the columns mean.",
            answers={},
            files={info.media_type.partition(";")[0]: _FILE for info in FORMATS.values()},
            headers={
                **parts.ATTACHED,
                LEFT_OUT: {
                    "description": "what the file lacks, e.g. `set_aside=1, shortened=2`, or `nothing`",
                    "schema": {"type": "string"},
                    "required": True,
                },
            },
            needs=_NEEDS,
            parameters=(
                _FORMAT,
                parts.STATUS,
                parts.SINCE,
                parts.UNTIL,
                _UPDATED_SINCE,
                parts.MODE,
                *(_parameter(name, ("true", "false"), _SAYS[name]) for name in SWITCHES),
            ),
            refuses=_REFUSES,
        )
    },
    "/api/surveys/{survey_id}/codebook": {
        "get": Operation(
            does="What each column of a survey's export means",
            answers={200: "CodebookAnswer"},
            files={"text/markdown": {"schema": {"type": "string"}}},
            needs=_NEEDS,
            parameters=(_parameter("format", CODEBOOK_FORMATS, "left out, json"),),
            refuses=_REFUSES,
        )
    },
}

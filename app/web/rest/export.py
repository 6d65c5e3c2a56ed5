"""REST for a survey's export and codebook."""

from typing import Annotated, Any, Literal

import flask
from pydantic import Field, JsonValue

from ...operations.export import FORMATS, Export, ExportRequest, codebook_to_dict, codebook_to_markdown
from ...survey import ParameterSource
from ...survey.types import ColumnKind, StepType
from ..authorization import authorize_survey
from ..context import app_context, store
from .bodies import success
from .models import Model, Response
from .openapi.operation import Operation, Resource, integrator
from .openapi.parameters import ATTACHMENT, MODE, SINCE, STATUS, UNTIL, choice, flag, header, language, timestamp

exports = Resource("exports", __name__)

LEFT_OUT = "Stepkeep-Left-Out"

FORMAT = choice("format", "a row a session, or with `long` a row an event; default: csv", FORMATS)
CODEBOOK_FORMAT = choice("format", "default: json", ("json", "markdown"))
UPDATED_SINCE = timestamp("updated_since", "only sessions that changed since", example="2026-11-23T10:00:00Z")
LANGUAGE = language("language", "the survey's texts in this of its languages")
OPTIONS = (
    flag("labels", "labels instead of values of choices (csv, parquet, xlsx)"),
    flag("spreadsheet_safe", "a ' before text that a spreadsheet would run as a formula (csv, long)"),
    flag("history", "each session with its events (jsonl)"),
    flag("drafts", "with drafts (long, jsonl with history)"),
)

_FILE: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}


class CodebookRevision(Model):
    """A revision of the survey."""

    revision: str
    is_newest: bool


class CodebookConcept(Model):
    """A concept of a code system, such as LOINC."""

    system: str
    code: str


class CodebookValue(Model):
    """An answer that has a label; ``code`` stands for it in SPSS and Stata."""

    code: int
    value: str | int | float
    label: str
    revisions: list[str]
    concept: CodebookConcept | None


class CodebookPrompt(Model):
    """The prompt of a revision."""

    revision: str
    prompt: str


class CodebookExpression(Model):
    """What computes a value in a revision."""

    revision: str
    expression: str


class CodebookColumn(Model):
    """A column: its names, its kind, and its step, parameter or computed value by revision."""

    name: str
    spss: str
    stata: str
    kind: ColumnKind
    label: str
    missing: str
    step: str | None
    type: StepType | None
    required: bool | None
    unit: str | None
    parameter: str | None
    from_: Annotated[ParameterSource | None, Field(alias="from", description="where a parameter comes from")]
    default: Annotated[JsonValue, Field(description="of a parameter that is missing")]
    value: str | None
    expressions: list[CodebookExpression]
    revisions: list[str]
    condition: str | None
    concept: CodebookConcept | None
    values: list[CodebookValue]
    prompts: list[CodebookPrompt]


class Codebook(Model):
    """The codebook of a survey."""

    format: Literal["stepkeep-codebook-1"]
    survey_id: str
    title: str
    language: str
    description: str | None
    revisions: list[CodebookRevision]
    columns: list[CodebookColumn]
    notes: list[str]


class CodebookResponse(Response):
    """The codebook."""

    codebook: Codebook


@Operation(
    exports,
    "GET /api/surveys/<survey_id>/export",
    security=integrator("export"),
    files={info.media_type.partition(";")[0]: _FILE for info in FORMATS.values()},
    headers=ATTACHMENT | header(LEFT_OUT, "what the file lacks, e.g. `set_aside=1, shortened=2`, or `nothing`"),
    parameters=(FORMAT, STATUS, SINCE, UNTIL, UPDATED_SINCE, MODE, LANGUAGE, *OPTIONS),
)
def export_survey(survey_id: str) -> flask.Response:
    """Export a survey's sessions as a file.

    Unfinished sessions too, of all revisions. Each session is exported as it is when it is read: the file is not a
    snapshot. `Stepkeep-Left-Out` lists what it lacks; the codebook describes its columns.
    """
    requested = flask.request.args.get("format", "csv")
    authorize_survey(survey_id, "export", "survey_exported", format=requested[:16])
    wanted = ExportRequest(
        survey_id=store().queries.survey_id(survey_id),
        format=FORMAT.value() or "csv",
        status=STATUS.value(),
        since=SINCE.value(),
        until=UNTIL.value(),
        updated_since=UPDATED_SINCE.value(),
        mode=MODE.value(),
        language=LANGUAGE.value(),
        **{option.name: option.value() or False for option in OPTIONS},
    )
    export = Export(store(), wanted)
    with app_context().export_slots.acquire(is_streamed=export.format.is_streamed) as slot:
        response = _stream(export)
        # Called even if the stream is never read.
        response.call_on_close(slot.pop_all().close)
    return response


@Operation(
    exports,
    "GET /api/surveys/<survey_id>/codebook",
    CodebookResponse,
    integrator("export"),
    files={"text/markdown": {"schema": {"type": "string"}}},
    parameters=(CODEBOOK_FORMAT, LANGUAGE),
)
def get_codebook(survey_id: str) -> flask.Response:
    """Describe each column of a survey's export."""
    authorize_survey(survey_id, "export", "survey_exported", format="codebook")
    is_markdown = CODEBOOK_FORMAT.value() == "markdown"
    wanted = ExportRequest(survey_id=store().queries.survey_id(survey_id), language=LANGUAGE.value())
    layout = Export(store(), wanted).layout
    if is_markdown:
        return flask.Response(codebook_to_markdown(layout), content_type="text/markdown; charset=utf-8")
    return success(codebook=codebook_to_dict(layout))


def _stream(export: Export) -> flask.Response:
    # A stream's headers precede it: its sessions are counted first.
    counted = export.count() if export.format.is_streamed else None
    written = export.write()
    response = flask.Response(written.pieces, content_type=export.format.media_type)
    response.headers["Content-Disposition"] = f"attachment; filename={export.file_name}"
    missing = (counted or written.counts).missing()
    response.headers[LEFT_OUT] = ", ".join(f"{name}={count}" for name, count in missing.items()) or "nothing"
    return response

"""REST for people who analyse: a survey's sessions as a file, and the codebook to it."""

from typing import Any

import flask

from ...core.timestamps import parse_timestamp
from ...errors import InvalidInput
from ...operations.export import (
    FORMATS,
    MODES,
    STATUSES,
    Export,
    ExportRequest,
    codebook_to_dict,
    codebook_to_markdown,
)
from ..authorization import authorize_all
from ..context import app_context, store
from . import requests
from .responses import json_response

export_api = flask.Blueprint("export_api", __name__)

LEFT_OUT = "Stepkeep-Left-Out"
"""The header that says what the file lacks, e.g. ``set_aside=1, shortened=2``, or ``nothing``."""

CODEBOOK_FORMATS = ("json", "markdown")

SWITCHES = ("labels", "spreadsheet_safe", "history", "drafts")


@export_api.get("/api/surveys/<survey_id>/export")
def export_survey(survey_id: str) -> flask.Response:
    """Give the survey's sessions as a file; what fails is told before its first byte, as far as that can be known."""
    asked_for = flask.request.args.get("format", "csv")
    authorize_all("export", "survey_exported", survey=survey_id[:64], format=asked_for[:16])
    requests.check_arguments("format", "status", "since", "until", "updated_since", "mode", *SWITCHES)
    exporting = Export(store(), _asked(survey_id))
    with app_context().export_slots.acquire(is_streamed=exporting.format.is_streamed) as places:
        response = _made(exporting)
        # However the stream ends, also where nobody takes a piece of it.
        response.call_on_close(places.pop_all().close)
    return response


def _made(exporting: Export) -> flask.Response:
    # What is sent as it is made can't be taken back: the sessions are read once before.
    looked = exporting.count() if exporting.format.is_streamed else None
    made = exporting.write()
    response = flask.Response(made.pieces, content_type=exporting.format.media_type)
    response.headers["Content-Disposition"] = f"attachment; filename={exporting.file_name}"
    lacking = (looked or made.counts).missing()
    response.headers[LEFT_OUT] = ", ".join(f"{name}={count}" for name, count in lacking.items()) or "nothing"
    return response


@export_api.get("/api/surveys/<survey_id>/codebook")
def get_codebook(survey_id: str) -> flask.Response:
    """Say what each column of the survey's export means, as JSON or as Markdown."""
    authorize_all("export", "survey_exported", survey=survey_id[:64], format="codebook")
    requests.check_arguments("format")
    wanted = _one_of("format", CODEBOOK_FORMATS, "json")
    layout = Export(store(), ExportRequest(survey_id=store().queries.survey_id(survey_id))).layout
    if wanted == "json":
        return json_response({"success": True, "codebook": codebook_to_dict(layout)})
    return flask.Response(codebook_to_markdown(layout), content_type="text/markdown; charset=utf-8")


def _asked(survey_id: str) -> ExportRequest:
    return ExportRequest(
        survey_id=store().queries.survey_id(survey_id),
        format=_one_of("format", tuple(FORMATS), "csv"),
        status=_one_of("status", STATUSES),
        since=_moment("since"),
        until=_moment("until", ends_day=True),
        updated_since=_moment("updated_since"),
        mode=_one_of("mode", MODES),
        **{name: _one_of(name, ("true", "false"), "false") == "true" for name in SWITCHES},
    )


def _one_of(name: str, known: tuple[str, ...], default: str | None = None) -> Any:  # noqa: ANN401 - one of the known
    given = flask.request.args.get(name, default)
    if given is not None and given not in known:
        raise InvalidInput(f"{name} must be one of {', '.join(known)}")
    return given


def _moment(name: str, *, ends_day: bool = False) -> int | None:
    text = flask.request.args.get(name)
    return None if text is None else parse_timestamp(text, name, ends_day=ends_day)

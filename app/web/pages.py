"""The participant's pages: the list of surveys and the page that takes one.

Thin: which surveys there are is the catalogue's business, a walk happens over the socket. The pages
hold no script and no style of their own, so that a strict Content-Security-Policy fits them; what the
script needs to know stands in data attributes.
"""

from collections.abc import Mapping
from typing import cast

from flask import Blueprint, current_app, render_template

from app.survey.definition import Survey

pages = Blueprint(
    "pages",
    __name__,
    template_folder="templates",
    static_folder="static",
    static_url_path="/assets",  # not /static: that is the application's own, and would hide this one
)


@pages.get("/")
def list_surveys() -> str:
    """Show the surveys that this server offers."""
    return render_template("index.html", surveys=_surveys().values())


@pages.get("/s/<survey_id>")
def take_survey(survey_id: str) -> tuple[str, int]:
    """Show the page that takes one survey, or say kindly that there is none of this name."""
    survey = _surveys().get(survey_id)
    if survey is None:
        return render_template("not_found.html"), 404
    return render_template("survey.html", survey=survey), 200


def _surveys() -> Mapping[str, Survey]:
    return cast("Mapping[str, Survey]", current_app.extensions["stepkeep"].catalogue.surveys)

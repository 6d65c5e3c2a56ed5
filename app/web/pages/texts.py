"""Texts of the page's scripts: embedded in a page, and at an address for each other language."""

from collections.abc import Iterator

import flask
import jinja2
from jinja2.runtime import Context
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup
from werkzeug import Response
from werkzeug.exceptions import NotFound

from ...core import strict_json
from ...core.formats import is_language
from ...core.languages import best_match, direction, languages, own_name, page_texts, page_texts_digest, text
from ..context import store

texts = flask.Blueprint("texts", __name__, url_prefix="/assets/texts")
texts.add_app_template_filter(direction)
texts.add_app_template_filter(own_name)

_A_YEAR = "public, max-age=31536000, immutable"


@texts.get("/<digest>/<language>.json")
def get_texts(digest: str, language: str) -> Response:
    """Return the texts in a language of the server or a survey, or redirect to the nearest one."""
    if not is_language(language):
        raise NotFound
    nearest = best_match((language,), _known_languages()) or "en"
    if nearest != language:
        return flask.redirect(flask.url_for("texts.get_texts", digest=digest, language=nearest))
    response = flask.Response(texts_in(language), mimetype="application/json")
    if digest == page_texts_digest():  # else of another release: the texts are newer than the page
        response.headers["Cache-Control"] = _A_YEAR
    return response


@texts.app_template_global()
@jinja2.pass_context
def t(context: Context, key: str, **values: object) -> str:
    """Return a text in the template's ``language``."""
    return text(context.get("language", "en"), key, **values)


@texts.app_template_global()
def texts_in(language: str) -> Markup:
    """Return what ``page/texts.js`` reads, as JSON that no text can end."""
    found = {"language": language, "direction": direction(language), "texts": page_texts(language)}
    return htmlsafe_json_dumps(found, dumps=strict_json.encode)


@texts.app_template_global()
def texts_url() -> str:
    """Return the address to which a script adds ``/<language>.json``."""
    return flask.url_for("texts.get_texts", digest=page_texts_digest(), language="en").rpartition("/")[0]


def _known_languages() -> Iterator[str]:
    yield from languages()
    for survey in store().catalogue.surveys.values():
        yield from survey.offered_languages

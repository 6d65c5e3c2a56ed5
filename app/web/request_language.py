"""The languages that a request asks for."""

import flask

from ..core.formats import is_language
from ..core.languages import best_match, languages
from ..survey import SessionState, Survey, with_filled_heading
from .context import store

LANGUAGE_PARAMETER = "lang"

MAX_LANGUAGES = 20


def wanted_languages(named: str | None = None) -> tuple[str, ...]:
    """Return the tags of ``?lang=`` (or ``named``) and Accept-Language (RFC 9110, 12.5.4), the best first."""
    accepted = (tag for tag, quality in flask.request.accept_languages if quality > 0)
    first = named_language() if named is None else named
    return (*((first,) if first else ()), *filter(is_language, accepted))[:MAX_LANGUAGES]


def page_language() -> str:
    return best_match(wanted_languages(), languages()) or "en"


def in_wanted_language(survey: Survey, chosen: str | None = None, state: SessionState | None = None) -> Survey:
    """Return the survey in the request's language, else the session's, with values in its heading."""
    wanted = wanted_languages() if chosen is None else tuple(filter(None, (named_language(), chosen)))
    shown = survey.in_language(survey.offered_language(*wanted))
    return with_filled_heading(shown, store().clock(), state)


def named_language() -> str | None:
    tag = flask.request.args.get(LANGUAGE_PARAMETER, "")
    return tag if is_language(tag) else None

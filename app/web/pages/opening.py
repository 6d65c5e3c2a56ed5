"""The session in its page, so that its step is shown before the WebSocket is open."""

from dataclasses import dataclass
from functools import partial

import flask
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from ...access import Participant
from ...core import strict_json
from ...errors import StepkeepError
from ...survey import Given, Rejection, SessionKey, SessionState, Snapshot, Survey, apply, decide
from ..authorization import given_parameters
from ..context import store
from ..request_origin import wanted_languages
from ..ws import messages

TIMEOUT_S = 0.5  # for the database: without it, the page opens without the session
MAX_LENGTH = 32 * 1024  # a longer message would delay the page more than it helps


@dataclass(frozen=True, slots=True)
class Opening:
    """What a page shows before its WebSocket is open.

    Attributes:
        message: as JSON; None if unknown or too long.
        state: also of a session that is to begin.
        language: only of a session that exists.
    """

    message: Markup | None = None
    state: SessionState | None = None
    language: str | None = None


NO_OPENING = Opening()


def read_opening(key: SessionKey, participant: Participant | None) -> Opening:
    """Return the message ``state`` that the participant's WebSocket will begin with.

    NO_OPENING if the database is unavailable, the server busy, or the session can't be shown: the WebSocket says why.

    Args:
        participant: None if they are new, so that there is no session to read.
    """
    if store().turns.pending.is_unavailable or store().turns.pending.holds(key):
        return NO_OPENING
    try:
        stored = None if participant is None else _load(key)
        snapshot = _begun(key, given_parameters(participant)) if stored is None else stored
    except StepkeepError:
        return NO_OPENING
    version = 0 if stored is None else snapshot.state.version
    fields = messages.session_fields(snapshot, store().clock())
    message = {"type": "state", "version": version, "resumed": stored is not None, **fields}
    text = htmlsafe_json_dumps(message, dumps=strict_json.encode)
    language = None if stored is None else snapshot.language
    return Opening(text if len(text) <= MAX_LENGTH else None, snapshot.state, language)


def preview_opening(survey: Survey) -> Opening:
    """Return what is known in development, where the script chooses the participant unless the address names them."""
    user_id = flask.request.args.get("user")
    try:
        stored = None if user_id is None else _load(store().queries.key(user_id, survey.id))
        if stored is None:
            return Opening(state=_begun(SessionKey(survey.id, ""), given_parameters(None)).state)
        return Opening(state=stored.state, language=stored.language)
    except StepkeepError:
        return NO_OPENING


def _load(key: SessionKey) -> Snapshot | None:
    return store().threads.run(TIMEOUT_S, partial(store().queries.load_with_survey, key))


def _begun(key: SessionKey, given: Given) -> Snapshot:
    survey = store().catalogue.survey(key.survey_id)
    is_audio_mode = flask.request.args.get("is_audio") == "true"  # as the page's script
    begin = store().turns.begin(key, is_audio_mode=is_audio_mode, languages=wanted_languages(), parameters=given)
    event = decide(survey, None, begin)
    assert not isinstance(event, Rejection)  # noqa: S101 - a Begin is accepted where there is no session
    return Snapshot(key=key, state=apply(None, event), survey=survey)

"""The WebSocket route: admits clients, and passes them to their sessions."""

import logging
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from time import monotonic

import flask
from flask_sock import Sock

from ...access import Anyone, Participant, Principal, require_session_access
from ...core import strict_json
from ...errors import Forbidden, InvalidInput, NoSuchSurvey, RateLimited, StepkeepError, Unauthorized, Unavailable
from ...survey import SessionKey
from ..authorization import audit, given_parameters
from ..context import AppContext, app_context
from ..rate_limits import MessageBudget
from ..request_origin import ORIGIN_NOT_ALLOWED, client_address, is_allowed_origin, wanted_languages
from ..security_log import Event, Source, current_source
from . import messages
from .frames import Message
from .session_socket import Client, SessionSocket
from .websocket import INTERNAL_ERROR, INTERNAL_ERROR_TEXT, WebSocket

log = logging.getLogger("stepkeep.socket")

sock = Sock()

# Close code, code of the error sent before it, and what the security log calls it.
_REFUSALS: dict[type[StepkeepError], tuple[int, messages.ErrorCode | None, Event | None]] = {
    Unauthorized: (4401, "unauthorized", "refused"),
    Forbidden: (4403, None, "refused"),
    RateLimited: (4429, "rate_limited", "limited"),
    NoSuchSurvey: (4404, None, None),
    InvalidInput: (4400, "malformed", None),
    Unavailable: (1013, "unavailable", None),
}


@sock.route("/ws/survey/<path:user_id>")  # type: ignore[untyped-decorator]  # flask-sock has no types
def survey_socket(ws: WebSocket, user_id: str) -> None:
    _Admission(ws, app_context(), user_id).begin()


class _Admission:
    """A client whose session is not on its socket yet."""

    def __init__(self, ws: WebSocket, context: AppContext, user_id: str) -> None:
        self._ws = ws
        self._context = context
        self._user_id = user_id
        self._is_audio_mode = flask.request.args.get("is_audio", "").lower() in {"true", "1"}
        self._languages = wanted_languages()
        self._source: Source | None = None
        self._address = client_address()
        self._slots = ExitStack()
        self._anonymous_slots = ExitStack()
        self._until = monotonic() + context.store.settings.auth_timeout_s
        self._messages: deque[Message] = deque()
        self._check: Callable[[], None] | None = None

    def begin(self) -> None:
        with self._refusing():
            if not is_allowed_origin(self._context.store.settings):
                raise Forbidden(ORIGIN_NOT_ALLOWED)
            connections = self._context.connections
            try:
                self._slots.enter_context(connections.slot("open"))
            except RateLimited:
                self._refuse(1001 if connections.stopping else 1013, "The server is busy. Try again later.")
                return
            self._slots.enter_context(connections.slot("address", self._address))
            key = self._key()
            authenticator = self._context.authenticator
            authenticator.limits.count("address_connections", self._address)
            principal = authenticator.principal(key)
            if not isinstance(principal, Anyone):
                self._admit(key, principal)
                return
            for kind, name in (("anonymous", ""), ("anonymous_address", self._address)):
                self._anonymous_slots.enter_context(connections.slot(kind, name))
            self._source = current_source()
            self._check = flask.copy_current_request_context(self._check_first_message)
            self._ws.loop.call(self._ws.serve, self)

    def on_frame(self, _is_message: bool) -> bool:  # noqa: FBT001 - called by Frames
        return True

    def on_limit(self) -> None:
        """There is none."""

    def on_message(self, message: Message) -> None:
        self._messages.append(message)
        if self._check is not None:
            self._ws.pause()
            self._ws.loop.run_in_thread(self._check)
            self._check = None

    def on_tick(self, now: float, *, is_stopping: bool) -> None:
        if is_stopping:
            self._ws.end(1001, "The server is shutting down. Reconnect.")
        elif self._check is not None and now >= self._until:
            self._context.security_log.write("refused", Unauthorized().message, self._source)
            self._end(4401, Unauthorized().message, "unauthorized")

    def on_end(self) -> None:
        if self._check is not None:  # nothing else will
            self._check = None
            self._close_slots()

    def _check_first_message(self) -> None:
        with self._refusing():
            token = messages.auth_token(self._messages.popleft())
            if token is None:
                raise Unauthorized
            principal = self._context.authenticator.participant(token)
            self._anonymous_slots.close()
            self._admit(self._key(), principal)

    def _key(self) -> SessionKey:
        return self._context.store.queries.key(self._user_id, flask.request.args.get("survey"))

    def _admit(self, key: SessionKey, principal: Principal) -> None:
        """Authorize the client before the session is read."""
        context, participant = self._context, f"{key.survey_id}/{key.user_id}"
        require_session_access(principal, "sessions:write", key, own=True)
        audit(principal, "session_written", key, interface="socket")
        # An integrator connects for many participants: each is counted alone.
        limits = context.authenticator.limits
        limits.count("participant_connections", participant)
        self._slots.enter_context(context.connections.slot("participant", participant))
        counts_bytes = isinstance(principal, Participant)  # an integrator saves for many participants
        budget = MessageBudget(limits, context.store.settings, participant, self._address, counts_bytes=counts_bytes)
        client = Client(key, principal, budget, current_source(), self._slots, self._messages)
        SessionSocket(self._ws, context, client).join(
            is_audio_mode=self._is_audio_mode, languages=self._languages, parameters=given_parameters(principal)
        )
        self._slots = ExitStack()  # the session's now

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        try:
            yield
        except tuple(_REFUSALS) as error:
            close_code, error_code, event = next(
                refusal for kind, refusal in _REFUSALS.items() if isinstance(error, kind)
            )
            if event is not None:
                self._context.security_log.write(event, error.message)
            elif str(error) != error.message:  # the text for the operator
                log.error("%s", error)  # noqa: TRY400 - not an error of the program
            self._refuse(close_code, error.message, error_code)
        except Exception:
            log.exception("unexpected error; closing the connection")
            self._refuse(INTERNAL_ERROR, INTERNAL_ERROR_TEXT)

    def _refuse(self, close_code: int, text: str, code: messages.ErrorCode | None = None) -> None:
        self._close_slots()
        self._ws.loop.call(self._end, close_code, text, code)

    def _end(self, close_code: int, text: str, code: messages.ErrorCode | None = None) -> None:
        self._ws.serve(self)
        if code is not None:
            self._ws.send(strict_json.encode(messages.error(code, text)))
        self._ws.end(close_code, text)

    def _close_slots(self) -> None:
        self._anonymous_slots.close()
        self._slots.close()

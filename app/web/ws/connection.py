"""A participant's WebSocket (docs/protocol.md)."""

import contextlib
import logging
import threading
import time
from collections import deque
from dataclasses import replace
from functools import partial
from typing import Any, NoReturn

import flask
from flask_sock import Sock
from simple_websocket import ConnectionClosed

from ...access import Anyone, Participant, Principal, granted_at, require_session_access
from ...core import strict_json
from ...errors import (
    Forbidden,
    InvalidInput,
    NoSuchSurvey,
    RateLimited,
    SessionFull,
    SessionUnreadable,
    StepkeepError,
    Unauthorized,
    Unavailable,
)
from ...observability import metrics, tracing
from ...survey import Answer, AnyCommand, Draft, SessionKey, Snapshot
from ...writer import Committed, Queued, Rejected, Result
from ..authorization import audit
from ..context import AppContext, app_context
from ..rate_limits import MessageBudget
from ..request_origin import ORIGIN_NOT_ALLOWED, client_address, is_allowed_origin
from . import messages, server

log = logging.getLogger("stepkeep.socket")

sock = Sock()

AUTH_TIMEOUT_S = 10.0
"""For the first frame of a client without credentials in the handshake."""

_POLL_S = 1.0
"""Between checks of draft, credentials and shutdown."""

ERASED = "This session was erased. Reconnect to start a new one."

_WAKE = object()
"""Buffered when another connection changed the session, or a result arrived."""


@sock.route("/ws/survey/<path:user_id>")  # type: ignore[untyped-decorator]  # flask-sock has no types
def survey_socket(ws: Any, user_id: str) -> None:  # noqa: ANN401 - simple-websocket has no types
    """Serve one connection; save its newest draft."""
    context = app_context()
    try:
        if is_allowed_origin(context.store.settings):
            with context.connections.slot("open"):
                _serve(ws, context, user_id)
        else:
            context.security_log.write("refused", ORIGIN_NOT_ALLOWED)
            server.close(ws, 4403, ORIGIN_NOT_ALLOWED)
    except RateLimited:
        server.close(ws, 1001 if context.connections.stopping else 1013, "The server is busy. Try again later.")
    except ConnectionClosed:
        pass
    except Exception:
        log.exception("unexpected error; closing the connection")
        server.close(ws, server.INTERNAL_ERROR, "Internal server error. Acknowledged answers are saved.")
    finally:
        server.shutdown(ws)


def _serve(ws: Any, context: AppContext, user_id: str) -> None:  # noqa: ANN401 - flask-sock has no types
    arguments = flask.request.args
    is_audio = arguments.get("is_audio", "").lower() in {"true", "1"}
    slot = context.connections.slot
    try:
        key = context.store.queries.key(user_id, arguments.get("survey"))
        with slot("address", client_address()):
            principal, budget = _authenticate(ws, context, key)
            with slot("participant", f"{key.survey_id}/{key.user_id}"):
                _Connection(ws, context, key, principal, budget).run(is_audio_mode=is_audio)
    except Unauthorized as error:
        context.security_log.write("refused", error.message)
        _close_with_error(ws, 4401, "unauthorized", error.message)
    except Forbidden as error:
        context.security_log.write("refused", error.message)
        server.close(ws, 4403, error.message)
    except RateLimited as error:
        context.security_log.write("limited", error.message)
        _close_with_error(ws, 4429, "rate_limited", error.message)
    except NoSuchSurvey as error:
        server.close(ws, 4404, error.message)
    except InvalidInput as error:
        _close_with_error(ws, 4400, "malformed", error.message)
    except Unavailable as error:
        if str(error) != error.message:  # the text for the operator
            log.error("%s", error)  # noqa: TRY400 - not an error of the program
        _close_with_error(ws, 1013, "unavailable", error.message)


def _authenticate(ws: Any, context: AppContext, key: SessionKey) -> tuple[Principal, MessageBudget]:  # noqa: ANN401 - flask-sock has no types
    """Authenticate and authorize the client before the session is read, in the handshake or its first frame."""
    authenticator, address, participant = context.authenticator, client_address(), f"{key.survey_id}/{key.user_id}"
    authenticator.limits.count("address_connections", address)
    principal = authenticator.principal(key)
    if isinstance(principal, Anyone):
        with context.connections.slot("anonymous"):  # few of all: authenticated clients need room
            token = messages.auth_token(ws.receive(timeout=AUTH_TIMEOUT_S))
        if token is None:
            raise Unauthorized
        principal = authenticator.participant(token)
    require_session_access(principal, "sessions:write", key, own=True)
    audit(principal, "session_written", key, interface="socket")
    # An integrator connects for many participants: each is counted alone.
    authenticator.limits.count("participant_connections", participant)
    limits, is_own = authenticator.limits, isinstance(principal, Participant)
    return principal, MessageBudget(limits, context.store.settings, participant, address, counts_bytes=is_own)


def _close_with_error(ws: Any, close_code: int, code: messages.ErrorCode, text: str) -> None:  # noqa: ANN401 - flask-sock has no types
    with contextlib.suppress(OSError):  # the client has disconnected
        ws.send(strict_json.encode(_error(code, text)))
    server.close(ws, close_code, text)


def _error(code: messages.ErrorCode, text: str, message_id: str | None = None) -> dict[str, Any]:
    metrics.ERRORS.labels("socket", code).inc()
    return {"type": "error", "id": message_id, "code": code, "message": text}


class _Connection:
    """Served by one thread; others only publish states and results to it."""

    def __init__(
        self,
        ws: Any,  # noqa: ANN401 - flask-sock has no types
        context: AppContext,
        key: SessionKey,
        principal: Principal,
        budget: MessageBudget,
    ) -> None:
        self._ws = ws
        self._context = context
        self._store = context.store
        self._key = key
        self._principal = principal
        self._budget = budget
        self._draft: Draft | None = None
        self._draft_since = 0.0
        self._draft_bytes = 0
        self._malformed = 0
        self._sent_version = 0
        self._results: deque[tuple[str | None, Result | Exception]] = deque()
        self._mutex = threading.Lock()
        self.stored: Snapshot | None = None
        """The newest state known to be stored."""
        self._update: Snapshot | None = None
        self._ending: tuple[int, str] | None = None
        self._refusal: Unauthorized | None = None

    def run(self, *, is_audio_mode: bool) -> None:
        granted = granted_at(self._principal)
        began_at = self._store.clock()
        snapshot, version, resumed = self._join(is_audio_mode=is_audio_mode, granted_at=granted)
        self._remember(snapshot, version)
        self._store.subscribers.subscribe(self._key, self)
        try:
            # Read again once subscribed: changes in between were not published. An erasure in between is not undone.
            since = began_at if granted is None else granted
            snapshot, version, _ = self._join(is_audio_mode=is_audio_mode, granted_at=since)
            self._remember(snapshot, version)
            self._sent_version = version
            self._send_session(snapshot, type="state", version=version, resumed=resumed)
            while not self._context.connections.stopping:
                self._receive()
            self._receive_rest()
            self._send_updates()
            server.close(self._ws, 1001, "The server is shutting down. Reconnect.")
        finally:
            self._store.subscribers.unsubscribe(self._key, self)
            with contextlib.suppress(StepkeepError):  # the client has the draft too
                self._save_draft()

    def publish(self, snapshot: Snapshot) -> None:
        self._remember(snapshot, snapshot.state.version)
        with self._mutex:
            if self._update is None or snapshot.state.version > self._update.state.version:
                self._update = snapshot
        self._wake()

    def drop(self) -> None:
        with self._mutex:
            self._ending, self.stored, self._update = (1001, ERASED), None, None
        self._wake()

    def _join(self, *, is_audio_mode: bool, granted_at: int | None) -> tuple[Snapshot, int, bool]:
        return self._store.turns.join(
            self._key,
            is_audio_mode=is_audio_mode,
            granted_at=granted_at,
            subscriber=self,
            callback=self._take_begin_result,
        )

    def _take_begin_result(self, result: Result | Exception) -> None:
        """Take the result of beginning without a database."""
        snapshot = None if isinstance(result, Exception) else result.snapshot
        if isinstance(result, Unauthorized):
            self._refusal = result
            self._wake()
        elif snapshot is None:
            self._ending = (server.INTERNAL_ERROR, "The session could not be started. Reconnect.")
            self._wake()
        elif snapshot.state.version > 1:
            self.publish(snapshot)  # the session existed: show it
        else:  # begun now, or by an attempt that seemed to fail; the client shows the same
            self._remember(snapshot, 1)
            self._sent_version = max(self._sent_version, 1)

    def _take_result(self, message_id: str | None, result: Result | Exception) -> None:
        if not isinstance(result, Exception) and (snapshot := result.snapshot) is not None:
            self._remember(snapshot, snapshot.state.version)
        if isinstance(result, Unauthorized):
            self._refusal = result  # not this command's: the client keeps it
        else:
            self._results.append((message_id, result))
        self._wake()

    def _wake(self) -> None:
        if _WAKE not in self._ws.input_buffer:
            self._ws.input_buffer.append(_WAKE)
        self._ws.event.set()

    def _remember(self, snapshot: Snapshot, version: int) -> None:
        if version != snapshot.state.version:
            return  # it contains pending turns
        with self._mutex:
            is_newest = self.stored is None or (
                version >= self.stored.state.version and not self._shows_another_than(snapshot)
            )
            if is_newest and self._ending is None:
                self.stored = snapshot

    def _shows_another_than(self, snapshot: Snapshot) -> bool:
        """Return whether the client sees a session that another process has erased, before this one began."""
        return self.stored is not None and self.stored.state.started_at != snapshot.state.started_at

    def _receive(self) -> None:
        frame = self._ws.receive(timeout=_POLL_S)
        self._require_valid_client()
        if frame is _WAKE:
            self._send_updates()
        elif frame is not None:
            self._handle_frame(frame)
        if self._draft is not None:
            age_s = time.monotonic() - self._draft_since
            if age_s >= self._store.settings.draft_interval_s:
                with contextlib.suppress(StepkeepError):
                    self._save_draft()

    def _receive_rest(self) -> None:
        """Handle what arrived before the server stopped; do not wait for a client that continues to send."""
        until = time.monotonic() + server.CLOSING_S
        while self._ws.has_received and time.monotonic() < until:
            self._receive()

    def _require_valid_client(self) -> None:
        if not self._context.authenticator.is_still_valid(self._principal):
            self._context.security_log.write("refused", "credentials expired or revoked")
            text = "Your credentials have expired or were revoked. Reconnect with new credentials."
            self._send(_error("unauthorized", text))
            self._close(4401, text)

    def _handle_frame(self, frame: str | bytes) -> None:
        self._budget.consume()
        try:
            message = messages.parse(frame)
        except messages.BadMessage as error:
            self._send(_error(error.code, error.message, error.message_id))
            self._malformed += 1
            if self._malformed >= self._store.settings.malformed_limit:
                self._close(4400, "Repeated malformed messages.")
            return
        self._malformed = 0
        size_bytes = len(frame.encode() if isinstance(frame, str) else frame)
        command = messages.to_command(message, self._store.clock())
        if command is None:
            self._send({"type": "pong"})
        elif isinstance(command, Draft):
            self._keep_draft(command, size_bytes)
        else:
            self._budget.count_bytes(size_bytes)
            with tracing.span(f"socket {message.type}", kind="SERVER"):
                self._handle_command(command)

    def _handle_command(self, command: AnyCommand) -> None:
        self._send_results()
        message_id = command.message_id or ""
        answers_draft = isinstance(command, Answer) and self._draft is not None and command.step == self._draft.step
        try:
            if not answers_draft:
                self._save_draft()
            result = self._submit(command, message_id)
        except StepkeepError as error:
            self._send_result(message_id, error)
            return
        # Earlier commands' results come first; others' later changes last, or the session would seem to go back.
        self._send_results()
        if answers_draft and not isinstance(result, Rejected):
            self._draft = None
        if isinstance(result, Queued):
            self._send_session(result.snapshot, type="pending", id=message_id)
        else:
            self._send_result(message_id, result)

    def _submit(self, command: AnyCommand, message_id: str | None) -> Result | Queued:
        if (seen := self.stored) is not None:
            command = replace(command, session_started_at=seen.state.started_at)
        return self._store.turns.submit_or_queue(self._key, command, self, partial(self._take_result, message_id))

    def _send_result(self, message_id: str, result: Result | Exception) -> None:
        if isinstance(result, Unavailable):
            self._close(1013, result.message)
        if isinstance(result, StepkeepError) and not isinstance(result, SessionUnreadable):
            self._send(_error("quota" if isinstance(result, SessionFull) else "malformed", result.message, message_id))
            return
        if isinstance(result, Exception):  # the next connection sets an unreadable session aside
            self._close(server.INTERNAL_ERROR, "The command could not be saved. Reconnect.")
        snapshot = result.snapshot
        if snapshot is None:
            self._send(_error("unavailable", ERASED, message_id))
            self._close(1001, ERASED)
        if isinstance(result, Committed):
            self._remember(snapshot, snapshot.state.version)
            self._sent_version = max(self._sent_version, snapshot.state.version)
            at = self._store.clock()
            self._send(messages.ack(message_id, result.version, snapshot, at, duplicate=result.duplicate))
        else:
            rejection = result.rejection
            fields = {"code": rejection.code, "message": rejection.message, "step": snapshot.step}
            self._send({"type": "reject", "id": message_id, **fields})
            if self._shows_another_than(snapshot):
                self._close(1001, ERASED)

    def _keep_draft(self, draft: Draft, size_bytes: int) -> None:
        if self._draft is None:
            self._draft_since = time.monotonic()
        elif self._draft.step != draft.step:
            with contextlib.suppress(StepkeepError):  # the newest wins
                self._save_draft()
            self._draft_since = time.monotonic()
        self._draft, self._draft_bytes = draft, size_bytes

    def _save_draft(self) -> None:
        if self._draft is not None:
            # The answer may still fit; the client keeps the draft.
            with contextlib.suppress(SessionFull, RateLimited):
                self._budget.count_bytes(self._draft_bytes)
                self._submit(self._draft, None)
            self._draft = None

    def _send_results(self) -> None:
        while self._results:
            message_id, result = self._results.popleft()
            if message_id is not None:  # drafts have no id and get no answer
                self._send_result(message_id, result)

    def _send_updates(self) -> None:
        if self._refusal is not None:
            raise self._refusal
        self._send_results()
        if self._ending is not None:
            self._draft = None
            self._close(*self._ending)
        with self._mutex:
            snapshot, self._update = self._update, None
        if snapshot is not None and snapshot.state.version > self._sent_version:
            self._remember(snapshot, snapshot.state.version)
            self._sent_version = snapshot.state.version
            self._send_session(snapshot, type="sync", version=snapshot.state.version)

    def _send_session(self, snapshot: Snapshot, **fields: object) -> None:
        self._send({**fields, **messages.session_fields(snapshot, self._store.clock())})

    def _send(self, message: dict[str, Any]) -> None:
        """Send unless the client has disconnected: what it sent before is still handled, then `receive` raises."""
        try:
            self._ws.send(strict_json.encode(message))
        except ConnectionClosed:
            pass
        except OSError:
            self._ws.abort()

    def _close(self, code: int, reason: str) -> NoReturn:
        server.close(self._ws, code, reason)
        raise ConnectionClosed(code, reason)

"""The WebSocket: one participant's connection to one session (docs/protocol.md)."""

import contextlib
import logging
import threading
import time
from collections import deque
from functools import partial
from typing import Any, NoReturn

import flask
from flask_sock import Sock
from simple_websocket import ConnectionClosed

from ...core import strict_json
from ...errors import (
    Forbidden,
    InvalidInput,
    NoSuchSurvey,
    RateLimited,
    SessionUnreadable,
    StepkeepError,
    Unauthorized,
    Unavailable,
)
from ...observability import metrics, tracing
from ...sessions.service import SessionStore
from ...survey import Answer, AnyCommand, Draft, SessionKey, Snapshot
from ...writer.batch import Committed, Rejected, Result
from ...writer.pending import Queued
from ..authentication import access, address
from ..security_log import security_log
from . import messages, server
from .connection_limits import Connections, Guest, admit

log = logging.getLogger("stepkeep.socket")

sock = Sock()

_LOOK_S = 1.0
"""Seconds between two looks at the draft's age and at whether the server stops."""

ERASED = "this session was erased; connect again to begin a new one"

_NEWS = object()
"""In the buffer of incoming messages: another connection changed the session, or what was pending is settled."""


@sock.route("/ws/survey/<path:user_id>")  # type: ignore[untyped-decorator]  # flask-sock has no types
def survey_socket(ws: Any, user_id: str) -> None:  # noqa: ANN401 - simple-websocket has no types
    """Serve one connection; returns when it has ended, its newest draft saved."""
    store: SessionStore = flask.current_app.extensions["stepkeep"]
    connections: Connections = flask.current_app.extensions["stepkeep_connections"]
    try:
        if not access().is_allowed_origin():
            security_log().note("refused", "this origin is not allowed")
            server.close(ws, 4403, "this origin is not allowed")
        elif not connections.enter():
            server.close(ws, 1001 if connections.stopping else 1013, "try again later")
        else:
            try:
                _serve(ws, store, connections, user_id)
            finally:
                connections.leave()
    except ConnectionClosed:
        pass
    except Exception:
        log.exception("a connection ended by a fault of ours")
        server.close(ws, 1011, "a fault of ours; what was acknowledged is saved")
    finally:
        server.hang_up(ws)


def _serve(ws: Any, store: SessionStore, connections: Connections, user_id: str) -> None:  # noqa: ANN401
    arguments = flask.request.args
    is_audio = arguments.get("is_audio", "").lower() in {"true", "1"}
    try:
        key = store.queries.key(user_id, arguments.get("survey"))
        with connections.counted("address", address()):
            guest = admit(ws, connections, key)
            with connections.counted("participant", f"{key.survey_id}/{key.user_id}"):
                _Connection(ws, store, connections, key, guest).run(is_audio_mode=is_audio)
    except Unauthorized as error:
        security_log().note("refused", error.message)
        ws.send(strict_json.encode(_error("unauthorized", error.message)))
        server.close(ws, 4401, error.message)
    except Forbidden as error:
        security_log().note("refused", error.message)
        server.close(ws, 4403, error.message)
    except RateLimited as error:
        security_log().note("limited", error.message)
        ws.send(strict_json.encode(_error("rate_limited", error.message)))
        server.close(ws, 4429, error.message)
    except NoSuchSurvey as error:
        server.close(ws, 4404, error.message)
    except InvalidInput as error:
        ws.send(strict_json.encode(_error("malformed", error.message)))
        server.close(ws, 4400, error.message)
    except Unavailable as error:
        if str(error) != error.message:  # what is for the operator alone
            log.error("%s", error)  # noqa: TRY400 - no fault of the program
        ws.send(strict_json.encode(_error("unavailable", error.message)))
        server.close(ws, 1013, error.message)


def _error(code: messages.ErrorCode, text: str, message_id: str | None = None) -> dict[str, Any]:
    """Return the error message, counted."""
    metrics.ERRORS.labels("socket", code).inc()
    return messages.error(code, text, message_id)


class _Connection:
    """One connection, served by one thread; other threads only announce news and verdicts."""

    def __init__(
        self,
        ws: Any,  # noqa: ANN401
        store: SessionStore,
        connections: Connections,
        key: SessionKey,
        guest: Guest,
    ) -> None:
        self._guest = guest
        self._ws = ws
        self._store = store
        self._connections = connections
        self._key = key
        self._draft: Draft | None = None
        self._draft_since = 0.0
        self._news: Snapshot | None = None
        self._verdicts: deque[tuple[str | None, Result | Exception]] = deque()
        self._malformed = 0
        self._news_lock = threading.Lock()
        self._stored: Snapshot | None = None
        self._shown_version = 0
        self._ending: tuple[int, str] | None = None

    @property
    def stored(self) -> Snapshot | None:
        """The newest state that is known here to be stored."""
        return self._stored

    def run(self, *, is_audio_mode: bool) -> None:
        snapshot, version, resumed = self._enter(is_audio_mode=is_audio_mode)
        self._know(snapshot, version)
        self._store.subscribers.subscribe(self._key, self)
        try:
            # Read again, now that news arrive: what came between is told to nobody here.
            snapshot, version, _ = self._enter(is_audio_mode=is_audio_mode)
            self._know(snapshot, version)
            self._shown_version = version
            self._send(messages.state(snapshot, version, self._store.clock(), resumed=resumed))
            while not self._connections.stopping:
                self._receive()
            self._send_news()
            server.close(self._ws, 1001, "the server stops; connect again")
        finally:
            self._store.subscribers.unsubscribe(self._key, self)
            with contextlib.suppress(StepkeepError):  # the client has the draft too
                self._save_draft()

    def _enter(self, *, is_audio_mode: bool) -> tuple[Snapshot, int, bool]:
        return self._store.turns.join(self._key, is_audio_mode=is_audio_mode, subscriber=self, callback=self._begun)

    def _begun(self, result: Result | Exception) -> None:
        """Take note of what came of a session that was begun while the database was away."""
        if isinstance(result, Exception) or result.state is None:
            self._ending = (1011, "your session could not be begun; connect again")
            self._wake()
            return
        snapshot = Snapshot(key=self._key, state=result.state, survey=result.survey)
        if result.state.version > 1:
            self.publish(snapshot)  # what seemed to be new was there already: the participant sees where it stands
        else:
            # Begun now, or by a try before that seemed to fail; he is shown the same.
            self._know(snapshot, 1)
            self._shown_version = max(self._shown_version, 1)

    def publish(self, snapshot: Snapshot) -> None:
        """Take note of a state that another connection made."""
        self._know(snapshot, snapshot.state.version)
        with self._news_lock:
            if self._news is None or snapshot.state.version > self._news.state.version:
                self._news = snapshot
        self._wake()

    def drop(self) -> None:
        """Take note that the session was erased: nothing of it is shown to anybody again."""
        with self._news_lock:
            self._ending, self._stored, self._news = (1001, ERASED), None, None
        self._wake()

    def _settled(self, message_id: str | None, result: Result | Exception) -> None:
        """Take note of what came of a command that was pending."""
        if not isinstance(result, Exception) and result.state is not None:
            snapshot = Snapshot(key=self._key, state=result.state, survey=result.survey)
            self._know(snapshot, result.state.version)
        self._verdicts.append((message_id, result))
        self._wake()

    def _wake(self) -> None:
        if _NEWS not in self._ws.input_buffer:  # one is enough
            self._ws.input_buffer.append(_NEWS)
        self._ws.event.set()

    def _know(self, snapshot: Snapshot, version: int) -> None:
        """Take note of a state, if it is the stored one and no older one is."""
        if version != snapshot.state.version:
            return  # what is pending is in it
        with self._news_lock:
            is_newest = self._stored is None or version >= self._stored.state.version
            if is_newest and self._ending is None:
                self._stored = snapshot

    def _receive(self) -> None:
        frame = self._ws.receive(timeout=_LOOK_S)
        self._check_guest()
        if frame is _NEWS:
            self._send_news()
        elif frame is not None:
            self._take(frame)
        if self._draft is not None:
            age_s = time.monotonic() - self._draft_since
            if age_s >= self._store.settings.draft_interval_s:
                with contextlib.suppress(StepkeepError):
                    self._save_draft()

    def _check_guest(self) -> None:
        """End the connection of whom nothing admits any more: his token has expired, or it or his key was revoked."""
        if not self._guest.may_stay:
            security_log().note("refused", "credentials hold no more")
            self._send(_error("unauthorized", "your credentials hold no more; connect again with new ones"))
            self._end(4401, "credentials hold no more")

    def _take(self, frame: str | bytes) -> None:
        try:
            self._guest.meter.spend()
        except RateLimited:
            security_log().note("limited", "too many messages")
            self._send(_error("rate_limited", "too many messages; connect again later"))
            self._end(4429, "too many messages")
        try:
            message = messages.parse(frame)
        except messages.BadMessage as bad:
            self._send(_error(bad.code, bad.message, bad.message_id))
            if bad.code == "too_large":
                self._end(1009, bad.message)
            self._malformed += 1
            if self._malformed >= self._store.settings.malformed_limit:
                self._end(4400, "repeated malformed messages")
            return
        self._malformed = 0
        command = messages.command_of(message, self._store.clock())
        if command is None:
            self._send({"type": "pong"})
        elif isinstance(command, Draft):
            self._keep_draft(command)
        else:
            with tracing.span(f"socket {message.type}", kind="SERVER"):
                self._do(command)

    def _do(self, command: AnyCommand) -> None:
        self._send_verdicts()
        message_id = command.message_id or ""
        answers_draft = isinstance(command, Answer) and self._draft is not None and command.step == self._draft.step
        try:
            if not answers_draft:
                self._save_draft()
            result = self._submit(command, message_id)
        except Unavailable as error:
            self._end(1013, error.message)
        except SessionUnreadable as error:
            self._end(1011, error.message)  # at its next connection it is set aside
        except StepkeepError as error:
            self._send(_error("malformed", error.message, message_id))
            return
        # Settled before this one; what others did since comes after its answer, or the session would seem to go back.
        self._send_verdicts()
        if answers_draft and not isinstance(result, Rejected):
            self._draft = None
        if isinstance(result, Queued):
            snapshot = Snapshot(key=self._key, state=result.state, survey=result.survey)
            self._send(messages.pending(message_id, snapshot, self._store.clock()))
        else:
            self._answer(message_id, result)

    def _submit(self, command: AnyCommand, message_id: str | None) -> Result | Queued:
        return self._store.turns.submit_or_queue(self._key, command, self, partial(self._settled, message_id))

    def _answer(self, message_id: str, result: Result | Exception) -> None:
        """Send what came of a command in the end."""
        if isinstance(result, Exception):
            if isinstance(result, Unavailable):
                self._end(1013, result.message)
            if isinstance(result, StepkeepError) and not isinstance(result, SessionUnreadable):
                self._send(_error("malformed", result.message, message_id))
                return
            self._end(1011, "this could not be saved; connect again")
        if result.state is None:
            self._send(_error("unavailable", ERASED, message_id))
            self._end(1001, ERASED)
        snapshot = Snapshot(key=self._key, state=result.state, survey=result.survey)
        if isinstance(result, Committed):
            self._know(snapshot, result.state.version)
            self._shown_version = max(self._shown_version, result.state.version)
            at = self._store.clock()
            self._send(messages.ack(message_id, result.version, snapshot, at, duplicate=result.duplicate))
        else:
            refused = result.rejection
            self._send(messages.reject(message_id, refused.code, refused.message, snapshot.step))

    def _keep_draft(self, draft: Draft) -> None:
        if self._draft is None:
            self._draft_since = time.monotonic()
        elif self._draft.step != draft.step:
            with contextlib.suppress(StepkeepError):  # the newest wins
                self._save_draft()
            self._draft_since = time.monotonic()
        self._draft = draft

    def _save_draft(self) -> None:
        if self._draft is not None:
            self._submit(self._draft, None)
            self._draft = None

    def _send_verdicts(self) -> None:
        while self._verdicts:
            message_id, result = self._verdicts.popleft()
            if message_id is not None:  # a draft has none, and gets no answer
                self._answer(message_id, result)

    def _send_news(self) -> None:
        self._send_verdicts()
        if self._ending is not None:
            self._draft = None
            self._end(*self._ending)
        with self._news_lock:
            snapshot, self._news = self._news, None
        if snapshot is not None and snapshot.state.version > self._shown_version:
            self._know(snapshot, snapshot.state.version)
            self._shown_version = snapshot.state.version
            self._send(messages.sync(snapshot, self._store.clock()))

    def _send(self, message: dict[str, Any]) -> None:
        try:
            self._ws.send(strict_json.encode(message))
        except OSError as error:
            raise ConnectionClosed(1006, "the peer is gone") from error

    def _end(self, code: int, reason: str) -> NoReturn:
        server.close(self._ws, code, reason)
        raise ConnectionClosed(code, reason)

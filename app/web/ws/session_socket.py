"""A participant's session on a WebSocket (docs/protocol.md): one command at a time."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from typing import Any, NamedTuple, Unpack

from ...access import Principal, granted_at
from ...core import strict_json
from ...errors import RateLimited, SessionFull, SessionUnreadable, StepkeepError, Unauthorized, Unavailable
from ...observability import tracing
from ...sessions import NewSession
from ...survey import Answer, AnyCommand, Draft, SessionKey, Snapshot
from ...writer import Committed, Queued, Rejected, Result
from ..context import AppContext
from ..rate_limits import MessageBudget
from ..security_log import Event, Source
from . import messages
from .frames import Message
from .websocket import CLOSING_S, INTERNAL_ERROR, INTERNAL_ERROR_TEXT, WebSocket

log = logging.getLogger("stepkeep.socket")

WAITING_MESSAGES = 16  # received beyond the one under way; the client's next bytes then stay in the kernel

ERASED = "This session was erased. Reconnect to start a new one."
_EXPIRED = "Your credentials have expired or were revoked. Reconnect with new credentials."


class Client(NamedTuple):
    """An admitted client."""

    key: SessionKey
    principal: Principal
    budget: MessageBudget
    source: Source
    slots: ExitStack  # released at the end
    waiting: deque[Message]  # received already


class SessionSocket:
    """Runs in the loop's thread, except :meth:`join`; other threads publish to it."""

    def __init__(self, ws: WebSocket, context: AppContext, client: Client) -> None:
        self._ws, self._context, self._store = ws, context, context.store
        self._key, self._principal, self._budget, self._source, self._slots, self._waiting = client
        self._under_way: AnyCommand | None = None
        self._queued: set[str | None] = set()  # ids of queued commands; of a draft None
        self._has_begun = self._has_ended = self._is_released = self._is_erased = self._is_late = False
        self._draft: Draft | None = None
        self._draft_since = self._stop_at = 0.0
        self._draft_bytes = self._malformed = self._sent_version = 0
        self._mutex = threading.Lock()
        self.stored: Snapshot | None = None  # the newest state known to be stored
        self._update: Snapshot | None = None
        self._limit: tuple[int, str] | None = None  # close code and text

    def join(self, **new: Unpack[NewSession]) -> None:
        """Load or begin the session and serve it; may wait for the database."""
        granted, began_at = granted_at(self._principal), self._store.clock()
        callback = partial(self._call, self._take_begin_result)
        load = partial(self._store.turns.join, self._key, subscriber=self, callback=callback, **new)
        # Subscribed first: changes from now on are published, if they are not loaded.
        self._store.subscribers.subscribe(self._key, self)
        try:
            snapshot, version, resumed = load(granted_at=granted)
            if self._is_erased:  # meanwhile, or set aside by this load; an erasure is not undone
                self._is_erased, since = False, began_at if granted is None else granted
                snapshot, version, existed = load(granted_at=since)
                resumed = resumed and existed
            self._remember(snapshot, version)
            self._call(self._begin, snapshot, version, resumed)
        except BaseException:
            self._store.subscribers.unsubscribe(self._key, self)
            raise

    def publish(self, snapshot: Snapshot) -> None:
        self._remember(snapshot, snapshot.state.version)
        with self._mutex:
            if self._update is None or snapshot.state.version > self._update.state.version:
                self._update = snapshot
        self._call(self._send_update)

    def drop(self) -> None:
        with self._mutex:
            self._is_erased, self.stored, self._update = True, None, None
        self._call(self._send_update)

    def on_frame(self, is_message: bool) -> bool:  # noqa: FBT001 - called by Frames
        try:
            self._budget.consume()
        except RateLimited as error:
            self._limit = 4429 if is_message else 1008, error.message
        return self._limit is None

    def on_limit(self) -> None:
        self._ws.pause()
        self._proceed()

    def on_message(self, message: Message) -> None:
        if self._has_ended:
            return
        self._waiting.append(message)
        self._proceed()
        if len(self._waiting) >= WAITING_MESSAGES:
            self._ws.pause()

    def on_tick(self, now: float, *, is_stopping: bool) -> None:
        if not self._has_begun or not self._is_valid():
            return
        is_draft_due = now - self._draft_since >= self._store.settings.draft_interval_s
        if self._under_way is None and self._draft is not None and is_draft_due:
            self._save_draft()
        if is_stopping:
            self._stop(now)

    def on_end(self) -> None:
        self._has_ended = True
        if self._has_begun:
            self._proceed()

    def _stop(self, now: float) -> None:
        """Handle what has arrived, for at most CLOSING_S; then close."""
        self._stop_at = self._stop_at or now + CLOSING_S
        self._is_late = now >= self._stop_at
        if self._is_late:
            self._waiting.clear()
            self._ws.pause()  # for good: what comes after a dropped message must not be committed before it
        if self._under_way is None and not self._waiting and (self._is_late or not self._ws.has_unread):
            self._ws.end(1001, "The server is shutting down. Reconnect.")

    def _call(self, function: Callable[..., None], *arguments: object) -> None:
        self._ws.loop.call(self._guard, function, *arguments)

    def _guard(self, function: Callable[..., None], *arguments: object) -> None:
        try:
            function(*arguments)
        except Exception:
            log.exception("unexpected error; closing the connection")
            self._under_way = None
            self._close(INTERNAL_ERROR, INTERNAL_ERROR_TEXT)
            self._proceed()

    def _begin(self, snapshot: Snapshot, version: int, resumed: bool) -> None:  # noqa: FBT001 - called by the loop
        self._has_begun = True
        self._ws.serve(self)  # first: after an error, it tells this socket that it has ended
        self._sent_version = max(self._sent_version, version)
        self._send_session(snapshot, type="state", version=version, resumed=resumed)
        uncounted, self._waiting = self._waiting, deque()
        while uncounted and self.on_frame(True):
            self._waiting.append(uncounted.popleft())
        self._send_update()
        self._proceed()

    def _take_begin_result(self, result: Result | Exception) -> None:
        snapshot = None if isinstance(result, Exception) else result.snapshot
        if isinstance(result, Unauthorized):
            self._refuse(4401, "unauthorized", result.message, "refused")
        elif snapshot is None:
            self._close(INTERNAL_ERROR, "The session could not be started. Reconnect.")
        elif snapshot.state.version > 1:
            self.publish(snapshot)  # the session existed: show it
        else:  # begun now, or by an attempt that seemed to fail; the client shows the same
            self._remember(snapshot, 1)
            self._sent_version = self._sent_version or 1

    def _remember(self, snapshot: Snapshot, version: int) -> None:
        if version != snapshot.state.version:
            return  # it contains pending turns
        with self._mutex:
            is_newest = self.stored is None or (
                version >= self.stored.state.version and not self._shows_another_than(snapshot)
            )
            if is_newest and not self._is_erased:
                self.stored = snapshot

    def _shows_another_than(self, snapshot: Snapshot) -> bool:
        """Return whether another process has erased the session that the client sees."""
        return self.stored is not None and self.stored.state.started_at != snapshot.state.started_at

    def _proceed(self) -> None:
        """Handle waiting messages up to one that waits for the database; at the end, the draft."""
        try:
            while self._waiting and self._under_way is None and self._is_valid():
                self._handle(self._waiting[0])
        except Exception:
            log.exception("unexpected error; closing the connection")
            self._close(INTERNAL_ERROR, INTERNAL_ERROR_TEXT)
        if self._under_way is not None or (self._is_late and not self._has_ended):
            return
        if self._limit is not None and not self._has_ended:
            self._refuse(self._limit[0], "rate_limited", self._limit[1], "limited")
        elif not self._has_ended:
            self._ws.resume()
        elif self._draft is not None:
            self._save_draft()
        if self._has_ended and self._under_way is None:
            self._release()

    def _release(self) -> None:
        if not self._is_released:
            self._is_released = True
            self._store.subscribers.unsubscribe(self._key, self)
            self._slots.close()

    def _is_valid(self) -> bool:
        if self._context.authenticator.is_still_valid(self._principal):
            return True
        self._waiting.clear()
        if not self._has_ended:
            self._context.security_log.write("refused", "credentials expired or revoked", self._source)
            self._refuse(4401, "unauthorized", _EXPIRED)
        return False

    def _handle(self, message: Message) -> None:
        try:
            parsed = messages.parse(message)
        except messages.BadMessage as error:
            self._waiting.popleft()
            self._send(messages.error(error.code, error.message, error.message_id))
            self._malformed += 1
            if self._malformed >= self._store.settings.malformed_limit:
                self._close(4400, "Repeated malformed messages.")
            return
        self._malformed = 0
        seen = self.stored
        started_at = None if seen is None else seen.state.started_at
        command = messages.to_command(parsed, self._store.clock(), started_at)
        if command is None:
            self._send({"type": "pong"})
        elif self._must_save_draft(command):
            self._save_draft()  # the message waits for it
            return
        elif isinstance(command, Draft):
            self._keep_draft(command, messages.size_bytes(message))
        elif not self._count_bytes(messages.size_bytes(message)):
            return
        else:
            with tracing.span_start(f"socket {parsed.type}", kind="SERVER") as ending:
                self._submit(command, partial(self._take_result, ending))
        if self._waiting:
            self._waiting.popleft()

    def _must_save_draft(self, command: AnyCommand) -> bool:
        if self._draft is None:
            return False
        return not (isinstance(command, Answer | Draft) and command.step == self._draft.step)

    def _count_bytes(self, size_bytes: int) -> bool:
        try:
            self._budget.count_bytes(size_bytes)
        except RateLimited as error:
            self._refuse(4429, "rate_limited", error.message, "limited")
            return False
        return True

    def _submit(self, command: AnyCommand, take: Callable[[AnyCommand, Result | Queued | Exception], None]) -> None:
        self._under_way = command
        self._context.commands.submit(self._key, command, self, partial(self._guard, take, command))

    def _take_result(self, ending: tracing.Ending, command: AnyCommand, result: Result | Queued | Exception) -> None:
        """Answer the command; called again after a Queued."""
        message_id = command.message_id or ""
        is_first = self._under_way is command  # later, the draft may be a newer one
        if is_first and isinstance(command, Answer) and not isinstance(result, Rejected | Exception):
            self._draft = None if self._draft is None or self._draft.step == command.step else self._draft
        if isinstance(result, Queued):
            self._send_session(result.snapshot, type="pending", id=message_id)
        else:
            with ending:
                self._send_result(message_id, result)
        self._continue(command, result)

    def _take_draft_result(self, draft: AnyCommand, result: Result | Queued | Exception) -> None:
        """Answer nothing: the client still has a refused draft."""
        if isinstance(result, Unauthorized):
            self._refuse(4401, "unauthorized", result.message, "refused")
        elif isinstance(result, Unavailable) and isinstance(draft, Draft) and not (self._waiting or self._has_ended):
            self._keep_draft(self._draft or draft, self._draft_bytes)  # and saved after the interval
        self._continue(draft, result)

    def _continue(self, command: AnyCommand, result: Result | Queued | Exception) -> None:
        if isinstance(result, Queued):
            self._queued.add(command.message_id)
        else:
            self._queued.discard(command.message_id)
        if self._under_way is command:  # not so after its Queued
            self._under_way = None
            self._send_update()
            self._proceed()
        else:
            self._send_update()

    def _send_result(self, message_id: str, result: Result | Exception) -> None:
        if isinstance(result, Unauthorized):  # not this command's: the client keeps it
            self._refuse(4401, "unauthorized", result.message, "refused")
        elif isinstance(result, Unavailable):
            self._close(1013, result.message)
        elif isinstance(result, StepkeepError) and not isinstance(result, SessionUnreadable):
            code: messages.ErrorCode = "quota" if isinstance(result, SessionFull) else "malformed"
            self._send(messages.error(code, result.message, message_id))
        elif isinstance(result, Exception):  # the next connection sets an unreadable session aside
            self._close(INTERNAL_ERROR, "The command could not be saved. Reconnect.")
        elif result.snapshot is None:
            self._send(messages.error("unavailable", ERASED, message_id))
            self._close(1001, ERASED)
        elif isinstance(result, Committed):
            snapshot = result.snapshot
            self._remember(snapshot, snapshot.state.version)
            self._sent_version = max(self._sent_version, snapshot.state.version)
            at = self._store.clock()
            self._send(messages.ack(message_id, result.version, snapshot, at, duplicate=result.duplicate))
        else:
            self._send(messages.reject(message_id, result.rejection, result.snapshot, self._store.clock()))
            if self._shows_another_than(result.snapshot):
                self._close(1001, ERASED)

    def _keep_draft(self, draft: Draft, size_bytes: int) -> None:
        if self._draft is None:
            self._draft_since = time.monotonic()
        self._draft, self._draft_bytes = draft, size_bytes

    def _save_draft(self) -> None:
        draft, self._draft = self._draft, None
        if draft is not None:
            with suppress(RateLimited):  # the client keeps the draft
                self._budget.count_bytes(self._draft_bytes)
                self._submit(draft, self._take_draft_result)

    def _send_update(self) -> None:
        """Show others' changes after the answers: else the session would seem to go back."""
        if self._under_way is not None or not self._has_begun:
            return
        if self._is_erased:
            self._draft = None
            self._close(1001, ERASED)
        if self._queued:
            return
        with self._mutex:
            snapshot, self._update = self._update, None
        if snapshot is not None and snapshot.state.version > self._sent_version and self._is_valid():
            self._remember(snapshot, snapshot.state.version)
            self._sent_version = snapshot.state.version
            self._send_session(snapshot, type="sync", version=snapshot.state.version)

    def _send_session(self, snapshot: Snapshot, **fields: object) -> None:
        self._send({**fields, **messages.session_fields(snapshot, self._store.clock())})

    def _send(self, message: dict[str, Any]) -> None:
        self._ws.send(strict_json.encode(message))

    def _refuse(self, close_code: int, code: messages.ErrorCode, text: str, event: Event | None = None) -> None:
        if not self._has_ended:
            if event is not None:
                self._context.security_log.write(event, text, self._source)
            self._send(messages.error(code, text))
            self._close(close_code, text)

    def _close(self, code: int, reason: str) -> None:
        self._waiting.clear()
        self._ws.end(code, reason)

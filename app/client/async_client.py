"""AsyncSurveyClient: one task connects and receives, another sends."""

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from time import monotonic
from typing import Any, ParamSpec, Self, TypeVar

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import WebSocketException

from ..errors import StepkeepError
from .command import AsyncPendingCommand, PendingCommand
from .errors import ClientClosed, PermanentlyRefused
from .messages import ServerMessage, StateMessage
from .outbox import MemoryOutbox, Outbox
from .protocol import ReceivedSession, answer_fields, new_command
from .timeouts import DEFAULT_TIMEOUTS, ClientTimeouts
from .transport import authorization_header, encode, open_async_connection, send_async, socket_url

log = logging.getLogger("stepkeep.client")

P = ParamSpec("P")
T = TypeVar("T")


class AsyncSurveyClient(ReceivedSession):
    """:class:`SurveyClient` for one event loop, which calls ``listener``. A cancelled call may have been accepted."""

    def __init__(  # noqa: PLR0913 - keywords, most of them optional
        self,
        origin: str,
        user_id: str,
        *,
        survey_id: str | None = None,
        is_audio_mode: bool = False,
        language: str | None = None,
        parameters: Mapping[str, str] | None = None,
        token: str | None = None,
        outbox: Outbox | None = None,
        timeouts: ClientTimeouts = DEFAULT_TIMEOUTS,
        listener: Callable[[ServerMessage], None] | None = None,
    ) -> None:
        super().__init__(timeouts, listener)
        self._url = socket_url(
            origin, user_id, survey_id, is_audio_mode=is_audio_mode, language=language, parameters=parameters
        )
        self._headers = authorization_header(token)
        self._owner = f"{user_id} in {survey_id or 'the default survey'}"
        self._outbox = MemoryOutbox() if outbox is None else outbox
        self._outbox_thread = ThreadPoolExecutor(1, "stepkeep-outbox")  # its calls may wait for the disk
        self._changed = asyncio.Event()
        self._starting = asyncio.Lock()
        self._is_closed = False
        self._tasks: tuple[asyncio.Task[None], ...] = ()
        self._connection: ClientConnection | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def start(self) -> None:
        """Load the outbox and connect in the background."""
        async with self._starting:
            if self._is_closed:
                raise ClientClosed
            if self._tasks:
                return
            for command_id in self._protocol.open(await self._in_thread(self._outbox.load, self._owner)):
                self._outbox_thread.submit(self._outbox.remove, command_id)
            self._tasks = (asyncio.create_task(self._run()), asyncio.create_task(self._send_all()))

    async def wait_until_online(self, timeout_s: float | None = None) -> StateMessage:
        """Return the newest ``state`` message once connected."""
        protocol = self._protocol
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while not protocol.is_online and protocol.failure is None:
                    await self._changed.wait()
        protocol.check_open()
        if not protocol.is_online or protocol.state is None:
            raise TimeoutError(f"not online within {timeout_s} s")
        return protocol.state

    async def close(self, timeout_s: float = 5) -> None:
        """Close; unacknowledged commands stay in the outbox."""
        if self._is_closed:
            return
        self._is_closed = True
        unresolved = self._stop(ClientClosed())
        if self._connection is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(min(timeout_s, self._timeouts.close_timeout_s)):
                    await self._connection.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout_s)
        await self._in_thread(self._outbox.close)
        self._outbox_thread.shutdown(wait=False)
        for command in unresolved:
            command.resolve(ClientClosed())

    async def answer(self, step: str, value: object, *, confirmed: bool = False) -> AsyncPendingCommand:
        """Answer a step; return once the outbox has the answer."""
        return await self._submit("answer", **answer_fields(step, value, confirmed=confirmed))

    async def back(self) -> AsyncPendingCommand:
        return await self._submit("back")

    async def goto(self, step: str) -> AsyncPendingCommand:
        return await self._submit("goto", step=step)

    async def set_mode(self, *, audio: bool) -> AsyncPendingCommand:
        return await self._submit("mode", audio=audio)

    async def set_language(self, language: str) -> AsyncPendingCommand:
        return await self._submit("language", language=language)

    async def restart(self) -> AsyncPendingCommand:
        return await self._submit("restart")

    async def draft(self, step: str, value: object) -> None:
        """Send a draft; a newer one replaces it."""
        self._protocol.add_draft(encode({"type": "draft", "step": step, "value": value}))
        self._notify()

    async def _submit(self, kind: str, **fields: object) -> AsyncPendingCommand:
        command, text = new_command(kind, fields)
        self._protocol.check_open()
        # Shielded: what the outbox has is queued, too, in the same order, although its caller is cancelled.
        await asyncio.shield(asyncio.create_task(self._accept(command, text)))
        return AsyncPendingCommand(command)

    async def _accept(self, command: PendingCommand, text: str) -> None:
        await self._in_thread(self._outbox.add, command.command)
        self._protocol.add(command, text)
        self._notify()
        if self._protocol.failure is not None:  # stopped meanwhile
            command.resolve(self._protocol.failure)

    async def _in_thread(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.wrap_future(self._outbox_thread.submit(function, *args, **kwargs))

    def _notify(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    # ------------------------------------------------------------------- the task that connects and receives

    async def _run(self) -> None:
        try:
            while True:
                delay_s = await self._attempt()
                await asyncio.sleep(delay_s)
        except PermanentlyRefused as error:
            for command in self._stop(error):
                command.resolve(error)

    async def _attempt(self) -> float:
        self._protocol.begin_attempt(monotonic())
        failure: Exception | None = None
        try:
            async with open_async_connection(self._url, self._headers, self._timeouts) as connection:
                self._connection = connection
                self._protocol.connect()
                try:
                    await self._receive_all(connection)
                finally:
                    self._lose(connection)
        except Exception as error:  # noqa: BLE001 - the protocol logs what is unexpected
            failure = error
        return self._protocol.end_attempt(failure, monotonic())

    async def _receive_all(self, connection: ClientConnection) -> None:
        while True:
            async with asyncio.timeout(None if self.is_online else self._timeouts.state_timeout_s):
                message = json.loads(await connection.recv())
            if isinstance(message, dict):
                self._handle(message)

    def _handle(self, message: dict[str, Any]) -> None:
        answered = self._protocol.receive(message, monotonic())
        if answered is not None:
            self._outbox_thread.submit(self._outbox.remove, answered.command.id)
        self._notify()
        self._call_listener(message)
        if answered is not None:
            answered.command.resolve(answered.result)

    def _lose(self, connection: ClientConnection) -> None:
        if self._connection is connection:
            self._connection = None
            self._protocol.disconnect()
            self._notify()

    def _stop(self, failure: StepkeepError) -> list[PendingCommand]:
        unresolved = self._protocol.stop(failure)
        self._notify()
        return unresolved

    # ------------------------------------------------------------------------------------- the task that sends

    async def _send_all(self) -> None:
        while self._protocol.failure is None:
            following = self._protocol.next_message(monotonic())
            if isinstance(following, tuple) and self._connection is not None:
                await self._send(self._connection, *following)
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(following if isinstance(following, float) else None):
                    await self._changed.wait()

    async def _send(self, connection: ClientConnection, key: str, text: str) -> None:
        try:
            await send_async(connection, text, self._timeouts)
        except (OSError, WebSocketException) as error:
            log.info("A message could not be sent (%s); reconnecting.", type(error).__name__)
            self._lose(connection)
            await connection.close()
        else:
            self._protocol.mark_sent(key)

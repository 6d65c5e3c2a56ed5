"""The Python client with short delays, and a client over REST, with a log of everything that they send and receive."""

import threading
import time
from pathlib import Path
from typing import Any

import httpx

from app.client import ClientClosed, ClientTimeouts, NotAdmitted, SurveyClient
from app.client.outbox import FileOutbox, MemoryOutbox
from app.core.message_ids import new_message_id
from tests.chaos.logs import ClientLog
from tests.chaos.walks import PlannedCommand

TIMEOUTS = ClientTimeouts(
    connect_delay_s=0.1,
    connect_delay_max_s=0.8,
    slow_delay_s=1.0,
    busy_delay_s=0.5,
    send_delay_s=0.05,
    unavailable_delay_s=0.2,
    open_timeout_s=4.0,
    state_timeout_s=6.0,
    ping_interval_s=1.0,
    ping_timeout_s=2.0,
    close_timeout_s=0.5,
)
"""About a tenth of the defaults, so that a run of minutes covers many outages."""

RETRY_DELAY_S = 0.2
RETRIED = frozenset({404, 429, 503})
"""404: the session was erased just now; then the token is refused."""


class LoggedClient:
    """A client of one session, and its log.

    Args:
        outbox_path: the outbox's file; None keeps it in memory.
    """

    def __init__(self, origin: str, log: ClientLog, token: str, outbox_path: Path | None) -> None:
        self.log = log
        self._client = SurveyClient(
            origin,
            log.user_id,
            survey_id=log.survey_id,
            token=token,
            outbox=MemoryOutbox() if outbox_path is None else FileOutbox(outbox_path),
            timeouts=TIMEOUTS,
            listener=self._record,
        )

    @property
    def is_refused(self) -> bool:
        """Whether the server refused the token."""
        try:
            self._client.wait_until_online(0)
        except NotAdmitted:
            return True
        except (TimeoutError, ClientClosed):
            pass
        return False

    def start(self) -> None:
        """Connect, and send the commands in the outbox."""
        self._client.start()

    def close(self) -> None:
        """Disconnect; unanswered commands stay in the outbox."""
        self._client.close()

    def _record(self, message: dict[str, Any]) -> None:
        self.log.record_received(message)

    def send(self, planned: PlannedCommand) -> str | None:
        """Send the command; return its id, or None for a draft, or if the token was refused."""
        try:
            return self._send(planned)
        except NotAdmitted:
            return None

    def _send(self, planned: PlannedCommand) -> str | None:
        at_s = time.monotonic()
        command, client = planned.command, self._client
        match planned.type:
            case "answer":
                sent = client.answer(command["step"], command["value"])
            case "back":
                sent = client.back()
            case "goto":
                sent = client.goto(command["step"])
            case "mode":
                sent = client.set_mode(audio=command["audio"])
            case "restart":
                sent = client.restart()
            case _:
                client.draft(command["step"], command["value"])
                self.log.record_sent(at_s, None, command)
                return None
        self.log.record_sent(at_s, sent.id, command, is_invalid=planned.is_invalid)
        return sent.id


class RestClient:
    """A client that posts each command until it has a final answer.

    Args:
        stopping: set when it gives up.
    """

    def __init__(self, origin: str, log: ClientLog, token: str, stopping: threading.Event) -> None:
        self.log = log
        self.is_refused = False
        self._stopping = stopping
        self._http = httpx.Client(
            base_url=origin, headers={"Authorization": f"Bearer {token}"}, timeout=TIMEOUTS.state_timeout_s
        )

    def start(self) -> None:
        """Begin the session."""
        self.send(PlannedCommand({"type": "mode", "audio": False}))

    def close(self) -> None:
        """Disconnect."""
        self._http.close()

    def send(self, planned: PlannedCommand) -> str | None:
        """Post the command until it is answered; return its id, or None for a draft, which is not sent."""
        if planned.type == "draft":
            return None
        command_id = new_message_id()
        self.log.record_sent(time.monotonic(), command_id, planned.command, is_invalid=planned.is_invalid)
        while not self._stopping.is_set() and not self.is_refused:
            message = self._post({**planned.command, "id": command_id})
            if message is not None:
                self.log.record_received(message)
                break
            self._stopping.wait(RETRY_DELAY_S)
        return command_id

    def _post(self, command: dict[str, Any]) -> dict[str, Any] | None:
        """Return the final answer, or None."""
        path, params = f"/api/session/{self.log.user_id}/commands", {"survey": self.log.survey_id}
        try:
            response = self._http.post(path, params=params, json=command)
        except httpx.TransportError:
            return None
        content: dict[str, Any] = response.json()
        match response.status_code:
            case 200:
                return content
            case 409:
                return {"type": "reject", "id": content["id"], "code": content["code"]}
            case 401:
                self.is_refused = True
            case status:
                assert status in RETRIED, response.text
        return None

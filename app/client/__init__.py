"""The Python client of the survey WebSocket (docs/protocol.md): it reconnects, resends, and loses no answer.

::

    with SurveyClient("https://surveys.example", "ada", outbox=FileOutbox("ada.outbox")) as client:
        client.wait_until_online(10)
        ack = client.answer("Q1", 2).result(30)

A command enters the outbox first and leaves it with the server's final answer. Whatever fails in between, the
connection, the server or this process, the command is sent again with the same id, and the server applies it once.
Commands are sent in the order in which they were given: one thread sends from one queue, and each new connection starts
at the oldest unanswered command. (After a transient error on a connection that stays open, later commands may be
applied before the resent one; Stepkeep's server closes the connection with such an error.)

A server in production needs a token (``token=``). When it is refused, expires or is revoked, commands raise NotAdmitted
and the client stops; a new client with a valid token delivers the outbox.

The package imports nothing of the server but ``app.errors`` and ``app.core``. It needs the extra ``client``.
"""

from .command import PendingCommand
from .errors import (
    BadToken,
    ClientClosed,
    CommandRefused,
    CommandTooLarge,
    NotAdmitted,
    NotSendable,
    OutboxFailed,
    OutboxInUse,
    OutboxOwnerMismatch,
    PermanentlyRefused,
    Rejected,
)
from .outbox import FileOutbox, MemoryOutbox, Outbox
from .survey_client import SurveyClient
from .timeouts import ClientTimeouts

__all__ = [
    "BadToken",
    "ClientClosed",
    "ClientTimeouts",
    "CommandRefused",
    "CommandTooLarge",
    "FileOutbox",
    "MemoryOutbox",
    "NotAdmitted",
    "NotSendable",
    "Outbox",
    "OutboxFailed",
    "OutboxInUse",
    "OutboxOwnerMismatch",
    "PendingCommand",
    "PermanentlyRefused",
    "Rejected",
    "SurveyClient",
]

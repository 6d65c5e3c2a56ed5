"""The Python clients of the survey WebSocket, blocking and for asyncio: they reconnect, resend, and lose no answer.

A command leaves the outbox only with the server's final answer; until then it is resent with the same id, in order, and
applied once. A refused token stops the client; a new client with a valid one delivers the outbox.

It imports only ``app.errors`` and ``app.core`` of the server.
"""

from ..core.installation import needs_extra

with needs_extra("client", "The Python client"):
    from .async_client import AsyncSurveyClient
    from .command import AsyncPendingCommand, PendingCommand
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
    from .messages import (
        AckMessage,
        Ending,
        ErrorMessage,
        PendingMessage,
        PongMessage,
        RejectMessage,
        ServerMessage,
        StateMessage,
        SyncMessage,
    )
    from .outbox import FileOutbox, MemoryOutbox, Outbox
    from .survey_client import SurveyClient
    from .timeouts import ClientTimeouts

__all__ = [
    "AckMessage",
    "AsyncPendingCommand",
    "AsyncSurveyClient",
    "BadToken",
    "ClientClosed",
    "ClientTimeouts",
    "CommandRefused",
    "CommandTooLarge",
    "Ending",
    "ErrorMessage",
    "FileOutbox",
    "MemoryOutbox",
    "NotAdmitted",
    "NotSendable",
    "Outbox",
    "OutboxFailed",
    "OutboxInUse",
    "OutboxOwnerMismatch",
    "PendingCommand",
    "PendingMessage",
    "PermanentlyRefused",
    "PongMessage",
    "RejectMessage",
    "Rejected",
    "ServerMessage",
    "StateMessage",
    "SurveyClient",
    "SyncMessage",
]

"""The Python clients of the survey WebSocket. They import only ``app.errors`` and ``app.core``.

A command stays in the outbox, and is resent in order, until the server's final answer.
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

"""What the client raises; all are StepkeepErrors, with a stable code."""

from pathlib import Path

from ..errors import ConfigurationError, InvalidInput, StepkeepError, Unavailable

MAX_COMMAND_BYTES = 64 * 1024
"""The server closes a connection with 1009 over a longer message (PROTOCOL.md)."""


class Rejected(StepkeepError):
    """The survey's rules refuse the command; nothing was saved. ``code`` is the reject's of PROTOCOL.md."""

    http_status = 422

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


class CommandRefused(StepkeepError):
    """The server takes it for no command, or does not allow it. ``code`` is the error's of PROTOCOL.md."""

    http_status = 400

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


class RefusedForGood(StepkeepError):
    """The server closed with a code that another attempt would not change; the client has stopped."""

    code = "refused_for_good"

    def __init__(self, close_code: int, reason: str) -> None:
        self.close_code = close_code
        self.reason = reason
        super().__init__(f"the server refuses this connection ({close_code}: {reason}); the outbox keeps what it had")


class NotAdmitted(RefusedForGood):
    """The server does not let this client in: 4401, its token doesn't hold, or 4403, it is not for this session.

    The outbox keeps what it had: a new client with a token that holds, and the same outbox, delivers it.
    """

    code = "not_admitted"


class BadToken(InvalidInput):
    """A text that can't be a token; it is not repeated here."""

    code = "bad_token"

    def __init__(self) -> None:
        super().__init__("the token is not one: it has letters, digits and - . _ ~ + / =, and nothing around them")


class ClientClosed(Unavailable):
    """The client is not started, or closed; what was not acknowledged is in its outbox."""

    code = "client_closed"

    def __init__(self) -> None:
        super().__init__("the client is not open; what was not acknowledged stays in its outbox")


class OutboxInUse(ConfigurationError):
    """Another client has the outbox file."""

    code = "outbox_in_use"

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__(f"{path} is used by another client: one at a time; give each participant a file of his own")


class OutboxOfAnother(ConfigurationError):
    """The outbox file holds commands for another session: they must not become this one's answers."""

    code = "outbox_of_another"

    def __init__(self, path: Path, owner: str, wanted: str) -> None:
        self.path = path
        self.owner = owner
        self.wanted = wanted
        super().__init__(f"{path} holds commands for {owner}, not for {wanted}: give each session a file of its own")


class OutboxFailed(Unavailable):
    """The outbox file can't be read or written; the command was not taken."""

    code = "outbox_failed"

    def __init__(self, path: Path, problem: str) -> None:
        self.path = path
        self.problem = problem
        super().__init__(f"the outbox {path} does not work ({problem}): the command was not taken, give it again")


class CommandTooLarge(InvalidInput):
    """A command that the server would refuse for its size; it was not taken."""

    code = "too_large"

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        super().__init__(f"the command has {size_bytes} bytes as JSON; at most {MAX_COMMAND_BYTES} can be sent")


class NotSendable(InvalidInput):
    """A value that JSON, or one of the server's databases, can't hold; the command was not taken."""

    code = "not_sendable"

    def __init__(self, problem: str) -> None:
        self.problem = problem
        super().__init__(f"the value can't be sent: {problem}")

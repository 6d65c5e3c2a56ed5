"""The client's errors."""

from collections.abc import Mapping
from pathlib import Path

from ..core.formats import MAX_COMMAND_BYTES
from ..errors import ConfigurationError, InvalidInput, StepkeepError, Unavailable


class _RefusedCommand(StepkeepError):
    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


class Rejected(_RefusedCommand):
    """The survey's rules reject the command; ``fields`` has the problems by field or row."""

    http_status = 422

    def __init__(self, code: str, message: str, fields: Mapping[str, str] | None = None) -> None:
        self.fields = dict(fields or {})
        super().__init__(code, message)


class CommandRefused(_RefusedCommand):
    """The server does not accept the command."""

    http_status = 400


class PermanentlyRefused(StepkeepError):
    """Another attempt would fail, too."""

    code = "permanently_refused"

    def __init__(self, close_code: int, reason: str) -> None:
        self.close_code = close_code
        self.reason = reason
        super().__init__(f"The server refused the connection ({close_code}: {reason}). The outbox keeps its commands.")


class NotAdmitted(PermanentlyRefused):
    """The token is not accepted (4401, 4403); a new client can deliver the outbox."""

    code = "not_admitted"


class BadToken(InvalidInput):
    """The text can't be a token."""

    code = "bad_token"

    def __init__(self) -> None:
        super().__init__("A token consists of letters, digits and - . _ ~ + / = only, without spaces or line ends.")


class ClientClosed(Unavailable):
    """The client is not started, or closed; the outbox keeps its commands."""

    code = "client_closed"

    def __init__(self) -> None:
        super().__init__("The client is not open. Unacknowledged commands stay in its outbox.")


class OutboxInUse(ConfigurationError):
    """Another client uses the outbox."""

    code = "outbox_in_use"

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__(f"{path} is in use by another client. Use a separate file for each session.")


class OutboxOwnerMismatch(ConfigurationError):
    """The outbox is another session's."""

    code = "outbox_owner_mismatch"

    def __init__(self, path: Path, owner: str, wanted: str) -> None:
        self.path = path
        self.owner = owner
        self.wanted = wanted
        super().__init__(f"{path} has commands of {owner}, not of {wanted}. Use a separate file for each session.")


class OutboxFailed(Unavailable):
    """The outbox can't be read or written."""

    code = "outbox_failed"

    def __init__(self, path: Path, problem: str) -> None:
        self.path = path
        self.problem = problem
        super().__init__(f"The outbox {path} can't be used ({problem}). The command was not accepted; repeat it.")


class CommandTooLarge(InvalidInput):
    """The command is too large."""

    code = "too_large"

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        super().__init__(f"The command has {size_bytes} bytes as JSON; the limit is {MAX_COMMAND_BYTES}.")


class NotSendable(InvalidInput):
    """The command is not strict JSON."""

    code = "not_sendable"

    def __init__(self, problem: str) -> None:
        self.problem = problem
        super().__init__(f"The value can't be sent: {problem}")

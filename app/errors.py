"""Every error, with a stable code, an HTTP status and facts. Only ``app/store`` translates driver errors."""

from typing import ClassVar


class StepkeepError(Exception):
    """The root of all errors."""

    code: str = "internal"
    http_status: ClassVar[int] = 500
    client_message: ClassVar[str | None] = None
    """What clients get instead of ``str(error)``, whose details are for the log."""

    @property
    def message(self) -> str:
        return self.client_message or str(self)


class ConfigurationError(StepkeepError):
    """A setting, file or schema can't be used."""

    code = "configuration"


class DatabaseUnreachable(ConfigurationError):
    """The database can't be opened at the start."""


class ReadOnlyDatabase(ConfigurationError):
    """The database is read-only."""


class SchemaMismatch(ConfigurationError):
    """The schema belongs to another release."""

    code = "schema_mismatch"


class StoreInUse(ConfigurationError):
    """Another server uses the SQLite file."""

    code = "store_in_use"

    def __init__(self, path: str) -> None:
        self.path = path
        super().__init__(
            f"{path} is in use by another server process. A SQLite file serves one process at a time: "
            "stop the other one, or use PostgreSQL or MariaDB."
        )


class SurveyFileError(ConfigurationError):
    """A survey file is invalid; ``place`` is of the first error."""

    code = "survey_file"

    def __init__(self, file: str, place: str, problem: str, message: str | None = None) -> None:
        self.file = file
        self.place = place
        self.problem = problem
        super().__init__(message or (f"{file}: {place}: {problem}" if place else f"{file}: {problem}"))


class BackupBroken(ConfigurationError):
    """The backup is damaged, or of another release; nothing was restored."""

    code = "backup_broken"

    def __init__(self, problem: str) -> None:
        self.problem = problem
        super().__init__(f"The backup can't be used: {problem}")


class InvalidInput(StepkeepError, ValueError):
    """The data is invalid; nothing was saved."""

    code = "invalid_input"
    http_status = 422


class UnsuitableTransaction(InvalidInput):
    """A turn can't be part of the caller's transaction; nothing was done."""


class InvalidUserId(InvalidInput):
    """The user id breaks the protocol."""

    code = "invalid_user_id"

    def __init__(self, given: object) -> None:
        name = repr(given[:140]) if isinstance(given, str) else f"a value of type {type(given).__name__}"
        super().__init__(
            f"user_id must be 1 to 128 of the characters A-Z a-z 0-9 . _ @ : -, but not . or ..; it was {name}"
        )


class InvalidJson(InvalidInput):
    """The text is not strict JSON."""

    code = "invalid_json"
    http_status = 400

    def __init__(self, place: str, problem: str) -> None:
        self.place = place
        self.problem = problem
        super().__init__(f"{place}: {problem}")


class MessageIdReused(InvalidInput):
    """Another command has the message id."""

    code = "message_id_reused"
    http_status = 409

    def __init__(self, message_id: str) -> None:
        self.message_id = message_id
        super().__init__(f"Message id {message_id!r} was used for a different command. Use a new id for each command.")


class SessionFull(StepkeepError):
    """The history has reached STEPKEEP_SESSION_VERSIONS or STEPKEEP_SESSION_MIB; nothing was saved."""

    code = "quota"
    http_status = 409


class Unauthorized(StepkeepError):
    """The credentials are missing or invalid."""

    code = "unauthorized"
    http_status = 401

    def __init__(self) -> None:
        super().__init__("Valid credentials are required: a participant token or an API key.")


class Forbidden(StepkeepError):
    """The credentials lack the permission."""

    code = "forbidden"
    http_status = 403


class ParticipantConflict(StepkeepError):
    """The browser has another participant's cookie."""

    code = "participant_conflict"
    http_status = 409

    def __init__(self) -> None:
        super().__init__("This browser has a session of another participant. Send replace: true to replace it.")


class LinkUnconfirmed(StepkeepError):
    """The participant must confirm that the link's session, from another device, is theirs."""

    code = "link_unconfirmed"
    http_status = 409

    def __init__(self, survey_id: str, started_at: int, *, has_other_session: bool) -> None:
        self.survey_id = survey_id
        self.started_at = started_at  # the session, or its first token; microseconds since 1970 UTC
        self.has_other_session = has_other_session
        super().__init__(
            "This link continues a session that was started on another device. Send confirm: true if it is the "
            "participant's own."
        )


class LinkUsed(StepkeepError):
    """The link was used before."""

    code = "link_used"
    http_status = 409

    def __init__(self) -> None:
        super().__init__("This link was used before, and works once. Create a new one on a device that continues.")


class RateLimited(StepkeepError):
    """A rate limit was exceeded."""

    code = "rate_limited"
    http_status = 429

    def __init__(self, retry_after_s: int, problem: str = "Too many requests", code: str = "rate_limited") -> None:
        self.retry_after_s = retry_after_s
        self.code = code
        super().__init__(f"{problem}. Retry in {retry_after_s} second{'s' if retry_after_s != 1 else ''}.")


class NotFound(StepkeepError, LookupError):
    """The object does not exist."""

    code = "not_found"
    http_status = 404


class NoSuchSession(NotFound):
    """There is no such session."""

    code = "no_such_session"

    def __init__(self, survey_id: str, user_id: str) -> None:
        self.survey_id = survey_id
        self.user_id = user_id
        super().__init__(f"Participant {user_id!r} has no session of the survey {survey_id!r}.")


class NoSuchSurvey(NotFound):
    """There is no such survey."""

    code = "no_such_survey"

    def __init__(self, survey_id: str | None, offered: tuple[str, ...]) -> None:
        self.survey_id = survey_id
        self.offered = offered
        problem = "No survey is selected" if survey_id is None else f"Survey {survey_id!r} does not exist"
        super().__init__(f"{problem}. Select one with ?survey=: {', '.join(offered) or '(none is loaded)'}")


class NoSuchVersion(NotFound):
    """There is no such version."""

    code = "no_such_version"

    def __init__(self, version: int, newest: int) -> None:
        self.version = version
        self.newest = newest
        super().__init__(f"Version {version} does not exist; the session has versions 1 to {newest}.")


class NoSuchWebhook(NotFound):
    """There is no such webhook."""

    code = "no_such_webhook"

    def __init__(self, webhook_id: str) -> None:
        self.webhook_id = webhook_id
        super().__init__(f"Webhook {webhook_id[:40]!r} does not exist. List the webhooks to see their ids.")


class SessionUnreadable(StepkeepError):
    """A stored session is damaged."""

    code = "session_unreadable"

    def __init__(self, survey_id: str, user_id: str, problem: str) -> None:
        self.survey_id = survey_id
        self.user_id = user_id
        self.problem = problem
        super().__init__(f"Session of {user_id!r} in survey {survey_id!r} is unreadable: {problem}")


class VersionConflict(StepkeepError):
    """The session is at another version."""

    code = "version_conflict"
    http_status = 412

    def __init__(self, expected: int, found: int) -> None:
        self.expected = expected
        self.found = found
        super().__init__(f"Session is at version {found}, not {expected}. Reload it and repeat the change.")


class DatabaseRefused(StepkeepError):
    """The database rejects the data, now and later."""

    code = "database_refused"

    def __init__(self, problem: str) -> None:
        self.problem = problem
        super().__init__(f"The database rejected the data ({problem}); nothing was saved. The log has its error code.")


class Unavailable(StepkeepError):
    """Nothing was acknowledged; a retry can succeed."""

    code = "unavailable"
    http_status = 503


class UnreadableHere(Unavailable):
    """Another server can read it: nothing is set aside or rewritten."""


class OtherRelease(UnreadableHere):
    """Another release wrote the data or schema."""

    code = "other_release"
    client_message = "This server is being upgraded. Nothing is lost; try again later."

    def __init__(self, problem: str) -> None:
        self.problem = problem
        super().__init__(
            f"{problem} This server refuses such work until it is replaced by the newest release; nothing is lost."
        )


class MissingKey(UnreadableHere):
    """This server lacks the answers' key."""

    code = "missing_key"
    client_message = "Answers can't be decrypted at the moment because the server lacks a key. Nothing is lost."

    def __init__(self, key_id: str) -> None:
        self.key_id = key_id
        super().__init__(f"Answers are encrypted with the key {key_id}, which STEPKEEP_ANSWERS_KEYS lacks.")


class DatabaseUnavailable(Unavailable):
    """The database is unreachable or did not commit."""

    def __init__(self, problem: str) -> None:
        self.problem = problem
        super().__init__(f"The database is unavailable ({problem}). Send the same command again later.")


class DatabaseNotWritable(DatabaseUnavailable):
    """An operator must act before the database accepts writes."""

    client_message = "The database is unavailable. Send the same command again later."

    def __init__(self, problem: str) -> None:
        self.problem = problem
        Unavailable.__init__(self, problem)


class DatabaseFileLost(DatabaseNotWritable):
    """The SQLite file was moved or replaced."""


class Overloaded(Unavailable):
    """The write queue is full."""

    code = "overloaded"

    def __init__(self, waiting: int) -> None:
        self.waiting = waiting
        super().__init__(f"The server is overloaded: {waiting} commands are queued. Try again later.")


class SessionBlocked(Overloaded):
    """A transaction of this program has turns of the session."""

    def __init__(self) -> None:
        super().__init__(1)


class StorageLow(Unavailable):
    """The disk has less than STEPKEEP_LOW_DISK_MIB free."""

    code = "storage_low"
    retry_after_s = 600

    def __init__(self) -> None:
        super().__init__("No new participants are admitted now: the server's disk is almost full. Try again later.")


class ErasureJournalUnavailable(Unavailable):
    """The erasure journal can't be written."""

    code = "erasure_journal_unavailable"
    client_message = "The erasure journal is unavailable; nothing was erased. Try again later."

    def __init__(self, path: str, problem: str) -> None:
        self.path, self.problem = path, problem
        super().__init__(f"The erasure journal {path} can't be used ({problem}); nothing was erased.")

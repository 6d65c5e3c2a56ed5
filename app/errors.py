"""Every error that Stepkeep raises, in one tree.

::

    StepkeepError
    ├── ConfigurationError        a setting that can't be used
    ├── SurveyFileError           a survey file that is wrong
    ├── InvalidInput              what came through a door is not valid
    │   ├── InvalidUserId
    │   ├── InvalidJson
    │   └── MessageIdReused
    ├── NotFound
    │   ├── NoSuchSession
    │   ├── NoSuchSurvey
    │   ├── NoSuchVersion
    │   └── NoSuchWebhook
    ├── Unauthorized              no credentials, or such as don't hold
    ├── Forbidden                 not his to do
    ├── OtherVisit                somebody else is under way in this browser
    ├── RateLimited               too much in too short a time
    ├── SessionUnreadable         a stored session that can't be read
    ├── VersionConflict           decided on an older state than the session's
    ├── DatabaseRefused           the database does not take it, now or later
    └── Unavailable               it may work later
        ├── MissingKey
        ├── DatabaseUnavailable
        ├── Overloaded
        └── ErasureNotListed      the list of erasures can't be used
    SchemaMismatch, StoreInUse and BackupBroken are ConfigurationErrors too; those of the Python client are in
    app/client/errors.py.

Each has a stable ``code``, the HTTP status that REST answers with, ``retryable``, its facts as
attributes and a message made of them. Driver errors become ours in ``app/store`` only. Anybody may
import this module; it imports nothing.
"""

from typing import ClassVar


class StepkeepError(Exception):
    """The root of all errors that Stepkeep raises on purpose."""

    code: str = "internal"
    http_status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False

    @property
    def message(self) -> str:
        """What is wrong and what to do, for a person."""
        return str(self)


class ConfigurationError(StepkeepError):
    """A setting, a file or a schema with which the program can't start."""

    code = "configuration"


class DatabaseUnreachable(ConfigurationError):
    """The database that is named can't be opened, at the start; later that is DatabaseUnavailable."""


class SchemaMismatch(ConfigurationError):
    """The database has another schema than this program needs."""

    code = "schema_mismatch"

    def __init__(self, found: str | None, needed: str, *, is_newer: bool = False) -> None:
        self.found = found
        self.needed = needed
        self.is_newer = is_newer
        what_to_do = (
            "it was made by a newer version of this program: install that version (or, with it, run "
            f"`alembic downgrade {needed}`)"
            if is_newer
            else "run `alembic upgrade head` with the same DATABASE_URL"
        )
        super().__init__(f"the database's schema is {found or 'not there'}, this program needs {needed}: {what_to_do}")


class StoreInUse(ConfigurationError):
    """Another server process serves the same SQLite file."""

    code = "store_in_use"

    def __init__(self, path: str) -> None:
        self.path = path
        super().__init__(
            f"{path} is already served by another process: one server process owns a SQLite file; "
            "stop the other one, or use PostgreSQL or MariaDB for several"
        )


class SurveyFileError(ConfigurationError):
    """A survey file is wrong; names the file, the place in it and what is wrong."""

    code = "survey_file"

    def __init__(self, file: str, place: str, problem: str) -> None:
        self.file = file
        self.place = place
        self.problem = problem
        super().__init__(f"{file}: {place}: {problem}" if place else f"{file}: {problem}")


class InvalidInput(StepkeepError, ValueError):
    """What was given is not valid; nothing was saved."""

    code = "invalid_input"
    http_status = 422


class InvalidUserId(InvalidInput):
    """A user id outside the protocol's rule."""

    code = "invalid_user_id"

    def __init__(self) -> None:
        super().__init__("user_id must be 1 to 128 of the characters A-Z a-z 0-9 . _ @ : -")


class InvalidJson(InvalidInput):
    """JSON that not every database can hold, or that is none; ``place`` says where."""

    code = "invalid_json"
    http_status = 400

    def __init__(self, place: str, problem: str) -> None:
        self.place = place
        self.problem = problem
        super().__init__(f"{place}: {problem}")


class BackupBroken(ConfigurationError):
    """A backup that was cut or changed, or that this program can't read; nothing was restored."""

    code = "backup_broken"

    def __init__(self, problem: str) -> None:
        self.problem = problem
        super().__init__(f"the backup can't be used: {problem}")


class MessageIdReused(InvalidInput):
    """A message id that was used for another command of this session."""

    code = "message_id_reused"
    http_status = 409

    def __init__(self, message_id: str) -> None:
        self.message_id = message_id
        super().__init__(f"the id {message_id!r} was used before for another command: make a new id for each command")


class Unauthorized(StepkeepError):
    """No credentials were shown, or they don't hold; which of both, and why, nobody is told."""

    code = "unauthorized"
    http_status = 401

    def __init__(self) -> None:
        super().__init__("credentials that hold are needed: a participant's token, or an API key")


class Forbidden(StepkeepError):
    """Who asks is known, and it is not his to do."""

    code = "forbidden"
    http_status = 403


class OtherVisit(StepkeepError):
    """A link is of another participant than the one who is under way in this browser."""

    code = "other_visit"
    http_status = 409

    def __init__(self) -> None:
        super().__init__("another visit to this survey is under way in this browser: send replace: true to leave it")


class RateLimited(StepkeepError):
    """Too much was asked in too short a time; nothing was done."""

    code = "rate_limited"
    http_status = 429
    retryable = True

    def __init__(self, again_in_s: int) -> None:
        self.again_in_s = again_in_s
        super().__init__(f"too many requests: try again in {again_in_s} seconds")


class NotFound(StepkeepError, LookupError):
    """There is no such thing."""

    code = "not_found"
    http_status = 404


class NoSuchSession(NotFound):
    """The participant has no session of this survey."""

    code = "no_such_session"

    def __init__(self, survey_id: str, user_id: str) -> None:
        self.survey_id = survey_id
        self.user_id = user_id
        super().__init__(f"{user_id!r} has no session of the survey {survey_id!r}")


class NoSuchSurvey(NotFound):
    """The server has no survey of this id."""

    code = "no_such_survey"

    def __init__(self, survey_id: str | None, offered: tuple[str, ...]) -> None:
        self.survey_id = survey_id
        self.offered = offered
        asked = "no survey was named" if survey_id is None else f"there is no survey {survey_id!r}"
        super().__init__(f"{asked}; name one with ?survey=: {', '.join(offered) or '(none is loaded)'}")


class NoSuchVersion(NotFound):
    """A version that the session never had."""

    code = "no_such_version"

    def __init__(self, version: int, newest: int) -> None:
        self.version = version
        self.newest = newest
        super().__init__(f"the session has the versions 1 to {newest}, not {version}")


class NoSuchWebhook(NotFound):
    """There is no webhook of this id."""

    code = "no_such_webhook"

    def __init__(self, webhook_id: str) -> None:
        self.webhook_id = webhook_id
        super().__init__(f"there is no webhook {webhook_id[:40]!r}: the list of webhooks has their ids")


class SessionUnreadable(StepkeepError):
    """A stored session that can't be read: corrupt JSON, or its survey is gone."""

    code = "session_unreadable"

    def __init__(self, survey_id: str, user_id: str, problem: str) -> None:
        self.survey_id = survey_id
        self.user_id = user_id
        self.problem = problem
        super().__init__(f"the session of {user_id!r} in {survey_id!r} can't be read: {problem}")


class VersionConflict(StepkeepError):
    """The session has changed since the version on which the change was made."""

    code = "version_conflict"
    http_status = 412

    def __init__(self, expected: int, found: int) -> None:
        self.expected = expected
        self.found = found
        super().__init__(f"the session is at version {found}, not {expected}: load it again and repeat the change")


class DatabaseRefused(StepkeepError):
    """The database refuses what was to be written; it would refuse it again."""

    code = "refused_by_database"

    def __init__(self, problem: str) -> None:
        self.problem = problem
        super().__init__(f"the database does not take this ({problem}); nothing was saved, and the log has its code")


class Unavailable(StepkeepError):
    """It did not work now and may work later; nothing was acknowledged."""

    code = "unavailable"
    http_status = 503
    retryable = True


class MissingKey(Unavailable):
    """Stored answers are sealed with a key that this server was not given; nothing is lost, nothing is set aside."""

    code = "answers_locked"

    def __init__(self, key_id: str) -> None:
        self.key_id = key_id
        super().__init__(f"stored answers are sealed with the key {key_id}, which STEPKEEP_ANSWERS_KEYS does not have")

    @property
    def message(self) -> str:
        """What is wrong, for whoever asks; which key it is, the log says."""
        return "these answers can't be read just now: the server lacks a key; nothing is lost"


class DatabaseUnavailable(Unavailable):
    """The database can't be reached or could not commit."""

    def __init__(self, problem: str) -> None:
        self.problem = problem
        super().__init__(f"the database is not available ({problem}); send the same command again later")


class Overloaded(Unavailable):
    """More is waiting to be saved than the server takes on."""

    code = "overloaded"

    def __init__(self, waiting: int) -> None:
        self.waiting = waiting
        super().__init__(f"{waiting} commands are waiting to be saved; try again later")


class ErasureNotListed(Unavailable):
    """An erasure could not be put on the list that outlives a restored backup; it was not done."""

    code = "erasure_not_listed"

    def __init__(self, path: str, problem: str) -> None:
        self.path = path
        self.problem = problem
        super().__init__(f"the list of erasures {path} can't be used ({problem}); nothing was erased")

    @property
    def message(self) -> str:
        """What is wrong, for whoever asks; where the list is, the log says."""
        return "the list of erasures can't be used just now; nothing was erased, ask again later"

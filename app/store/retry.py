"""Which database errors are transient, and retries of transactions (docs/databases.md#retries)."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_exponential

from ..core.jitter import JITTER
from ..errors import DatabaseNotWritable, DatabaseRefused, DatabaseUnavailable
from ..observability import metrics, tracing
from ..settings import Settings

P = ParamSpec("P")
T = TypeVar("T")

POSTGRESQL_RETRY = frozenset({"40001", "40P01", "55P03"})  # serialization, deadlock, lock
# Shutdown and starting up, unknown outcome, read only, too many connections.
POSTGRESQL_NEW_CONNECTION = frozenset({"57P01", "57P02", "57P03", "40003", "25006", "53300"})
MYSQL_RETRY = frozenset({1213, 1205, 1020})  # deadlock, lock wait, record changed
# Connection lost, node not ready, shutdown, too many connections, read only.
MYSQL_NEW_CONNECTION = frozenset({2006, 2013, 2002, 2003, 1927, 4031, 1047, 1053, 1040, 1290, 1792, 1836})
SQLITE_BUSY = ("database is locked", "database table is locked")
# A connection whose server takes longer is closed. Longer than any lock wait, and than the writer's statements.
RESPONSE_TIMEOUT_S = 12
NO_ANSWER = "no answer within"  # start of the message of ``postgresql_connection.Connection`` then

_FULL = (
    "The database accepts no writes: its disk is full. Free some space there; deleting sessions does not, because it "
    "has to write."
)
_READ_ONLY = "The database accepts no writes: it is read-only (a standby, or the file's permissions)."
_NOT_WRITABLE: dict[str | int | None, str] = {
    **dict.fromkeys(("53100", 1021, 1114, "database or disk is full"), _FULL),
    **dict.fromkeys(("25006", 1290, 1792, 1836, "attempt to write a readonly database"), _READ_ONLY),
}

POSTGRESQL_DATA_CLASSES = ("22", "23", "54")
MYSQL_DATA = frozenset({1153, 1292, 1366, 1406, 4025})
_COULD_NOT_CONNECT = frozenset({"OperationalError", "ConnectionTimeout"})  # psycopg's, without a code
_DATA_ERRORS = frozenset({"DataError", "IntegrityError"})  # PEP 249's classes; MySQL's numbers above come in others too

# Another server just began the session or applied the message; the retry reads the row. Any other duplicate makes the
# writer bisect.
DUPLICATE_KEY_CODES = frozenset({"23505", 1062})
SQLITE_DUPLICATE_KEY = "UNIQUE constraint failed"


def is_transient(error: BaseException) -> bool:
    if not isinstance(error, DBAPIError):
        return False
    code = _code(error)
    is_lock = code in POSTGRESQL_RETRY or code in MYSQL_RETRY or str(code).startswith(SQLITE_BUSY)
    return is_lock or wants_new_connection(error) or is_duplicate_key(error)


def wants_new_connection(error: DBAPIError) -> bool:
    """Return whether the connection is lost, or accepts no writes."""
    if error.connection_invalidated:
        return True
    code = _code(error)
    if isinstance(code, str):
        return code in POSTGRESQL_NEW_CONNECTION or code.startswith("08")  # the class of connection errors
    return code in MYSQL_NEW_CONNECTION or (code is None and type(error.orig).__name__ in _COULD_NOT_CONNECT)


def with_retries(settings: Settings, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Retry transient errors, ``retry_attempts`` in all; raise the last. Message ids make unknown outcomes harmless."""
    try:
        return work(*args, **kwargs)
    except DBAPIError as error:
        # Tenacity costs 20 us, so only after a failure.
        if settings.retry_attempts == 1 or not is_transient(error):
            raise
        failures = [error]

    def attempt() -> T:
        if failures:  # so that the policy waits before the second attempt
            raise failures.pop()
        return work(*args, **kwargs)

    delay_s = wait_exponential(multiplier=settings.retry_delay_s, max=settings.retry_delay_max_s)
    policy = Retrying(
        retry=retry_if_exception(is_transient),
        stop=stop_after_attempt(settings.retry_attempts),
        wait=lambda state: JITTER.uniform(0, delay_s(state)),
        before_sleep=_count_retry,
        reraise=True,
    )
    return policy(attempt)


class LockTimedOut(SQLAlchemyError):
    """A transaction timed out waiting; it is not to be retried at once."""


def is_lock_timeout(error: DBAPIError) -> bool:
    """Return whether a wait timed out."""
    code = _code(error)
    if code in {"55P03", 1205} or str(code).startswith(SQLITE_BUSY):
        return True
    return NO_ANSWER in str(error.orig) or isinstance(getattr(error.orig, "__cause__", None), TimeoutError)


def is_duplicate_key(error: BaseException) -> bool:
    if not isinstance(error, DBAPIError):
        return False
    code = _code(error)
    return code in DUPLICATE_KEY_CODES or str(code).startswith(SQLITE_DUPLICATE_KEY)


def is_data_error(error: BaseException) -> bool:
    """Return whether the values are rejected."""
    if not isinstance(error, DBAPIError):
        return False
    kinds = {kind.__name__ for kind in type(error.orig).__mro__}
    if not kinds.isdisjoint(_DATA_ERRORS):
        return True
    code = _code(error)
    return code in MYSQL_DATA or (isinstance(code, str) and code.startswith(POSTGRESQL_DATA_CLASSES))


def translate_error(error: SQLAlchemyError) -> DatabaseUnavailable | DatabaseRefused:
    """Return our error without the database's text, which can contain answers."""
    problem = _NOT_WRITABLE.get(_code(error)) if isinstance(error, DBAPIError) else None
    failure: DatabaseUnavailable | DatabaseRefused
    if problem is not None:  # unavailable, so clients keep their answers
        failure = DatabaseNotWritable(problem)
    else:
        kind = DatabaseRefused if is_data_error(error) and not is_duplicate_key(error) else DatabaseUnavailable
        failure = kind(type(getattr(error, "orig", None) or error).__name__)
    failure.__cause__ = error
    return failure


def error_summary(error: SQLAlchemyError) -> str:
    """Return the error's type and code."""
    code = _code(error) if isinstance(error, DBAPIError) else None
    name = type(getattr(error, "orig", None) or error).__name__
    # SQLite's text names tables and columns, never values.
    return name if code is None else f"{name} ({code})"


def _count_retry(state: RetryCallState) -> None:
    error = None if state.outcome is None else state.outcome.exception()
    if isinstance(error, DBAPIError):
        reason = "connection" if wants_new_connection(error) else "duplicate_key" if is_duplicate_key(error) else "lock"
        metrics.RETRIES.labels(reason).inc()
        tracing.add_event("database retry", reason=reason, attempt=state.attempt_number + 1)


def _code(error: DBAPIError) -> str | int | None:
    """Return MySQL's number, PostgreSQL's SQLSTATE or SQLite's text."""
    original = error.orig
    arguments = getattr(original, "args", ())
    if arguments and isinstance(arguments[0], int):  # MySQL first: its errors have an sqlstate too
        return arguments[0]
    if hasattr(original, "sqlstate"):
        return cast("str | None", getattr(original, "sqlstate", None))
    return str(original)

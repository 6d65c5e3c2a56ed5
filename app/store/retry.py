"""Which failures of a database may pass, and how often a transaction is tried.

The codes are GOTCHAS' table ("Which failures are retried"). What is not in it is never retried: a
constraint, bad data, bad SQL and a full disk fail the same way each time. A commit whose outcome is
unknown may be retried because message ids are unique: what was committed is found, not done again.
"""

from sqlalchemy.exc import DBAPIError
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from app.settings import Settings

POSTGRESQL_RETRIED = frozenset({"40001", "40P01", "55P03", "57P01", "57P02", "57P03", "40003", "25006", "53300"})
POSTGRESQL_RETRIED_CLASS = "08"
# A key that is there already: another server began the session or applied the message a moment ago. The
# transaction is tried again because it reads afresh, finds the row, and answers as for any duplicate; a
# key that is double for another reason costs two more attempts and is told then.
DOUBLE_KEY = ("23505", 1062, "UNIQUE constraint failed")
MYSQL_RETRIED = frozenset({1213, 1205, 1020, 2006, 2013, 2002, 2003, 1927, 4031, 1047})
SQLITE_RETRIED = ("database is locked", "database table is locked")


def may_pass(error: BaseException) -> bool:
    """Return whether the same transaction may succeed if it is tried again."""
    if not isinstance(error, DBAPIError):
        return False
    if error.connection_invalidated:
        return True
    original = error.orig
    arguments = getattr(original, "args", ())
    if arguments and isinstance(arguments[0], int):  # MySQL; asked first: its errors have an sqlstate too
        return arguments[0] == DOUBLE_KEY[1] or arguments[0] in MYSQL_RETRIED
    state = getattr(original, "sqlstate", None)
    if isinstance(state, str):
        return state == DOUBLE_KEY[0] or state in POSTGRESQL_RETRIED or state.startswith(POSTGRESQL_RETRIED_CLASS)
    return str(original).startswith((*SQLITE_RETRIED, str(DOUBLE_KEY[2])))


def retrying(settings: Settings) -> Retrying:
    """Return the policy for a whole transaction; the last failure is raised as it is."""
    return Retrying(
        retry=retry_if_exception(may_pass),
        stop=stop_after_attempt(settings.retry_attempts),
        wait=wait_random_exponential(multiplier=settings.retry_delay_s, max=settings.retry_delay_max_s),
        reraise=True,
    )

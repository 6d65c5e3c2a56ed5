"""``flask sessions``: the group of the commands that look at, mend and end participants' sessions.

Others add to it what is theirs: ``privacy.py`` and those of the operations.
"""

from flask.cli import AppGroup

from ..errors import NotFound
from ..survey import SessionKey
from .output import store

SURVEYS = 1000
"""Sessions of one participant that are looked at, at most."""

sessions = AppGroup("sessions", help="Participants' sessions.")


def keys_of(user_id: str, survey: str | None) -> list[SessionKey]:
    """Return the keys of the participant's sessions, or of the one that is named, which need not be there.

    Raises:
        NotFound: he has none.
        InvalidInput: no user id, or no survey id.
    """
    key = store().queries.key(user_id, survey)
    if survey is not None:
        return [key]
    found = store().queries.keys_of_user(key.user_id, SURVEYS)
    if not found:
        raise NotFound(f"{user_id!r} has no session; `flask sessions list --user` finds ids by their beginning")
    return found

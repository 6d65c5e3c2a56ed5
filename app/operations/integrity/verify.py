"""Verification that replaying each session's history gives its row (docs/architecture.md, "One idea").

Beside a running server: a session that differs at first sight is looked at again, until its row stood still while its
history was read. Names of fields are told, never what is in them.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from functools import partial
from typing import Literal

from sqlalchemy import Connection

from ...errors import MissingKey
from ...sessions import SessionStore
from ...store import SET_ASIDE, ReplayedHistory, SessionAndReplay, integrity, rows, sessions
from ...survey import SessionKey, SessionState

SESSIONS_A_PAGE = 500

LOOKS = 5
"""How often a session that changes meanwhile is looked at, before it counts as differing."""

Verdict = Literal["same", "differs", "adopted", "set_aside", "locked"]

Progress = Callable[[int, int], None]
"""Told how many sessions were looked at, and of how many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What came of one session.

    Attributes:
        verdict: ``same``: its row is the fold of its history; ``adopted``: it began in a program without versions, and
            since then it is; ``set_aside`` and ``locked`` (a key is missing) were not looked at.
        differing: the fields that differ, by name; ``history`` where versions are missing in it, ``row`` where the row
            is not there or can't be read.
        problem: what is wrong, where it is more than that values differ.
    """

    key: SessionKey
    verdict: Verdict
    differing: tuple[str, ...] = ()
    problem: str | None = None


def verify_sessions(
    store: SessionStore, survey_id: str | None = None, *, progress: Progress = lambda _done, _total: None
) -> Iterator[Checked]:
    """Yield what came of every session, in the order of their keys; it only reads, and memory stays flat.

    Args:
        survey_id: only sessions of this survey; None: all.

    Raises:
        Unavailable: the database is away.
    """
    total = store.run_read(sessions.count_sessions) if survey_id is None else 0
    after: SessionKey | None = None
    done = 0
    while True:
        page = store.run_read(
            partial(integrity.read_page, survey_id=survey_id, after=after, limit=SESSIONS_A_PAGE, cipher=store.cipher)
        )
        for pair in page.sessions:
            checked = check(pair)
            if checked is not None and checked.verdict == "differs":
                checked = _looked_again(store, pair.key)
            if checked is not None:
                yield checked
        done += len(page.sessions)
        progress(done, max(done, total))
        after = page.following
        if after is None:
            return


def check(pair: SessionAndReplay) -> Checked | None:
    """Return what a session and the fold of its history show; None where there is neither."""
    key, stored, folded = pair.key, pair.stored, pair.replay
    if SET_ASIDE in key.user_id:
        return Checked(key=key, verdict="set_aside")
    if isinstance(stored, MissingKey) or folded.missing_key is not None:
        return Checked(key=key, verdict="locked")
    if stored is None:
        problem = "there is history without a session"
        return Checked(key=key, verdict="differs", differing=("row",), problem=problem) if folded.last_version else None
    if pair.version == 0 and (folded.last_version == 0 or not holds_state(folded)):
        return Checked(key=key, verdict="adopted")
    if not isinstance(stored, SessionState):
        return Checked(key=key, verdict="differs", differing=("row",), problem=stored.problem)
    if folded.state is None:
        problem = folded.problem or "it has no history"
        return Checked(key=key, verdict="differs", differing=("history",), problem=problem)
    return _compared(key, stored, folded)


def fields_that_differ(row: SessionState, folded: SessionState) -> tuple[str, ...]:
    """Return the names of the fields that differ, numbers and the order of answers compared exactly."""
    names = (field.name for field in fields(SessionState))
    return tuple(name for name in names if rows.dumps(getattr(row, name)) != rows.dumps(getattr(folded, name)))


def holds_state(folded: ReplayedHistory) -> bool:
    """Return whether any event gave the session a state: entries of an older program alone don't."""
    return folded.state is not None and folded.state.current_step != ""


def _compared(key: SessionKey, row: SessionState, folded: ReplayedHistory) -> Checked:
    assert folded.state is not None  # noqa: S101 - as its only caller made sure
    differing = fields_that_differ(row, folded.state)
    if folded.first_missing is not None:
        problem = f"version {folded.first_missing} is missing in its history"
        return Checked(key=key, verdict="differs", differing=(*differing, "history"), problem=problem)
    if not differing:
        return Checked(key=key, verdict="same")
    # When an adopted session began is in no event.
    if differing == ("started_at",) and not folded.has_start and row.started_at <= folded.state.started_at:
        return Checked(key=key, verdict="adopted")
    return Checked(key=key, verdict="differs", differing=differing)


def _looked_again(store: SessionStore, key: SessionKey) -> Checked | None:
    """Look at one session until its row is the same before and after its history was read; None: it was erased."""

    def look(connection: Connection) -> SessionAndReplay:
        return integrity.read_session(connection, key, store.cipher, locked=False)

    pair = store.run_read(look)
    for _ in range(LOOKS):
        checked, following = check(pair), store.run_read(look)
        if checked is None or checked.verdict != "differs" or following.version == pair.version:
            return checked
        pair = following
    return check(pair)

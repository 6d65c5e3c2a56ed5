"""What a process knows of the sessions that it shows: the newest stored state, also of those who have just left."""

from dataclasses import dataclass, field, replace

import pytest

from app.sessions import subscribers
from app.sessions.subscribers import Listeners
from app.survey.events import ModeSet, Started
from app.survey.snapshot import SessionKey, Snapshot
from app.survey.state import fold

KEY = SessionKey("phq9", "user123")


def at_version(version: int, key: SessionKey = KEY) -> Snapshot:
    begun = Started(at=1, step="Q1", survey_revision="r", is_audio_mode=False)
    state = fold([begun, *(ModeSet(at=2, is_audio_mode=True) for _ in range(version - 1))])
    assert state is not None
    return Snapshot(key=key, state=state, survey=None)


@dataclass(eq=False)
class Device:
    """A connection that shows the session."""

    stored: Snapshot | None
    told: list[Snapshot] = field(default_factory=list)

    def announce(self, snapshot: Snapshot) -> None:
        self.told.append(snapshot)

    def erased(self) -> None:
        self.stored = None


def test_newest_stored_state_is_known_whoever_was_told_of_it() -> None:
    """Two devices: what one was acknowledged is what both go on from while the database is away."""
    known = Listeners()
    phone, laptop = Device(at_version(2)), Device(at_version(1))
    assert known.add(KEY, phone)
    assert not known.add(KEY, laptop)
    assert known.stored(KEY) == at_version(2)
    assert known.newest_version(KEY) == 2


def test_state_of_who_left_is_remembered_and_never_replaced_by_an_older_one() -> None:
    """The device that was behind leaves last; who comes back sees what the other one was acknowledged."""
    known = Listeners()
    phone, laptop = Device(at_version(3)), Device(at_version(1))
    known.add(KEY, phone)
    known.add(KEY, laptop)
    assert not known.remove(KEY, phone)
    assert known.remove(KEY, laptop)
    assert known.stored(KEY) == at_version(3)
    assert KEY not in known


def test_nothing_is_known_of_a_session_that_was_erased() -> None:
    """Neither by who shows it, nor of who left: another session may begin under its key, at version 1."""
    known = Listeners()
    phone, laptop = Device(at_version(3)), Device(at_version(5))
    known.add(KEY, phone)
    known.add(KEY, laptop)
    known.remove(KEY, laptop)
    known.erase(KEY)
    assert known.stored(KEY) is None
    known.remove(KEY, phone)
    assert known.stored(KEY) is None


def test_long_session_is_not_remembered() -> None:
    """Ten thousand whole states of a megabyte would be the machine's memory."""
    known = Listeners()
    snapshot = at_version(2)
    device = Device(replace(snapshot, state=replace(snapshot.state, session_data={"text": "x" * 10_000})))
    known.add(KEY, device)
    known.remove(KEY, device)
    assert known.stored(KEY) is None


def test_no_more_sessions_are_remembered_than_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that was left longest ago goes first."""
    monkeypatch.setattr(subscribers, "REMEMBERED", 3)
    known = Listeners()
    keys = [SessionKey("phq9", f"u{number}") for number in range(5)]
    for key in keys:
        device = Device(at_version(1, key))
        known.add(key, device)
        known.remove(key, device)
    assert [known.stored(key) is not None for key in keys] == [False, False, True, True, True]


def test_all_but_the_sender_are_told() -> None:
    """Of the session, and of no other one."""
    known = Listeners()
    sender, other, stranger = Device(None), Device(None), Device(None)
    known.add(KEY, sender)
    known.add(KEY, other)
    known.add(SessionKey("phq9", "somebody"), stranger)
    known.tell(at_version(4), sender)
    assert (sender.told, other.told, stranger.told) == ([], [at_version(4)], [])

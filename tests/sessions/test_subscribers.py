"""The connections that show a session, and the newest committed state that this process knows of it."""

from dataclasses import dataclass, field, replace

import pytest

from app.sessions import subscribers as subscribers_module
from app.sessions.subscribers import Subscribers
from app.survey.events import ModeSet, Started
from app.survey.snapshot import SessionKey, Snapshot
from app.survey.state import fold

KEY = SessionKey("phq9", "user123")


def at_version(version: int, key: SessionKey = KEY) -> Snapshot:
    started = Started(at=1, step="Q1", survey_revision="r", is_audio_mode=False)
    state = fold([started, *(ModeSet(at=2, is_audio_mode=True) for _ in range(version - 1))])
    assert state is not None
    return Snapshot(key=key, state=state, survey=None)


@dataclass(eq=False)
class Device:
    """A connection that shows the session."""

    stored: Snapshot | None
    published: list[Snapshot] = field(default_factory=list)

    def publish(self, snapshot: Snapshot) -> None:
        self.published.append(snapshot)

    def drop(self) -> None:
        self.stored = None


class Notifier:
    """Records the calls of subscribe, unsubscribe and publish."""

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []

    def subscribe(self, key: SessionKey, version: int) -> None:
        self.calls.append(("subscribe", key, version))

    def unsubscribe(self, key: SessionKey) -> None:
        self.calls.append(("unsubscribe", key))

    def publish(self, key: SessionKey, version: int) -> None:
        self.calls.append(("publish", key, version))


@pytest.fixture
def notifier() -> Notifier:
    return Notifier()


@pytest.fixture
def subscribers(notifier: Notifier) -> Subscribers:
    return Subscribers(notifier)  # type: ignore[arg-type]  # the three methods that it calls


def test_latest_is_the_newest_state_of_any_connection(subscribers: Subscribers, notifier: Notifier) -> None:
    phone, laptop = Device(at_version(2)), Device(at_version(1))
    subscribers.subscribe(KEY, phone)
    subscribers.subscribe(KEY, laptop)
    assert subscribers.latest(KEY) == at_version(2)
    assert subscribers.newest_version(KEY) == 2
    assert notifier.calls == [("subscribe", KEY, 2)]


def test_latest_stays_the_newest_state_after_connections_close(subscribers: Subscribers, notifier: Notifier) -> None:
    """The device that was behind closes last; the next one still sees what the other was acknowledged."""
    phone, laptop = Device(at_version(3)), Device(at_version(1))
    subscribers.subscribe(KEY, phone)
    subscribers.subscribe(KEY, laptop)
    subscribers.unsubscribe(KEY, phone)
    assert KEY in subscribers._by_key
    subscribers.unsubscribe(KEY, laptop)
    assert subscribers.latest(KEY) == at_version(3)
    assert KEY not in subscribers._by_key
    assert notifier.calls[-1] == ("unsubscribe", KEY)


def test_latest_is_what_was_committed_after_the_last_connection_closed(subscribers: Subscribers) -> None:
    """A pending turn, whose sender has left; otherwise the next outage would show an older state than before."""
    device = Device(at_version(1))
    subscribers.subscribe(KEY, device)
    subscribers.unsubscribe(KEY, device)
    subscribers.publish(at_version(3), device)
    assert subscribers.latest(KEY) == at_version(3)
    subscribers.publish(at_version(2), device)
    assert subscribers.latest(KEY) == at_version(3)
    subscribers.drop([KEY])
    subscribers.publish(at_version(4), device)
    assert subscribers.latest(KEY) is None


def test_unsubscribe_twice_changes_nothing(subscribers: Subscribers, notifier: Notifier) -> None:
    device = Device(at_version(1))
    subscribers.subscribe(KEY, device)
    subscribers.unsubscribe(KEY, device)
    subscribers.unsubscribe(KEY, device)
    assert notifier.calls.count(("unsubscribe", KEY)) == 1


def test_nothing_is_known_of_an_erased_session(subscribers: Subscribers) -> None:
    """Another session may begin under its key, at version 1."""
    phone, laptop = Device(at_version(3)), Device(at_version(5))
    subscribers.subscribe(KEY, phone)
    subscribers.subscribe(KEY, laptop)
    subscribers.unsubscribe(KEY, laptop)
    subscribers.drop([KEY])
    assert subscribers.latest(KEY) is None
    subscribers.unsubscribe(KEY, phone)
    assert subscribers.latest(KEY) is None


def test_latest_is_the_session_that_began_after_an_erasure_in_another_process(subscribers: Subscribers) -> None:
    """Its version is lower."""
    erased, begun = at_version(5), at_version(1)
    begun = replace(begun, state=replace(begun.state, started_at=erased.state.started_at + 1))
    for snapshot in (erased, begun):
        device = Device(snapshot)
        subscribers.subscribe(KEY, device)
        subscribers.unsubscribe(KEY, device)
    assert subscribers.latest(KEY) == begun


def test_large_session_is_not_remembered(subscribers: Subscribers) -> None:
    """Ten thousand sessions of a megabyte would fill the machine's memory."""
    snapshot = at_version(2)
    device = Device(replace(snapshot, state=replace(snapshot.state, session_data={"text": "x" * 10_000})))
    subscribers.subscribe(KEY, device)
    subscribers.unsubscribe(KEY, device)
    assert subscribers.latest(KEY) is None


def test_oldest_remembered_session_is_evicted(subscribers: Subscribers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscribers_module, "RECENT_LIMIT", 3)
    keys = [SessionKey("phq9", f"u{number}") for number in range(5)]
    for key in keys:
        device = Device(at_version(1, key))
        subscribers.subscribe(key, device)
        subscribers.unsubscribe(key, device)
    assert [subscribers.latest(key) is not None for key in keys] == [False, False, True, True, True]


def test_publish_reaches_other_processes_and_all_connections_but_the_sender(
    subscribers: Subscribers, notifier: Notifier
) -> None:
    sender, other, stranger = Device(None), Device(None), Device(None)
    subscribers.subscribe(KEY, sender)
    subscribers.subscribe(KEY, other)
    subscribers.subscribe(SessionKey("phq9", "someone-else"), stranger)
    subscribers.publish(at_version(4), sender)
    assert (sender.published, other.published, stranger.published) == ([], [at_version(4)], [])
    assert notifier.calls[-1] == ("publish", KEY, 4)

"""Lists: for any filters and page size, the pages have each matching session once, in order."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import event

from app.errors import InvalidInput
from app.operations.export.layout import duration_s
from app.sessions.service import SessionStore
from app.settings import Settings
from app.store import sessions
from app.store.sessions import Cursor
from app.survey.commands import Answer, AnyCommand, Begin, Restart
from app.survey.snapshot import SessionKey, Snapshot
from app.testing import walk
from tests.conftest import NewStore, examples

COUNT = 40


@pytest.fixture
def filled(settings: Settings, new_store: NewStore) -> SessionStore:
    """A store with forty sessions of two surveys, at several steps, some completed, some at the same moment."""
    store = new_store(settings)
    turns: list[tuple[SessionKey, AnyCommand]] = []
    for number in range(COUNT):
        key = SessionKey(("phq9", "intake")[number % 3 == 0], f"user{number * 7 % COUNT}")
        at = 1_000_000 * (number // 4)
        turns.append((key, Begin(at=at)))
        if key.survey_id == "phq9":
            turns += [(key, answer(step, at)) for step in range(1, 1 + number % 11)]
    store.turns.submit_many(turns)
    return store


def all_pages(store: SessionStore, limit: int, **options: Any) -> list[Snapshot]:
    listed: list[Snapshot] = []
    after: Cursor | None = None
    while True:
        page, after = store.queries.list(after=after, limit=limit, **options)
        assert len(page) <= limit
        listed += page
        if after is None:
            return listed


FILTERS = st.fixed_dictionaries(
    {},
    optional={
        "status": st.sampled_from(["in_progress", "completed", "expired"]),
        "survey_id": st.sampled_from(["phq9", "intake", "none"]),
        "current_step": st.sampled_from(["Q1", "Q5", "end"]),
        "user_id_prefix": st.sampled_from(["u", "user1", "user2", "user39", "User1", "user1z", "w"]),
    },
)


@pytest.fixture
def everything(filled: SessionStore) -> list[Snapshot]:
    return all_pages(filled, 1000)


@examples(40)
@given(
    filters=FILTERS,
    limit=st.integers(1, 12),
    scan_limit=st.integers(1, 30),
    since=st.none() | st.integers(0, 11).map(lambda second: second * 1_000_000),
)
def test_pages_have_each_matching_session_once_in_order(
    filled: SessionStore,
    everything: list[Snapshot],
    filters: dict[str, str],
    limit: int,
    scan_limit: int,
    since: int | None,
) -> None:
    """Compared with a filter over all sessions."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sessions, "SCAN_LIMIT", max(limit, scan_limit))
        listed = all_pages(filled, limit, filters=filters, updated_since=since)
    assert len(everything) == COUNT
    matching = [
        snapshot
        for snapshot in everything
        if (since is None or snapshot.state.updated_at >= since)
        and snapshot.key.user_id.startswith(filters.get("user_id_prefix", ""))
        and all(
            str(snapshot.to_dict(filled.clock())[name]) == value
            for name, value in filters.items()
            if name != "user_id_prefix"
        )
    ]
    assert sorted(snapshot.key for snapshot in listed) == sorted(snapshot.key for snapshot in matching)
    if since is None:
        assert [snapshot.key.user_id for snapshot in listed] == sorted(snapshot.key.user_id for snapshot in listed)
    else:
        assert [snapshot.state.updated_at for snapshot in listed] == sorted(
            snapshot.state.updated_at for snapshot in listed
        )


@examples(12)
@given(
    filters=FILTERS,
    limit=st.integers(1, 12),
    scan_limit=st.integers(1, 30),
    since=st.none() | st.integers(0, 11).map(lambda second: second * 1_000_000),
)
def test_newest_first_is_the_order_of_changes_reversed(
    filled: SessionStore, filters: dict[str, str], limit: int, scan_limit: int, since: int | None
) -> None:
    """With any filters and page size."""
    oldest_first = all_pages(filled, 1000, filters=filters, updated_since=since or 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sessions, "SCAN_LIMIT", max(limit, scan_limit))
        listed = all_pages(filled, limit, filters=filters, updated_since=since, newest_first=True)
    assert [snapshot.key for snapshot in listed] == [snapshot.key for snapshot in reversed(oldest_first)]


def test_cursor_is_refused_by_a_list_in_another_order(filled: SessionStore) -> None:
    """An error, not a page with missing sessions."""
    _, by_key = filled.queries.list(limit=3)
    with pytest.raises(InvalidInput, match="another list"):
        filled.queries.list(after=by_key, updated_since=0)
    with pytest.raises(InvalidInput, match="another list"):
        filled.queries.list(after=by_key, newest_first=True)


def test_session_is_listed_again_when_it_changes_between_two_pages(filled: SessionStore) -> None:
    """In the order of changes, a changed session moves to the end, so that none is missed."""
    first, cursor = filled.queries.list(limit=5, updated_since=0)
    filled.turns.submit(first[0].key, Restart(at=filled.clock()))
    rest, _ = filled.queries.list(after=cursor, limit=1000, updated_since=0)
    assert {snapshot.key for snapshot in [*first, *rest]} == {snapshot.key for snapshot in all_pages(filled, 1000)}
    assert rest[-1].key == first[0].key


@pytest.mark.parametrize("since", [None, 0], ids=["by key", "by change"])
def test_no_session_is_missing_when_others_are_erased_while_a_page_is_read(
    filled: SessionStore, monkeypatch: pytest.MonkeyPatch, since: int | None
) -> None:
    """Five sessions are erased between its two statements; every remaining one is on some page."""
    monkeypatch.setattr(sessions, "SCAN_LIMIT", 7)
    keys = [snapshot.key for snapshot in all_pages(filled, 1000)]
    erased: list[SessionKey] = []

    def erase_some(*_: object) -> None:
        if not erased:
            erased.extend(keys[1:6])
            for key in erased:
                filled.erasure.delete(key)

    event.listen(filled.queries.engine, "after_cursor_execute", erase_some)
    listed = {snapshot.key for snapshot in all_pages(filled, 3, filters={"survey_id": "phq9"}, updated_since=since)}
    event.remove(filled.queries.engine, "after_cursor_execute", erase_some)
    assert listed >= {key for key in keys if key.survey_id == "phq9" and key not in erased}


HOUR_US = 3600 * 1_000_000


def complete(store: SessionStore, user_id: str) -> SessionKey:
    """Begin the session unless it exists, and answer every question of phq9."""
    return walk(store, "phq9", user_id=user_id).key


def answer(step: int, at: int) -> Answer:
    """Return an answer to a question: 1, but 0 to Q9, so that Q10 follows."""
    return Answer(at=at, step=f"Q{step}", value=int(step != 9))


def assert_in_order(store: SessionStore, key: SessionKey) -> None:
    times = [entry.record.at for entry in store.queries.history(key)]
    snapshot = store.queries.load(key)
    assert times == sorted(times)
    assert snapshot is not None
    assert times[-1] == snapshot.state.updated_at == snapshot.state.completed_at
    assert (duration_s(snapshot.state) or 0) >= 0


def test_poller_misses_no_completion_when_the_clock_is_set_back(settings: Settings, new_store: NewStore) -> None:
    """While a server runs, and before a restart; the poller continues from the newest change that it has seen."""
    clock = [1000 * HOUR_US]
    store = new_store(settings, lambda: clock[0])
    store.turns.get_or_create(SessionKey("phq9", "ann"), is_audio_mode=False)
    complete(store, "eve")
    since = max(snapshot.state.updated_at for snapshot in all_pages(store, 100, updated_since=0))
    clock[0] -= HOUR_US
    completed = [complete(store, "ann"), complete(store, "bob")]
    restarted = new_store(settings, lambda: clock[0])
    completed.append(complete(restarted, "cat"))
    listed = all_pages(restarted, 2, filters={"status": "completed"}, updated_since=since)
    assert {snapshot.key for snapshot in listed} >= set(completed)
    for key in completed:
        assert_in_order(restarted, key)


def test_sessions_time_does_not_go_back_when_another_servers_clock_is_behind(
    settings: Settings, new_store: NewStore
) -> None:
    """Each command through the other of two servers; the second one started first, without any event to see."""
    behind = new_store(settings, lambda: 999 * HOUR_US)
    ahead = new_store(settings, lambda: 1000 * HOUR_US)
    key = SessionKey("phq9", "ann")
    ahead.turns.get_or_create(key, is_audio_mode=False)
    for step in range(1, 11):
        store = (behind, ahead)[step % 2]
        store.turns.submit(key, answer(step, store.clock()))
    assert_in_order(behind, key)


def test_prefix_is_compared_exactly(filled: SessionStore) -> None:
    """Case counts, `_` is no wildcard, and an id that equals the prefix matches."""
    for user_id in ("a_1", "a_12", "aB1", "ab1", "a-1", "a_", "a~set-aside-1"):
        filled.turns.submit(SessionKey("phq9", user_id), Begin(at=1))
    user_ids = [snapshot.key.user_id for snapshot in all_pages(filled, 2, filters={"user_id_prefix": "a_1"})]
    assert user_ids == ["a_1", "a_12"]
    assert [snapshot.key.user_id for snapshot in all_pages(filled, 2, filters={"user_id_prefix": "aB"})] == ["aB1"]


def test_prefix_is_found_after_more_sessions_than_the_scan_limit(
    filled: SessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sessions before the prefix are not scanned: the first page has the match."""
    monkeypatch.setattr(sessions, "SCAN_LIMIT", 1)
    page, following = filled.queries.list(limit=3, filters={"user_id_prefix": "user39"})
    assert [snapshot.key.user_id for snapshot in page] == ["user39"]
    assert following is None

"""Lists: whatever the filters and the size of a page, all pages together are what fits, each once and in order."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import event

from app.errors import InvalidInput
from app.sessions.service import SessionStore, open_store
from app.settings import Settings
from app.store import sessions
from app.store.sessions import Cursor
from app.survey.commands import Answer, AnyCommand, Begin, Restart
from app.survey.snapshot import SessionKey, Snapshot
from tests.conftest import examples

COUNT = 40


@pytest.fixture
def filled(settings: Settings) -> Iterator[SessionStore]:
    """A store with forty sessions of two surveys, at several steps, some completed, some at the same moment."""
    store = open_store(settings)
    turns: list[tuple[SessionKey, AnyCommand]] = []
    for number in range(COUNT):
        key = SessionKey(("phq9", "intake")[number % 3 == 0], f"user{number * 7 % COUNT}")
        at = 1_000_000 * (number // 4)
        turns.append((key, Begin(at=at)))
        if key.survey_id == "phq9":
            turns += [(key, Answer(at=at, step=f"Q{step}", value=1)) for step in range(1, 1 + number % 11)]
    store.turns.submit_many(turns)
    yield store
    store.close()


def all_pages(store: SessionStore, limit: int, **wanted: Any) -> list[Snapshot]:
    found: list[Snapshot] = []
    after: Cursor | None = None
    while True:
        page, after = store.queries.list(after=after, limit=limit, **wanted)
        assert len(page) <= limit
        found += page
        if after is None:
            return found


FILTERS = st.fixed_dictionaries(
    {},
    optional={
        "status": st.sampled_from(["in_progress", "completed", "expired"]),
        "survey_id": st.sampled_from(["phq9", "intake", "none"]),
        "current_step": st.sampled_from(["Q1", "Q5", "end"]),
        "user_id_prefix": st.sampled_from(["u", "user1", "user2", "user39", "User1", "user1z", "w"]),
    },
)


@examples(40)
@given(
    filters=FILTERS,
    limit=st.integers(1, 12),
    examined=st.integers(1, 30),
    since=st.none() | st.integers(0, 11).map(lambda second: second * 1_000_000),
)
def test_pages_together_are_what_fits_each_once_and_in_order(
    filled: SessionStore, filters: dict[str, str], limit: int, examined: int, since: int | None
) -> None:
    """Against a list made by looking at every session."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sessions, "SCAN_LIMIT", max(limit, examined))
        found = all_pages(filled, limit, filters=filters, updated_since=since)
    everything = all_pages(filled, 1000)
    assert len(everything) == COUNT
    fits = [
        one
        for one in everything
        if (since is None or one.state.updated_at >= since)
        and one.key.user_id.startswith(filters.get("user_id_prefix", ""))
        and all(
            str(one.to_dict(filled.clock())[name]) == value
            for name, value in filters.items()
            if name != "user_id_prefix"
        )
    ]
    assert sorted(one.key for one in found) == sorted(one.key for one in fits)
    if since is None:
        assert [one.key.user_id for one in found] == sorted(one.key.user_id for one in found)
    else:
        assert [one.state.updated_at for one in found] == sorted(one.state.updated_at for one in found)


def test_cursor_of_a_list_in_another_order_is_refused(filled: SessionStore) -> None:
    """A clear error, not a page that leaves sessions out."""
    _, by_key = filled.queries.list(limit=3)
    with pytest.raises(InvalidInput, match="another list"):
        filled.queries.list(after=by_key, updated_since=0)


def test_session_that_changes_between_two_pages_is_listed_again(filled: SessionStore) -> None:
    """In the order of changes nothing is missed: what changes moves to the end."""
    first, cursor = filled.queries.list(limit=5, updated_since=0)
    filled.turns.submit(first[0].key, Restart(at=filled.clock()))
    rest, _ = filled.queries.list(after=cursor, limit=1000, updated_since=0)
    assert {one.key for one in [*first, *rest]} == {one.key for one in all_pages(filled, 1000)}
    assert rest[-1].key == first[0].key


@pytest.mark.parametrize("since", [None, 0], ids=["by key", "by change"])
def test_sessions_erased_while_a_page_is_read_hide_no_others(
    filled: SessionStore, monkeypatch: pytest.MonkeyPatch, since: int | None
) -> None:
    """Between its two statements others erase five sessions: every one that stays is on some page."""
    monkeypatch.setattr(sessions, "SCAN_LIMIT", 7)
    keys = [one.key for one in all_pages(filled, 1000)]
    erased: list[SessionKey] = []

    def erase_some(*_: object) -> None:
        if not erased:
            erased.extend(keys[1:6])
            for key in erased:
                filled.erasure.delete(key)

    event.listen(filled.queries.engine, "after_cursor_execute", erase_some)
    found = {one.key for one in all_pages(filled, 3, filters={"survey_id": "phq9"}, updated_since=since)}
    event.remove(filled.queries.engine, "after_cursor_execute", erase_some)
    assert found >= {key for key in keys if key.survey_id == "phq9" and key not in erased}


def test_prefix_is_compared_exactly_and_may_be_the_whole_id(filled: SessionStore) -> None:
    """Capital letters and signs count, `_` is no wildcard, and who has the prefix as the whole id is found too."""
    for user_id in ("a_1", "a_12", "aB1", "ab1", "a-1", "a_", "a~set-aside-1"):
        filled.turns.submit(SessionKey("phq9", user_id), Begin(at=1))
    found = [one.key.user_id for one in all_pages(filled, 2, filters={"user_id_prefix": "a_1"})]
    assert found == ["a_1", "a_12"]
    assert [one.key.user_id for one in all_pages(filled, 2, filters={"user_id_prefix": "aB"})] == ["aB1"]


def test_prefix_is_found_behind_more_sessions_than_a_page_looks_at(
    filled: SessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of others before it are not looked at: the first page has it."""
    monkeypatch.setattr(sessions, "SCAN_LIMIT", 1)
    page, following = filled.queries.list(limit=3, filters={"user_id_prefix": "user39"})
    assert [one.key.user_id for one in page] == ["user39"]
    assert following is None

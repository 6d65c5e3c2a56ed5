"""The audit log: entries are added and stay, are read newest first, and name nobody who was erased."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import InvalidInput
from app.sessions.service import SessionStore
from app.store import audit
from app.store.audit import Action, AuditEntry, RecordedEntry
from tests.conftest import examples
from tests.store.contents import clear

USERS = ("ann", "ann_", "annX", "an", "ann%", "ann~set-aside-20260101T000000000000", "ann~set-asides")
ACTIONS: tuple[Action, ...] = ("session_read", "history_read", "participant_exported")


def entry(number: int = 0, **fields: object) -> AuditEntry:
    given_fields: dict[str, object] = {"actor": "operator", "action": "session_read", **fields}
    return AuditEntry(at=1_000_000 + number, **given_fields)  # type: ignore[arg-type]


def record(store: SessionStore, *entries: AuditEntry) -> None:
    store.run_transaction(lambda connection: [audit.record(connection, one) for one in entries])


def all_pages(store: SessionStore, limit: int, filters: dict[str, str]) -> list[RecordedEntry]:
    found: list[RecordedEntry] = []
    after: int | None = None
    while True:
        start = after
        page = store.run_read(lambda connection: audit.read_page(connection, start, limit, filters))  # noqa: B023 - called at once
        assert len(page.entries) <= limit
        found += page.entries
        after = page.following
        if after is None:
            return found


def test_entries_are_read_as_they_were_recorded_newest_first(store: SessionStore) -> None:
    """Whatever is in an entry comes back, with its number."""
    first = entry(1, actor="key:ab12cd34 (é😀)", survey_id="phq9", user_id="ann", detail={"limit": 100, "status": None})
    second = entry(0, action="key_created")
    record(store, first, second)
    found = all_pages(store, 10, {})
    assert [one.entry for one in found] == [second, first]
    assert found[0].id > found[1].id


def test_actor_that_is_too_long_is_cut(store: SessionStore) -> None:
    """A key's name must not keep what it did out of the log."""
    record(store, entry(actor="key:ab12cd34 (" + "é" * 200))
    assert all_pages(store, 10, {})[0].entry.actor == "key:ab12cd34 (" + "é" * 146


def test_unknown_filter_is_refused(store: SessionStore) -> None:
    """Names what there is, and asks the database nothing."""
    with pytest.raises(InvalidInput, match="use actor, action"):
        all_pages(store, 10, {"detail": "x"})


ENTRIES = st.lists(
    st.tuples(st.sampled_from(ACTIONS), st.sampled_from(USERS), st.sampled_from(["phq9", "intake", None])), max_size=30
)
FILTERS = st.fixed_dictionaries(
    {},
    optional={
        "action": st.sampled_from(ACTIONS),
        "survey_id": st.sampled_from(["phq9", "intake"]),
        "user_id": st.sampled_from(USERS),
    },
)


@examples(30)
@given(entries=ENTRIES, filters=FILTERS, limit=st.integers(1, 7), examined=st.integers(1, 9))
def test_pages_together_are_what_fits_each_once(
    store: SessionStore,
    entries: list[tuple[Action, str, str | None]],
    filters: dict[str, str],
    limit: int,
    examined: int,
) -> None:
    """Against all entries, whatever the size of a page and of what is looked at for it."""
    clear(store)
    made = [entry(n, action=a, user_id=u, survey_id=s) for n, (a, u, s) in enumerate(entries)]
    record(store, *made)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(audit, "SCAN_LIMIT", examined)
        found = all_pages(store, limit, filters)
    fits = [one for one in made if all(getattr(one, name) == value for name, value in filters.items())]
    assert [one.entry for one in found] == fits[::-1]


def test_only_the_entries_about_one_participant_are_anonymised(store: SessionStore) -> None:
    """His and those of his set-aside sessions, of the survey and the time; whoever's id looks like his keeps it."""
    record(store, *(entry(n, user_id=user, survey_id="phq9") for n, user in enumerate(USERS)))
    record(
        store,
        entry(user_id="ann", survey_id="intake"),
        entry(user_id="ann"),
        entry(99, user_id="ann", survey_id="phq9"),
    )
    store.run_transaction(lambda connection: audit.anonymise(connection, "ann", "phq9", "erased:1", until=1_000_050))
    found = [one.entry.user_id for one in all_pages(store, 100, {})][::-1]
    assert found == ["erased:1", *USERS[1:5], "erased:1", USERS[6], "ann", "ann", "ann"]


def test_entries_about_a_participant_include_those_without_a_survey(store: SessionStore) -> None:
    """Pages are newest first."""
    surveys = ("phq9", None, "intake", "phq9", "phq9")
    record(
        store, *(entry(n, user_id="ann", survey_id=survey) for n, survey in enumerate(surveys)), entry(user_id="bob")
    )
    found: list[RecordedEntry] = []
    while page := store.run_read(
        lambda connection: audit.read_participant(connection, "ann", "phq9", found[-1].id if found else None, 2)
    ):
        found.extend(page)
    assert [one.entry.at - 1_000_000 for one in found] == [4, 3, 1, 0]

"""The audit log: entries are kept, read newest first, and do not name erased participants."""

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
    values: dict[str, object] = {"actor": "operator", "action": "session_read", **fields}
    return AuditEntry(at=1_000_000 + number, **values)  # type: ignore[arg-type]


def record(store: SessionStore, *entries: AuditEntry) -> None:
    store.run_transaction(lambda connection: [audit.record(connection, entry) for entry in entries])


def all_pages(store: SessionStore, limit: int, filters: dict[str, str]) -> list[RecordedEntry]:
    recorded: list[RecordedEntry] = []
    after: int | None = None
    while True:
        start = after
        page = store.run_read(lambda connection: audit.read_page(connection, start, limit, filters))  # noqa: B023 - called at once
        assert len(page.items) <= limit
        recorded += page.items
        after = page.following
        if after is None:
            return recorded


def test_entries_are_read_unchanged_newest_first(store: SessionStore) -> None:
    """All fields, with the entry's id."""
    first = entry(1, actor="key:ab12cd34 (é😀)", survey_id="phq9", user_id="ann", detail={"limit": 100, "status": None})
    second = entry(0, action="key_created")
    record(store, first, second)
    newest, oldest = all_pages(store, 10, {})
    assert (newest.entry, oldest.entry) == (second, first)
    assert newest.id > oldest.id


def test_actor_is_truncated_when_too_long(store: SessionStore) -> None:
    """A long key name must not prevent an entry."""
    record(store, entry(actor="key:ab12cd34 (" + "é" * 200))
    assert all_pages(store, 10, {})[0].entry.actor == "key:ab12cd34 (" + "é" * 146


def test_unknown_filter_is_refused(store: SessionStore) -> None:
    """The error names the valid filters; no query runs."""
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
@given(entries=ENTRIES, filters=FILTERS, limit=st.integers(1, 7), scan_limit=st.integers(1, 9))
def test_pages_have_each_matching_entry_once(
    store: SessionStore,
    entries: list[tuple[Action, str, str | None]],
    filters: dict[str, str],
    limit: int,
    scan_limit: int,
) -> None:
    """Compared with all entries, for any page size and scan limit."""
    clear(store)
    added = [entry(n, action=a, user_id=u, survey_id=s) for n, (a, u, s) in enumerate(entries)]
    record(store, *added)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(audit, "SCAN_LIMIT", scan_limit)
        pages = all_pages(store, limit, filters)
    matching = [one for one in added if all(getattr(one, name) == value for name, value in filters.items())]
    assert [recorded.entry for recorded in pages] == matching[::-1]


def test_anonymise_changes_only_the_participants_entries(store: SessionStore) -> None:
    """Set-aside sessions included, of the survey and up to the time; similar ids are unchanged."""
    record(store, *(entry(n, user_id=user, survey_id="phq9") for n, user in enumerate(USERS)))
    record(
        store,
        entry(user_id="ann", survey_id="intake"),
        entry(user_id="ann"),
        entry(99, user_id="ann", survey_id="phq9"),
    )
    store.run_transaction(lambda connection: audit.anonymise(connection, "ann", "phq9", "erased:1", until=1_000_050))
    user_ids = [recorded.entry.user_id for recorded in all_pages(store, 100, {})][::-1]
    assert user_ids == ["erased:1", *USERS[1:5], "erased:1", USERS[6], "ann", "ann", "ann"]


def test_read_participant_includes_entries_without_a_survey(store: SessionStore) -> None:
    """Pages are newest first."""
    surveys = ("phq9", None, "intake", "phq9", "phq9")
    record(
        store, *(entry(n, user_id="ann", survey_id=survey) for n, survey in enumerate(surveys)), entry(user_id="bob")
    )
    recorded: list[RecordedEntry] = []
    while page := store.run_read(
        lambda connection: audit.read_participant(connection, "ann", "phq9", recorded[-1].id if recorded else None, 2)
    ):
        recorded.extend(page)
    assert [one.entry.at - 1_000_000 for one in recorded] == [4, 3, 1, 0]

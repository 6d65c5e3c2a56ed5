"""Columns over several revisions, what is left out, and which sessions are chosen."""

import pytest

from app.errors import MissingKey
from app.operations.export import codebook
from app.operations.export.export import Export
from app.operations.export.names import PLAIN, SPSS, STATA, named
from app.operations.export.request import Asked
from app.sessions.service import SessionStore
from app.store import export_pages
from app.survey.commands import Begin
from app.survey.snapshot import SessionKey
from tests.operations.export.conftest import Opened
from tests.operations.export.reading import csv_rows, made, save
from tests.store.contents import clear
from tests.store.test_erasures import begin, set_aside

HEAD = "id: changing\ntitle: It changes\nlanguage: en\nsteps:\n"
OLDER = HEAD + (
    "  - {id: same, type: choice, prompt: Old words, options: [left, right]}\n"
    "  - {id: turned, type: number, prompt: A number}\n"
    "  - {id: gone, type: text, prompt: Only then}\n"
)
NEWER = HEAD + (
    "  - {id: turned, type: text, prompt: A text now}\n"
    "  - {id: same, type: choice, prompt: New words, options: [middle, right]}\n"
)


def test_columns_are_those_of_all_revisions(opened: Opened) -> None:
    """The newest order first; a type that changed has two columns; codes stay what they were."""
    store = opened(OLDER)
    key = SessionKey("changing", "ann")
    store.turns.get_or_create(key, is_audio_mode=False)
    older = store.catalogue.surveys["changing"].revision
    save(store, "changing", "ann", {"same": "left", "turned": 5, "gone": "x"})
    store = opened(NEWER)
    save(store, "changing", "ben", {"turned": "five", "same": "middle"})
    exporting = Export(store, Asked(survey_id="changing"))
    names = [column.name for column in exporting.layout.columns]
    assert names[-7:] == ["current_step", "turned", "turned_number", "same", "gone", "skipped", "other_answers"]
    ann, ben = csv_rows(made(store, "changing", "csv")[0])
    assert (ann["turned"], ann["turned_number"], ann["same"], ann["gone"]) == (None, "5", "left", "x")
    assert (ben["turned"], ben["turned_number"], ben["same"], ben["gone"]) == ("five", None, "middle", None)
    told = {column["name"]: column for column in codebook.document_of(exporting.layout)["columns"]}
    assert {one["value"]: one["code"] for one in told["same"]["values"]} == {"left": 1, "right": 2, "middle": 3}
    assert [one["prompt"] for one in told["same"]["prompts"]] == ["New words", "Old words"]
    assert (told["gone"]["revisions"], told["gone"]["shown"]) == ([older], "in older revisions only")
    assert "in older revisions only" in codebook.markdown_of(exporting.layout)


def test_names_are_valid_and_unique_under_each_programs_rules() -> None:
    """Reserved words, lengths, and names that differ by case alone."""
    wanted = ["q1", "Q1", "with", "int", "str5", "a" * 64, "a" * 63 + "b", "q1_2"]
    assert named(wanted, PLAIN) == ["q1", "Q1_2", "with", "int", "str5", "a" * 64, "a" * 63 + "b", "q1_2_2"]
    for rules, reserved in ((SPSS, {"with"}), (STATA, {"with", "int", "str5"})):
        names = named(wanted, rules)
        assert len({name.lower() for name in names}) == len(wanted)
        assert max(map(len, names)) <= rules.length
        assert not reserved & set(names)


def test_what_cannot_be_read_is_left_out_and_counted(store: SessionStore) -> None:
    """Set-aside sessions and broken rows and events; each of the others is there once, whatever the page."""
    clear(store)
    begin(store, SessionKey("phq9", "ann"))
    set_aside(store, SessionKey("phq9", "ann"))
    for user in ("ann", "ben", "cid", "dan"):
        begin(store, SessionKey("phq9", user))
        begin(store, SessionKey("intake", user))
    statements = (
        "UPDATE sessions SET answers = '{' WHERE survey_id = 'phq9' AND user_id = 'ben'",
        "UPDATE session_history SET answer = '{' WHERE survey_id = 'phq9' AND user_id = 'cid' AND version = 2",
    )
    for statement in statements:
        store.run_transaction(lambda connection: connection.exec_driver_sql(statement))  # noqa: B023 - called at once
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export_pages, "SESSIONS_A_PAGE", 2)
        patch.setattr(export_pages, "SCAN_LIMIT", 3)
        patch.setattr(export_pages, "EVENTS_A_PAGE", 2)
        data, counts = made(store, "phq9", "long")
        looked = Export(store, Asked(survey_id="phq9", format="long")).look()
    assert [(row["user_id"], row["version"]) for row in csv_rows(data)] == [
        *(("ann", str(version)) for version in (1, 2, 3)),
        *(("cid", str(version)) for version in (1, 3)),
        *(("dan", str(version)) for version in (1, 2, 3)),
    ]
    assert counts.lacking() == looked.lacking() == {"set_aside": 1, "unreadable": 1, "events": 1}


def test_filters_choose_sessions(store: SessionStore) -> None:
    """By when they began or changed, their mode, and their status at the time; a day as `until` is whole in it."""
    clear(store)
    day = 86_400 * 1_000_000
    now = store.clock()
    for user, ago, is_audio in (("old", 30, False), ("new", 1, True)):
        store.turns.submit(SessionKey("phq9", user), Begin(at=now - ago * day, is_audio_mode=is_audio))

    def users(**chosen: object) -> list[str]:
        return [row["user_id"] for row in csv_rows(made(store, "phq9", "csv", **chosen)[0])]

    assert users() == ["new", "old"]
    assert users(since=now - 2 * day) == users(updated_since=now - 2 * day) == users(mode="audio") == ["new"]
    assert users(until=now - 2 * day) == users(status="expired") == users(mode="text") == ["old"]
    assert users(status="in_progress") == ["new"]


def test_locked_answers_are_no_export(store: SessionStore) -> None:
    """Left out, they would seem erased."""
    clear(store)
    begin(store, SessionKey("phq9", "ann"))
    sealed = "UPDATE sessions SET answers = 'enc:1:01234567:AAAA' WHERE user_id = 'ann'"
    store.run_transaction(lambda connection: connection.exec_driver_sql(sealed))
    with pytest.raises(MissingKey):
        made(store, "phq9", "csv")

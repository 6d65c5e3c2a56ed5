"""``flask sessions``: list, show, history, verify and rebuild, for people and for programs."""

import json
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskCliRunner

from app.cli import output
from app.cli.output import printable
from app.cli.sessions import print_answers
from app.core.commands import exit_code
from app.errors import DatabaseUnavailable, InvalidInput, NoSuchSession
from app.sessions.service import SessionStore
from app.store import audit, history
from app.survey.commands import Answer, Begin, Draft
from app.survey.parameters import Given
from app.survey.snapshot import SessionKey, Snapshot
from tests.cli.shell import opened
from tests.operations.simulated_sessions import change_row, delete_event
from tests.survey.test_pages import SURVEY as PAGED
from tests.survey.test_pages import after

ANN, BEN, INTAKE = SessionKey("phq9", "ann"), SessionKey("phq9", "ben"), SessionKey("intake", "ann")


@pytest.fixture
def store(store: SessionStore) -> SessionStore:
    """Return a store where Ann is in both surveys, Ben in one, and Ann has a draft with a control character."""
    at = store.clock()
    turns: list[Any] = [(key, Begin(at=at)) for key in (ANN, BEN, INTAKE)]
    turns += [(ANN, Answer(at=at + 1, step="Q1", value=2)), (INTAKE, Answer(at=at + 1, step="S1", value=None))]
    turns += [(INTAKE, Draft(at=at + 2, step="S2", value="\x1b[31mred"))]
    assert not [result for result in store.turns.submit_many(turns) if isinstance(result, Exception)]
    return store


def does(run: FlaskCliRunner, *arguments: str, code: int = 0) -> str:
    done = run.invoke(args=["sessions", *arguments])
    assert done.exit_code == code, done.output
    return done.stdout


def lines(run: FlaskCliRunner, *arguments: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in does(run, *arguments, "--json").splitlines()]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ((), ["ann", "ann", "ben"]),
        (("--survey", "phq9"), ["ann", "ben"]),
        (("--user-id-prefix", "b"), ["ben"]),
        (("--step", "Q2"), ["ann"]),
        (("--status", "completed"), []),
        (("--updated-since", "2099-01-01"), []),
        (("--updated-since", "2020-01-01", "--all"), ["ann", "ann", "ben"]),
        (("--limit", "1"), ["ann"]),
    ],
)
def test_list_has_the_sessions_that_match_the_filters(
    run: FlaskCliRunner, filters: tuple[str, ...], expected: list[str]
) -> None:
    """The table and the JSON lines have no answers."""
    sessions = lines(run, "list", *filters)
    assert sorted(session["user_id"] for session in sessions) == expected
    assert not any("answers" in session for session in sessions)
    table = does(run, "list", *filters).splitlines()
    assert table[0].split()[:3] == ["USER", "SURVEY", "STATUS"]
    assert sorted(line.split()[0] for line in table[1:]) == expected


KNOWN = """
id: known
title: "Visit to {{ parameters.place }}"
language: en
parameters:
  clinic: {type: choice, from: url, options: [{value: 1, label: North}]}
  first_name: {type: text, from: invitation, required: false}
  place: {type: text, from: url}
values:
  third: answers.pain / 3
  is_high: answers.pain > 5
  note: answers.note
steps:
  - {id: pain, type: scale, prompt: "Pain in {{ parameters.clinic }}?", min: 0, max: 10}
  - {id: note, type: text, prompt: Note}
"""


def test_show_has_parameters_and_values(tmp_path: Path) -> None:
    """With labels, and numbers without the last digits of their arithmetic; JSON has those."""
    surveys = tmp_path / "surveys"
    surveys.mkdir()
    (surveys / "known.yaml").write_text(KNOWN)
    with opened(tmp_path, surveys) as app:
        store: SessionStore = app.extensions["stepkeep"].store
        key = SessionKey("known", "ann")
        store.turns.get_or_create(key, is_audio_mode=False, parameters=Given(api={"clinic": 1, "place": "\x1b[2J"}))
        store.turns.submit(key, Answer(at=store.clock(), step="pain", value=7))
        shown = [" ".join(line.split()) for line in does(app.test_cli_runner(), "show", "ann").splitlines()]
        assert shown[0] == "ann known Visit to \\x1b[2J"
        assert shown[2:] == [
            "PARAMETER VALUE", "clinic 1 (North)", "first_name null", "place \\x1b[2J",
            "STEP PROMPT ANSWER", "pain Pain in 1? 7",
            "VALUE RESULT", "third 2.33333333333", "is_high true", "note null",
        ]  # fmt: skip
        (session,) = lines(app.test_cli_runner(), "show", "ann")
        assert (session["parameters"]["clinic"], session["values"]["third"]) == (1, 7 / 3)


def test_list_is_complete_over_several_pages(run: FlaskCliRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    """The size of pages and of printed parts does not matter."""
    monkeypatch.setattr("app.cli.sessions.PAGE_SIZE", 1)
    monkeypatch.setattr(output, "ROWS_A_PART", 1)
    assert len(does(run, "list", "--all").splitlines()) == 4


def test_show_prints_each_field_and_row(capsys: pytest.CaptureFixture[str]) -> None:
    """As conditions name them, with prompts and labels."""
    days = {"sleep": 1, "energy": 0}
    state, _ = after(("sex", "m"), ("body", {"height": 1.5, "weight": 90}), ("tall", None), ("days", days))
    print_answers(Snapshot(key=SessionKey("example", "ann"), state=state, survey=PAGED))
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["weight", "Weight", "90"] in rows
    assert ["days.sleep", "Sleep", "1", "(Often)"] in rows


def test_show_prints_the_answers_and_is_recorded(run: FlaskCliRunner, store: SessionStore) -> None:
    """All sessions of the participant are printed, with labels of options; the audit log records the access."""
    shown = does(run, "show", "ann")
    assert "2 (More than half the days)" in shown
    assert "(draft) \\x1b[31mred" in shown
    assert "\x1b" not in shown
    assert [session["survey_id"] for session in lines(run, "show", "ann")] == ["intake", "phq9"]
    (first,) = lines(run, "show", "ann", "--survey", "phq9", "--at-version", "1")
    assert (first["version"], first["answers"]) == (1, {})
    entries = store.run_read(lambda connection: audit.read_page(connection, None, 1, {})).items
    assert (entries[0].entry.actor, entries[0].entry.action) == ("operator", "session_read")


@pytest.mark.parametrize("command", ["show", "history"])
def test_answer_that_the_terminal_lacks_is_escaped(store: SessionStore, run: FlaskCliRunner, command: str) -> None:
    """In latin-1, and without an error."""
    store.turns.submit(INTAKE, Draft(at=store.clock(), step="S2", value="é 😀"))
    run.charset = "latin-1"
    done = run.invoke(args=["sessions", command, "ann", "--survey", "intake"])
    assert done.exit_code == 0
    assert b"\xe9 \\U0001f600" in done.stdout_bytes


def test_history_continues_after_a_version(run: FlaskCliRunner, store: SessionStore) -> None:
    """Events are printed oldest first, up to the limit; the audit log records the access."""
    assert [event["action"] for event in lines(run, "history", "ann", "--survey", "intake")] == [
        "started",
        "answered",
        "drafted",
    ]
    assert [
        event["version"] for event in lines(run, "history", "ann", "--survey", "intake", "--after", "1", "--limit", "1")
    ] == [2]
    entries = store.run_read(lambda connection: audit.read_page(connection, None, 1, {})).items
    assert entries[0].entry.action == "history_read"


def test_set_aside_session_is_listed_and_printed_as_stored(run: FlaskCliRunner, store: SessionStore) -> None:
    """Its row and events are printed; the audit log records the access under the participant's id."""
    name = store.run_transaction(lambda connection: history.set_aside(connection, ANN, store.clock()))
    assert [session["user_id"] for session in lines(run, "list", "--set-aside")] == [name]
    assert lines(run, "list", "--set-aside", "--user-id-prefix", "ben") == []
    assert lines(run, "list", "--set-aside", "--survey", "intake") == []
    assert does(run, "list", "--set-aside").splitlines()[1].split()[:2] == [name, "phq9"]
    (row,) = lines(run, "show", name)
    assert (row["user_id"], row["answers"]) == (name, {"Q1": 2})
    assert '{"Q1": 2}' in does(run, "show", name)
    assert [event["action"] for event in lines(run, "history", name)] == ["started", "answered"]
    assert [event["version"] for event in lines(run, "history", name, "--after", "1", "--limit", "1")] == [2]
    assert "answered" in does(run, "history", name)
    entries = store.run_read(lambda connection: audit.read_page(connection, None, 1, {})).items
    assert (entries[0].entry.action, entries[0].entry.user_id) == ("history_read", "ann")
    assert does(run, "show", f"{name}9", code=3) == ""
    assert does(run, "list", "--set-aside", "--step", "Q1", code=2) == ""


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("show", "nobody"), 3),
        (("history", "nobody", "--survey", "phq9"), 3),
        (("show", "ann", "--survey", "phq9", "--at-version", "9"), 3),
        (("history", "ann"), 2),
        (("list", "--survey", "nope"), 3),
        (("list", "--status", "lost"), 2),
        (("rebuild",), 2),
        (("rebuild", "ann", "--all"), 2),
        (("rebuild", "nobody"), 3),
        (("verify", "--survey", "nope"), 3),
    ],
)
def test_exit_code_depends_on_the_error(run: FlaskCliRunner, arguments: tuple[str, ...], code: int) -> None:
    """It is 1 for a rejection, 2 for a usage error, 3 if something does not exist."""
    assert does(run, *arguments, code=code) == ""


def test_unavailable_database_has_its_own_exit_code() -> None:
    """It is 4, so that scripts can retry."""
    errors = (DatabaseUnavailable("away"), NoSuchSession("a", "b"), InvalidInput("x"))
    assert [exit_code(error) for error in errors] == [4, 3, 1]


def test_verify_finds_and_rebuild_repairs_a_difference(run: FlaskCliRunner, store: SessionStore) -> None:
    """The names of differing fields are printed, and a dry run changes nothing."""
    assert does(run, "verify").startswith("3 same, ")
    change_row(store, ANN, answers='{"Q1":"a secret"}')
    told = does(run, "verify", code=1)
    assert told.splitlines()[0] == "ann phq9: answers"
    assert "secret" not in told
    assert json.loads(does(run, "verify", "--json", code=1)) == {
        "user_id": "ann", "survey_id": "phq9", "differing": ["answers"], "problem": None
    }  # fmt: skip
    assert does(run, "rebuild", "--all", "--dry-run") == "ann phq9: answers\n1 session would be rebuilt.\n"
    assert json.loads(does(run, "rebuild", "--all", "--dry-run", "--json")) == {
        "user_id": "ann", "survey_id": "phq9", "changed": ["answers"], "problem": None
    }  # fmt: skip
    assert does(run, "rebuild", "ann", "--survey", "phq9") == "ann phq9: answers\n1 session rebuilt.\n"
    assert does(run, "verify").startswith("3 same, ")


def test_rebuild_is_refused_when_events_are_missing(run: FlaskCliRunner, store: SessionStore) -> None:
    """The option --lossy accepts the loss."""
    delete_event(store, ANN, 2)
    assert does(run, "rebuild", "--all", code=1) == "0 sessions rebuilt.\n"
    refused = json.loads(does(run, "rebuild", "--all", "--json", code=1))
    assert (refused["user_id"], refused["changed"], refused["problem"] is not None) == ("ann", [], True)
    assert "1 session rebuilt." in does(run, "rebuild", "ann", "--survey", "phq9", "--lossy")


def test_control_characters_are_escaped() -> None:
    """Escape sequences, C1 controls and bidirectional marks are escaped; letters are kept."""
    assert printable("a\x1b[2J\x9b\u202eb\nä😀") == "a\\x1b[2J\\x9b\\u202eb\\nä😀"

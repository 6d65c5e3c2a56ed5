"""The checker can fail: each rule on a hand-made flaw, and on the real server made wrong in three ways."""

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from app.survey.events import Answered, AnyEvent, ModeSet, Started, to_record
from app.survey.snapshot import SessionKey
from app.survey.state import SessionState, apply
from tests.chaos.checker import Finding, check
from tests.chaos.expected import row_of, shown_session
from tests.chaos.logs import ClientLog, Given
from tests.chaos.result import Order
from tests.chaos.run import run
from tests.chaos.stored import Event, Stored

KEY = SessionKey("phq9", "user123")

HISTORY: list[tuple[str | None, AnyEvent]] = [
    (None, Started(at=1, step="Q1", survey_revision="r", is_audio_mode=False)),
    ("a", Answered(at=2, step="Q1", answer=1, to="Q2", keep=0, then=("Q1",))),
    ("b", Answered(at=3, step="Q2", answer=2, to="Q3", keep=1, then=("Q2",))),
    ("c", ModeSet(at=4, is_audio_mode=True)),
]

COMMANDS = {
    "a": {"type": "answer", "step": "Q1", "value": 1},
    "b": {"type": "answer", "step": "Q2", "value": 2},
    "c": {"type": "mode", "audio": True},
}


@dataclass
class Case:
    """A session of four events in which all is right: one client gave a, b and c, and was told of each."""

    stored: Stored = field(default_factory=Stored)
    log: ClientLog = field(default_factory=lambda: ClientLog("p0v1", KEY.survey_id, KEY.user_id))
    states: list[SessionState] = field(default_factory=list)

    def __post_init__(self) -> None:
        state: SessionState | None = None
        for version, (message_id, event) in enumerate(HISTORY, 1):
            state = apply(state, event)
            self.states.append(state)
            self.stored.events[KEY].append(Event(version, message_id, to_record(event)))
        assert state is not None
        self.stored.rows[KEY] = dict(row_of(KEY, state))
        self.hear({"type": "state", "version": 1, "resumed": False}, 1)
        for version, (message_id, command) in enumerate(COMMANDS.items(), 2):
            self.log.give(0, message_id, command)
            self.hear({"type": "ack", "id": message_id, "version": version, "duplicate": False}, version)

    @property
    def events(self) -> list[Event]:
        return self.stored.events[KEY]

    def hear(self, message: dict[str, Any], shows_version: int) -> None:
        """Let the client receive a message that shows the session at a version."""
        self.log.receive({**message, "session": shown_session(KEY, self.states[shows_version - 1])})

    def findings(self) -> list[Finding]:
        return check(self.stored, [self.log])

    def rules(self) -> set[str]:
        return {finding.rule for finding in self.findings()}


@pytest.fixture
def case() -> Case:
    """A session in which all is right."""
    return Case()


def test_nothing_is_found_where_all_is_right(case: Case) -> None:
    """Also with the last command sent again, and a second connection."""
    case.hear({"type": "ack", "id": "c", "version": 4, "duplicate": True}, 4)
    case.hear({"type": "state", "version": 4, "resumed": True}, 4)
    assert case.findings() == []


def test_acknowledged_command_that_is_not_in_history_is_lost(case: Case) -> None:
    """Rule 1: acknowledged is in history."""
    del case.events[3]
    case.stored.rows[KEY] = dict(row_of(KEY, case.states[2]))
    assert "lost" in case.rules()


def test_command_that_is_in_history_twice_is_doubled(case: Case) -> None:
    """Rule 1: exactly once."""
    case.events.append(replace(case.events[3], version=5))
    case.stored.rows[KEY] = {**case.stored.rows[KEY], "version": 5}
    assert case.rules() == {"doubled"}


@pytest.mark.parametrize(
    "changed",
    [
        {"version": 3},
        {"record": to_record(ModeSet(at=4, is_audio_mode=False))},
    ],
    ids=["version", "content"],
)
def test_acknowledged_command_is_at_its_version_and_holds_what_was_given(case: Case, changed: dict[str, Any]) -> None:
    """Rule 1: the acknowledgement's version, and the client's own content."""
    case.events[3] = replace(case.events[3], **changed)
    assert "acknowledged" in case.rules()


def test_commands_in_another_order_than_given_are_found(case: Case) -> None:
    """Rule 2: per client first in, first out."""
    first, second, third = case.log.given
    case.log.given[:] = [third, first, second]
    assert case.rules() == {"order"}


def test_command_that_was_refused_in_its_place_may_be_accepted_later(case: Case) -> None:
    """Rule 2: its rejection was lost, it was sent again, and by then its step was on the route."""
    first, second, third = case.log.given
    case.log.given[:] = [second, first, third]
    assert case.findings() == []


@pytest.mark.parametrize(
    "column",
    ["answers", "current_step", "step_history", "status", "completed_at", "updated_at", "expires_at", "drafts"],
)
def test_row_that_is_not_the_fold_of_history_is_found(case: Case, column: str) -> None:
    """Rule 3: column by column."""
    case.stored.rows[KEY] = {**case.stored.rows[KEY], column: "another"}
    assert case.rules() == {"fold"}


def test_missing_and_double_versions_and_a_row_at_another_version_are_found(case: Case) -> None:
    """Rule 4: 1 to n, and the row is at n."""
    case.stored.rows[KEY] = {**case.stored.rows[KEY], "version": 7}
    assert "versions" in case.rules()
    other = Case()
    other.events[0] = replace(other.events[0], version=2)
    assert "versions" in other.rules()
    another = Case()
    del another.stored.rows[KEY]
    assert another.rules() == {"versions"}


def test_state_behind_what_was_acknowledged_is_found(case: Case) -> None:
    """Rule 5: reads never go back."""
    case.hear({"type": "state", "version": 3, "resumed": True}, 3)
    assert case.rules() == {"reads"}


def test_new_session_in_the_place_of_an_old_one_is_found(case: Case) -> None:
    """Rule 5: resumed shows what was acknowledged."""
    case.hear({"type": "state", "version": 4, "resumed": False}, 4)
    assert case.rules() == {"reads"}


@pytest.mark.parametrize(
    "message",
    [
        {"type": "state", "version": 4, "resumed": True},
        {"type": "sync", "version": 4},
        {"type": "ack", "id": "c", "version": 4, "duplicate": True},
    ],
    ids=lambda message: message["type"],
)
def test_session_that_is_shown_otherwise_than_history_says_is_found(case: Case, message: dict[str, Any]) -> None:
    """Rule 5: what is shown is the fold at that version."""
    case.states[3] = replace(case.states[3], answers={"Q1": 3})
    case.hear(message, 4)
    assert case.rules() == {"reads"}


def test_state_that_foresees_an_open_command_is_right_and_without_one_is_found(case: Case) -> None:
    """Rule 5: while the database is away, what waits is shown as if it held; nothing else is."""
    case.states.append(replace(case.states[3], is_audio_mode=False))
    case.log.given.append(Given(0, "d", {"type": "mode", "audio": False}))
    case.hear({"type": "state", "version": 4, "resumed": True}, 5)
    assert case.rules() == {"answered"}
    case.log.given.pop()
    assert case.rules() == {"reads"}


@pytest.mark.parametrize("is_told", [True, False])
def test_refused_command_that_is_in_history_is_found(case: Case, is_told: bool) -> None:
    """Rule 6: whether it was rejected, or is wrong and was not."""
    if is_told:
        case.log.receive({"type": "reject", "id": "c", "code": "not_current"})
    else:
        case.log.given[2] = replace(case.log.given[2], is_wrong=True)
    assert case.rules() == {"rejected"}


def test_event_that_nobody_gave_is_found(case: Case) -> None:
    """Rule 6: every message id is some client's."""
    case.events[3] = replace(case.events[3], message_id="x")
    assert {"unknown", "lost"} == case.rules()


def test_command_without_a_final_answer_is_found(case: Case) -> None:
    """After the run nothing is open."""
    case.log.give(0, "d", {"type": "back"})
    assert case.rules() == {"answered"}


@pytest.mark.parametrize(
    ("mutant", "kind", "rule"),
    [
        pytest.param("early acknowledgement", "server killed", "lost", marks=pytest.mark.long),
        pytest.param("no message ids", "frames duplicated", "doubled", marks=pytest.mark.long),
        ("skipped fold", "clients cut", "fold"),
    ],
)
def test_server_that_is_wrong_on_purpose_is_found(mutant: str, kind: str, rule: str) -> None:
    """Acknowledged before the commit, without unique message ids, with a skipped fold: each breaks its rule."""
    order = Order(
        database="sqlite",
        seed="mutant",
        seconds=60,
        faults=6,
        participants=4,
        mutant=mutant,
        kinds=frozenset({kind}),
    )
    assert run(order).of_rule(rule) > 0

"""The checker finds a violation of each rule, and five mutants of the real server."""

import time
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from app.survey.events import Answered, AnyEvent, ModeSet, Started, to_record
from app.survey.snapshot import SessionKey
from app.survey.state import SessionState, apply
from tests.chaos.checker import Finding, check
from tests.chaos.expected import expected_row, expected_session
from tests.chaos.logs import ClientLog, SentCommand
from tests.chaos.result import RunConfig
from tests.chaos.run import run
from tests.chaos.stored import Event, Stored

KEY = SessionKey("phq9", "user123")

MAX_RUNS = 5
"""Of a mutant; nearly always it is found in the first."""

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
    """A correct session of four events: one client sent a, b and c, and got their acknowledgements."""

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
        self.stored.rows[KEY] = dict(expected_row(KEY, state))
        self.receive({"type": "state", "version": 1, "resumed": False}, 1)
        for version, (message_id, command) in enumerate(COMMANDS.items(), 2):
            self.log.record_sent(0, message_id, command)
            self.receive({"type": "ack", "id": message_id, "version": version, "duplicate": False}, version)

    @property
    def events(self) -> list[Event]:
        return self.stored.events[KEY]

    def receive(self, message: dict[str, Any], session_version: int) -> None:
        """Let the client receive a message with the session at a version."""
        self.log.record_received({**message, "session": expected_session(KEY, self.states[session_version - 1])})

    def findings(self, **more: Any) -> list[Finding]:
        return check(self.stored, [self.log], **more)

    def rules(self, **more: Any) -> set[str]:
        return {finding.rule for finding in self.findings(**more)}


@pytest.fixture
def case() -> Case:
    """Return a correct session."""
    return Case()


def test_correct_session_has_no_findings(case: Case) -> None:
    """A resent command and a second connection are correct too."""
    case.receive({"type": "ack", "id": "c", "version": 4, "duplicate": True}, 4)
    case.receive({"type": "state", "version": 4, "resumed": True}, 4)
    assert case.findings() == []


def test_acknowledged_command_missing_from_history_is_lost(case: Case) -> None:
    """Rule 1: each acknowledged command is in the history."""
    del case.events[3]
    case.stored.rows[KEY] = dict(expected_row(KEY, case.states[2]))
    assert "lost" in case.rules()


def test_command_in_history_twice_is_doubled(case: Case) -> None:
    """Rule 1: each command is in the history exactly once."""
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
def test_acknowledged_command_with_another_version_or_content_is_found(case: Case, changed: dict[str, Any]) -> None:
    """Rule 1: each command is at its acknowledged version, with the content that the client sent."""
    case.events[3] = replace(case.events[3], **changed)
    assert "acknowledged" in case.rules()


def test_commands_out_of_order_are_found(case: Case) -> None:
    """Rule 2: commands of a client keep their order."""
    first, second, third = case.log.sent
    case.log.sent[:] = [third, first, second]
    assert case.rules() == {"order"}


def test_command_rejected_in_its_place_may_be_accepted_later(case: Case) -> None:
    """Rule 2: its rejection was lost, and when it was resent its step was on the route."""
    first, second, third = case.log.sent
    case.log.sent[:] = [second, first, third]
    assert case.findings() == []


@pytest.mark.parametrize(
    "column",
    ["answers", "current_step", "step_history", "status", "completed_at", "updated_at", "expires_at", "drafts"],
)
def test_row_that_differs_from_the_replayed_history_is_found(case: Case, column: str) -> None:
    """Rule 3: each column equals the replayed history."""
    case.stored.rows[KEY] = {**case.stored.rows[KEY], column: "another"}
    assert case.rules() == {"replay"}


def test_wrong_versions_are_found(case: Case) -> None:
    """Rule 4: versions are 1 to n, and the row has version n."""
    case.stored.rows[KEY] = {**case.stored.rows[KEY], "version": 7}
    assert "versions" in case.rules()
    other = Case()
    other.events[0] = replace(other.events[0], version=2)
    assert "versions" in other.rules()
    another = Case()
    del another.stored.rows[KEY]
    assert another.rules() == {"versions"}


def test_state_older_than_an_acknowledgement_is_found(case: Case) -> None:
    """Rule 5: reads are monotonic."""
    case.receive({"type": "state", "version": 3, "resumed": True}, 3)
    assert case.rules() == {"reads"}


def test_new_session_in_place_of_an_existing_one_is_found(case: Case) -> None:
    """Rule 5: after an acknowledgement each connection resumes the session."""
    case.receive({"type": "state", "version": 4, "resumed": False}, 4)
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
def test_message_with_a_session_that_differs_from_history_is_found(case: Case, message: dict[str, Any]) -> None:
    """Rule 5: a message shows the replayed history at its version."""
    case.states[3] = replace(case.states[3], answers={"Q1": 3})
    case.receive(message, 4)
    assert case.rules() == {"reads"}


def test_predicted_state_is_correct_only_with_an_unanswered_command(case: Case) -> None:
    """Rule 5: while the database is unavailable, pending commands are shown as committed; nothing else is."""
    case.states.append(replace(case.states[3], is_audio_mode=False))
    case.log.sent.append(SentCommand(0, "d", {"type": "mode", "audio": False}))
    case.receive({"type": "state", "version": 4, "resumed": True}, 5)
    assert case.rules() == {"answered"}
    case.log.sent.pop()
    assert case.rules() == {"reads"}


@pytest.mark.parametrize("is_rejected", [True, False])
def test_rejected_or_invalid_command_in_history_is_found(case: Case, is_rejected: bool) -> None:
    """Rule 6: neither rejected nor invalid commands are in the history."""
    if is_rejected:
        case.log.record_received({"type": "reject", "id": "c", "code": "not_current"})
    else:
        case.log.sent[2] = replace(case.log.sent[2], is_invalid=True)
    assert case.rules() == {"rejected"}


def test_event_without_a_command_is_found(case: Case) -> None:
    """Rule 6: every message id belongs to a command of a client."""
    case.events[3] = replace(case.events[3], message_id="x")
    assert {"unknown", "lost"} == case.rules()


def test_command_without_a_final_answer_is_found(case: Case) -> None:
    """Every command is answered by the end of the run."""
    case.log.record_sent(0, "d", {"type": "back"})
    assert case.rules() == {"answered"}


def test_erased_participant_is_found_anywhere(case: Case) -> None:
    """Rule 7: what was acknowledged before the erasure is not lost, and no table mentions the participant."""
    case.stored.rows.clear()
    case.stored.events.clear()
    erased = {KEY: time.monotonic()}
    assert case.findings(erased=erased) == []
    case.log.record_sent(0, "d", {"type": "back"})
    assert case.findings(erased=erased) == []
    case.stored.tables_by_user[KEY.user_id] = {"audit_log"}
    assert case.rules(erased=erased) == {"erased"}


def test_acknowledgement_after_the_erasure_is_found(case: Case) -> None:
    """Rule 7: of a command that was sent after it; one from before may have been delayed."""
    case.stored.rows.clear()
    case.stored.events.clear()
    assert case.findings(erased={KEY: 0}) == []
    assert case.rules(erased={KEY: -1}) == {"erased"}


def test_refused_participant_who_was_not_erased_is_found(case: Case) -> None:
    """Rule 7: the tokens of the others are valid."""
    case.log.is_refused = True
    assert case.rules() == {"erased"}


def test_acknowledgement_while_the_file_has_another_name_is_found(case: Case) -> None:
    """Rule 8: of a command that was sent after that, before the file is back."""
    assert case.rules(file_lost=[(-1, time.monotonic())]) == {"file"}
    assert case.findings(file_lost=[(0, time.monotonic()), (-1, 0)]) == []


@pytest.mark.parametrize(
    ("mutant", "kind", "rule"),
    [
        pytest.param("early acknowledgement", "server killed", "lost", marks=pytest.mark.long),
        pytest.param("no message ids", "frames duplicated", "doubled", marks=pytest.mark.long),
        ("skipped event", "clients cut", "replay"),
        pytest.param("no revocation check", "participant erased by another process", "erased", marks=pytest.mark.long),
        pytest.param("unchecked file", "file moved", "file", marks=pytest.mark.long),
    ],
)
def test_mutant_of_the_server_is_found(mutant: str, kind: str, rule: str) -> None:
    """Within MAX_RUNS: which turns a fault hits depends on the load of the machine."""
    configs = (
        RunConfig(
            database="sqlite",
            seed=f"mutant-{number}",
            seconds=60,
            faults=12,
            participants=4,
            mutant=mutant,
            kinds=frozenset({kind}),
        )
        for number in range(MAX_RUNS)
    )
    assert any(run(config).count_findings(rule) > 0 for config in configs)

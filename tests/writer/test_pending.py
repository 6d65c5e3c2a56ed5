"""Pending turns: their order, their bounds, and a failing session that does not delay the others.

A fake writer simulates the database's availability; it decides commands by the real rules.
"""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from app.catalogue import read_catalogue
from app.errors import DatabaseUnavailable, MessageIdReused, Overloaded
from app.settings import Settings
from app.survey.checks import parse_survey
from app.survey.commands import Answer, AnyCommand, Back, Begin, Draft, Rejection, Restart, SetLanguage
from app.survey.definition import Survey
from app.survey.flow import decide
from app.survey.snapshot import SessionKey, Snapshot
from app.survey.state import SessionState, apply, fold
from app.writer import pending
from app.writer.batch import Committed, Rejected, Result, Turn
from app.writer.pending import PendingQueue, Queued
from tests.conftest import SURVEYS

SURVEY = read_catalogue(Settings(surveys_dir=SURVEYS)).surveys["phq9"]
WAIT_S = 10


class Writer:
    """Commits into memory while the database is available; fails for blocked sessions."""

    def __init__(self, survey: Survey) -> None:
        self.survey = survey
        self.states: dict[SessionKey, SessionState] = {}
        self.committed: list[tuple[str, AnyCommand]] = []
        self.is_available = False
        self.blocked: set[SessionKey] = set()
        self.is_trying = threading.Event()
        self.may_go_on = threading.Event()
        self.may_go_on.set()

    def submit_many(self, turns: Sequence[Turn]) -> list[Result | Exception]:
        self.is_trying.set()
        assert self.may_go_on.wait(WAIT_S)
        if not self.is_available or any(key in self.blocked for key, _ in turns):
            return [DatabaseUnavailable("unavailable")] * len(turns)
        return [self._commit(key, command) for key, command in turns]

    def _commit(self, key: SessionKey, command: AnyCommand) -> Result:
        state = self.states.get(key)
        event = decide(self.survey, state, command)
        if isinstance(event, Rejection):
            before = None if state is None else Snapshot(key=key, state=state, survey=self.survey)
            return Rejected(snapshot=before, rejection=event)
        after = self.states[key] = apply(state, event)
        self.committed.append((key.user_id, command))
        snapshot = Snapshot(key=key, state=after, survey=self.survey)
        return Committed(snapshot=snapshot, version=after.version, duplicate=False, event=event)


class Bench:
    """A queue of pending turns on the fake writer, with started sessions."""

    def __init__(self, survey: Survey = SURVEY, **settings: Any) -> None:
        self.survey = survey
        self.writer = Writer(survey)
        self.pending = PendingQueue(Settings(**settings), self.writer.submit_many, lambda _survey, _revision: survey)
        self.results: list[tuple[str | None, Result | Exception]] = []

    def start(self, user: str) -> SessionKey:
        key = SessionKey("phq9", user)
        event = decide(self.survey, None, Begin(at=1))
        assert not isinstance(event, Rejection)
        self.writer.states[key] = apply(None, event)
        return key

    def accept(self, key: SessionKey, command: AnyCommand) -> Queued | Rejected:
        def stored() -> tuple[SessionState | None, Survey | None]:
            return self.writer.states.get(key), self.survey

        def callback(result: Result | Exception) -> None:
            self.results.append((command.message_id, result))

        return self.pending.accept(key, command, stored, callback)

    def settle(self) -> None:
        self.writer.is_available = True
        assert self.pending.wait_until_empty(WAIT_S)


def answer(step: str, message_id: str, value: Any = 1) -> Answer:
    return Answer(at=2, step=step, value=value, message_id=message_id)


@pytest.fixture
def bench() -> Iterator[Bench]:
    """Pending turns with the default bounds."""
    bench = Bench()
    yield bench
    bench.pending.close()


def test_turns_return_predicted_states_and_are_committed_in_order(bench: Bench) -> None:
    """In the order of each session; every turn gets a result, and the queue is empty afterwards."""
    first, second = bench.start("one"), bench.start("two")
    for number in range(1, 5):
        for key in (first, second):
            accepted = bench.accept(key, answer(f"Q{number}", f"{key.user_id}{number}"))
            assert isinstance(accepted, Queued)
            assert (accepted.snapshot.state.current_step, accepted.version) == (f"Q{number + 1}", 1)
    assert bench.pending.is_unavailable
    bench.settle()
    for key in (first, second):
        ids = [command.message_id for user, command in bench.writer.committed if user == key.user_id]
        assert ids == [f"{key.user_id}{number}" for number in range(1, 5)]
    assert len(bench.results) == 8
    assert not bench.pending.is_unavailable
    assert bench.pending.predicted(first) is None


def test_message_sent_again_joins_its_first_turn(bench: Bench) -> None:
    """It is committed once, and both senders get the result; other content under its id is refused."""
    key = bench.start("one")
    bench.accept(key, answer("Q1", "a"))
    bench.accept(key, answer("Q1", "a"))
    with pytest.raises(MessageIdReused):
        bench.accept(key, answer("Q1", "a", value=3))
    bench.settle()
    assert [message_id for message_id, _ in bench.results] == ["a", "a"]
    assert len(bench.writer.committed) == 1


@pytest.mark.parametrize(("condition", "kind"), [("answer < 10", Rejected), ("answer < answers.before", Queued)])
def test_warning_is_final_only_when_it_reads_no_other_answer(
    bench: Bench, condition: str, kind: type[Queued | Rejected]
) -> None:
    """Else an answer that is not stored yet may decide."""
    survey = parse_survey(
        "id: s\ntitle: S\nlanguage: en\nsteps:\n  - {id: before, type: number, prompt: p}\n"
        f"  - {{id: now, type: number, prompt: p, check: [{{that: {condition}, message: Unusual, level: warning}}]}}\n",
        "s.yaml",
    )
    begun = decide(survey, None, Begin(at=1))
    assert not isinstance(begun, Rejection)
    answered = decide(survey, apply(None, begun), Answer(at=1, step="before", value=5))
    assert not isinstance(answered, Rejection)
    state = fold([begun, answered])
    command = Answer(at=2, message_id="m", step="now", value=20)
    accepted = bench.pending.accept(SessionKey("s", "ann"), command, lambda: (state, survey), lambda _: None)
    assert type(accepted) is kind


TRIP = parse_survey(
    """
id: trip
title: Trip
language: en
languages: [en, de]
steps:
  - {id: S1, type: number, prompt: p}
  - {id: S2, type: number, prompt: p, check: [{that: answer < 9, message: {en: Far, de: Weit}, level: warning}]}
  - {id: S3, type: number, prompt: p, check: [{that: answer > answers.S1, message: Near, level: warning}]}
""",
    "trip.yaml",
)


def test_warnings_and_languages_are_refused_at_once_behind_pending_turns() -> None:
    """They depend on the survey and the value alone; what the participant sends next is queued and committed in order."""
    bench = Bench(TRIP)
    key = bench.start("one")
    assert isinstance(bench.accept(key, answer("S1", "first", value=1)), Queued)
    german = bench.accept(key, SetLanguage(at=2, message_id="german", language="de"))
    assert isinstance(german, Queued)
    assert german.snapshot.language == "de"
    far = bench.accept(key, answer("S2", "far", value=300))
    unknown = bench.accept(key, SetLanguage(at=2, message_id="unknown", language="fr"))
    assert isinstance(far, Rejected)
    assert isinstance(unknown, Rejected)
    assert (far.rejection.code, far.rejection.message) == ("confirm", "Weit")
    assert unknown.rejection.code == "invalid_language"
    confirmed = bench.accept(key, replace(answer("S2", "confirmed", value=300), confirmed=True))
    assert isinstance(confirmed, Queued)
    assert confirmed.snapshot.state.current_step == "S3"
    bench.settle()
    assert [message_id for message_id, _ in bench.results] == ["first", "german", "confirmed"]
    events = [result.event for _, result in bench.results if isinstance(result, Committed)]
    assert [getattr(event, "confirmed", None) for event in events] == [False, None, True]
    bench.pending.close()


def test_warning_that_reads_a_pending_answer_waits_for_the_stored_state() -> None:
    """Another device may have changed that answer meanwhile; here it has not, and the warning comes late."""
    bench = Bench(TRIP)
    key = bench.start("one")
    assert isinstance(bench.accept(key, answer("S1", "first", value=5)), Queued)
    assert isinstance(bench.accept(key, answer("S2", "second", value=1)), Queued)
    near = bench.accept(key, answer("S3", "near", value=3))
    assert isinstance(near, Queued)
    assert near.snapshot.state.current_step == "S3"
    bench.settle()
    results = dict(bench.results)
    assert isinstance(results["first"], Committed)
    late = results["near"]
    assert isinstance(late, Rejected)
    assert (late.rejection.code, late.rejection.message) == ("confirm", "Near")
    bench.pending.close()


def test_invalid_answer_is_rejected_at_once_and_other_rejections_wait_for_the_stored_state(
    bench: Bench,
) -> None:
    """`not_current` may not apply to the stored state, so it waits; an invalid value stays invalid."""
    key = bench.start("one")
    rejected = bench.accept(key, answer("Q1", "wrong", value=9))
    assert isinstance(rejected, Rejected)
    assert rejected.rejection.code == "invalid_answer"
    queued = bench.accept(key, answer("Q5", "early"))
    assert isinstance(queued, Queued)
    assert queued.snapshot.state.current_step == "Q1"
    bench.settle()
    ((_, result),) = bench.results
    assert isinstance(result, Rejected)
    assert result.rejection.code == "not_current"


def test_newest_draft_of_a_step_replaces_the_previous_one(bench: Bench) -> None:
    """Typing does not fill the memory."""
    key = bench.start("one")
    bench.accept(key, answer("Q1", "a"))
    for number in range(50):
        bench.accept(key, Draft(at=2, step="Q2", value=f"half {number}"))
    bench.settle()
    assert [command for _, command in bench.writer.committed] == [
        answer("Q1", "a"),
        Draft(at=2, step="Q2", value="half 49"),
    ]


def test_draft_is_not_replaced_while_it_is_committed(bench: Bench) -> None:
    """Both are committed, and each sender gets one result."""
    key = bench.start("one")
    bench.writer.may_go_on.clear()
    bench.writer.is_available = True
    drafts = [Draft(at=2, step="Q1", value=value) for value in ("first", "second")]
    bench.accept(key, drafts[0])
    assert bench.writer.is_trying.wait(WAIT_S)
    bench.accept(key, drafts[1])
    bench.writer.may_go_on.set()
    bench.settle()
    assert [command for _, command in bench.writer.committed] == drafts
    assert len(bench.results) == 2


@pytest.mark.parametrize("bound", [{"pending_limit": 3}, {"pending_mib": 1}])
def test_accepted_turns_are_committed_when_further_ones_exceed_the_bound(
    monkeypatch: pytest.MonkeyPatch, bound: dict[str, int]
) -> None:
    """A bound on the number, or on the size; the sender keeps what is refused."""
    if "pending_mib" in bound:
        monkeypatch.setattr(pending, "TURN_BYTES", 300_000)
    bench = Bench(**bound)
    key = bench.start("one")
    drafts = [Draft(at=2, step=f"Q{number % 2 + 1}", value=f"x{number}") for number in range(10)]
    for draft in drafts[:3]:
        bench.accept(key, draft)
    with pytest.raises(Overloaded):
        bench.accept(key, drafts[3])
    bench.settle()
    assert [command for _, command in bench.writer.committed] == [drafts[0], drafts[2]]  # Q2 is not on the route
    bench.writer.is_available = False
    for draft in drafts[4:7]:  # the queue has room again
        bench.accept(key, draft)
    bench.pending.close()


def test_other_sessions_are_committed_when_one_cannot_be(bench: Bench) -> None:
    """Its turns stay in their order; the database counts as available, and new turns are committed."""
    blocked, free = bench.start("blocked"), bench.start("free")
    bench.writer.blocked = {blocked}
    bench.accept(blocked, answer("Q1", "h1"))
    bench.accept(free, answer("Q1", "f1"))
    bench.writer.is_available = True

    def is_free_committed() -> bool:
        return any(message_id == "f1" for message_id, _ in bench.results) and not bench.pending.is_unavailable

    with bench.pending._changed:
        assert bench.pending._changed.wait_for(is_free_committed, WAIT_S)
    assert bench.pending.holds(blocked)
    assert not bench.pending.holds(free)
    bench.writer.blocked = set()
    bench.settle()
    assert {message_id for message_id, _ in bench.results} == {"h1", "f1"}


def test_prediction_continues_from_a_newer_stored_state(bench: Bench) -> None:
    """Another connection's command was committed meanwhile: the predicted version never decreases."""
    key = bench.start("one")
    bench.accept(key, answer("Q1", "a"))
    newer = fold([event for event in [decide(SURVEY, bench.writer.states[key], answer("Q1", "b", value=3))]
                  if not isinstance(event, Rejection)], bench.writer.states[key])  # fmt: skip
    assert newer is not None
    bench.writer.states[key] = newer
    bench.pending.rebase(Snapshot(key=key, state=newer, survey=SURVEY))
    predicted = bench.pending.predicted(key)
    assert predicted is not None
    assert (predicted.version, predicted.snapshot.state.answers) == (2, {"Q1": 1})
    bench.settle()


def test_turns_of_an_erased_session_are_discarded(bench: Bench) -> None:
    """Also the one that is being committed; other sessions' are committed, and so are those of the next session."""
    bench.writer.is_available = True
    bench.writer.may_go_on.clear()
    key, other = bench.start("one"), bench.start("two")
    bench.accept(key, answer("Q1", "a"))
    assert bench.writer.is_trying.wait(WAIT_S)
    bench.accept(key, answer("Q2", "b"))
    bench.accept(other, answer("Q1", "c"))
    bench.pending.discard(key)
    bench.pending.discard(key)
    assert bench.pending.predicted(key) is None
    assert bench.pending.turns == 1
    del bench.writer.states[key]
    bench.start("one")
    bench.accept(key, answer("Q1", "d", value=3))
    bench.writer.may_go_on.set()
    bench.settle()
    codes = [(name, result.rejection.code if isinstance(result, Rejected) else "") for name, result in bench.results]
    assert sorted(codes) == [("a", "no_session"), ("b", "no_session"), ("c", ""), ("d", "")]
    assert bench.pending.turns == bench.pending._size_bytes == 0


def test_drain_continues_when_all_turns_are_discarded(bench: Bench) -> None:
    """While an attempt fails, or before the next one."""
    for _ in range(3):
        bench.accept(bench.start("one"), answer("Q1", "a"))
        assert bench.writer.is_trying.wait(WAIT_S)
        bench.pending.discard(SessionKey("phq9", "one"))
        assert bench.pending.wait_until_empty(WAIT_S)
    bench.accept(bench.start("two"), answer("Q1", "b"))
    bench.settle()
    assert [command.message_id for _, command in bench.writer.committed] == ["b"]


def test_new_session_is_predicted_from_its_start(bench: Bench) -> None:
    """Version 0 until it is stored; back and restart apply to the predicted state."""
    key = SessionKey("phq9", "new")
    for command in (Begin(at=1), answer("Q1", "a"), Back(at=3, message_id="b"), Restart(at=4, message_id="c")):
        accepted = bench.accept(key, command)
        assert isinstance(accepted, Queued)
        assert accepted.version == 0
    state = accepted.snapshot.state
    assert (state.current_step, state.answers, state.version) == ("Q1", {}, 4)
    bench.settle()
    assert bench.writer.states[key].version == 4

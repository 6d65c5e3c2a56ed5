"""Turns that wait for the database: their order, their bounds, and one session that must not hold up the others.

The writer is a stand-in that says when the database answers; what it commits is decided by the real rules.
"""

import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from app.catalogue import read_catalogue
from app.errors import DatabaseUnavailable, MessageIdReused, Overloaded
from app.settings import Settings
from app.survey.commands import Answer, AnyCommand, Back, Begin, Draft, Restart
from app.survey.definition import Survey
from app.survey.flow import Rejection, decide
from app.survey.snapshot import SessionKey
from app.survey.state import SessionState, apply, fold
from app.writer.batch import Committed, Rejected, Result, Turn
from app.writer.pending import PendingQueue, Queued
from tests.conftest import SURVEYS

SURVEY = read_catalogue(Settings(surveys_dir=SURVEYS)).surveys["phq9"]
WAIT_S = 10


class Writer:
    """Commits into memory while the database answers; refuses the sessions that are held."""

    def __init__(self) -> None:
        self.states: dict[SessionKey, SessionState] = {}
        self.committed: list[tuple[str, AnyCommand]] = []
        self.is_there = False
        self.held: set[SessionKey] = set()
        self.is_trying = threading.Event()
        self.may_go_on = threading.Event()
        self.may_go_on.set()

    def submit_many(self, turns: Sequence[Turn], *, retry_lock_waits: bool) -> list[Result | Exception]:
        assert not retry_lock_waits
        self.is_trying.set()
        assert self.may_go_on.wait(WAIT_S)
        if not self.is_there or any(key in self.held for key, _ in turns):
            return [DatabaseUnavailable("away")] * len(turns)
        return [self._commit(key, command) for key, command in turns]

    def _commit(self, key: SessionKey, command: AnyCommand) -> Result:
        state = self.states.get(key)
        event = decide(SURVEY, state, command)
        if isinstance(event, Rejection):
            return Rejected(key=key, rejection=event, state=state, survey=SURVEY)
        after = self.states[key] = apply(state, event)
        self.committed.append((key.user_id, command))
        return Committed(key=key, version=after.version, duplicate=False, state=after, survey=SURVEY, event=event)


class Bench:
    """Pending turns on such a writer, with sessions that have begun."""

    def __init__(self, **settings: Any) -> None:
        self.writer = Writer()
        self.pending = PendingQueue(Settings(**settings), self.writer.submit_many, lambda _survey, _revision: SURVEY)
        self.told: list[tuple[str | None, Result | Exception]] = []

    def begin(self, user: str) -> SessionKey:
        key = SessionKey("phq9", user)
        event = decide(SURVEY, None, Begin(at=1))
        assert not isinstance(event, Rejection)
        self.writer.states[key] = apply(None, event)
        return key

    def accept(self, key: SessionKey, command: AnyCommand) -> Queued | Rejected:
        def stored() -> tuple[SessionState | None, Survey | None]:
            return self.writer.states.get(key), SURVEY

        def verdict(result: Result | Exception) -> None:
            self.told.append((command.message_id, result))

        return self.pending.accept(key, command, stored, verdict)

    def settle(self) -> None:
        self.writer.is_there = True
        assert self.pending.wait_until_empty(WAIT_S)


def answer(step: str, message_id: str, value: Any = 1) -> Answer:
    return Answer(at=2, step=step, value=value, message_id=message_id)


@pytest.fixture
def bench() -> Iterator[Bench]:
    """Pending turns with the usual bounds."""
    made = Bench()
    yield made
    made.pending.close()


def test_turns_are_foreseen_at_once_and_committed_in_the_order_in_which_they_were_given(bench: Bench) -> None:
    """Of each session; each is told what came of it, and nothing waits afterwards."""
    one, two = bench.begin("one"), bench.begin("two")
    for number in range(1, 5):
        for key in (one, two):
            accepted = bench.accept(key, answer(f"Q{number}", f"{key.user_id}{number}"))
            assert isinstance(accepted, Queued)
            assert (accepted.state.current_step, accepted.version) == (f"Q{number + 1}", 1)
    assert bench.pending.is_unavailable
    bench.settle()
    for key in (one, two):
        ids = [command.message_id for user, command in bench.writer.committed if user == key.user_id]
        assert ids == [f"{key.user_id}{number}" for number in range(1, 5)]
    assert len(bench.told) == 8
    assert not bench.pending.is_unavailable
    assert bench.pending.predicted(one) is None


def test_same_message_again_joins_its_first_turn(bench: Bench) -> None:
    """It is committed once, both senders are told; another content under its id is refused."""
    key = bench.begin("one")
    bench.accept(key, answer("Q1", "a"))
    bench.accept(key, answer("Q1", "a"))
    with pytest.raises(MessageIdReused):
        bench.accept(key, answer("Q1", "a", value=3))
    bench.settle()
    assert [message_id for message_id, _ in bench.told] == ["a", "a"]
    assert len(bench.writer.committed) == 1


def test_answer_that_does_not_fit_its_question_is_refused_at_once_and_else_the_stored_state_decides(
    bench: Bench,
) -> None:
    """`not_current` may be void on the stored state: it waits. A wrong value stays wrong."""
    key = bench.begin("one")
    refused = bench.accept(key, answer("Q1", "wrong", value=9))
    assert isinstance(refused, Rejected)
    assert refused.rejection.code == "invalid_answer"
    waits = bench.accept(key, answer("Q5", "early"))
    assert isinstance(waits, Queued)
    assert waits.state.current_step == "Q1"
    bench.settle()
    (told,) = bench.told
    assert isinstance(told[1], Rejected)
    assert told[1].rejection.code == "not_current"


def test_newest_draft_of_a_step_takes_the_place_of_the_one_before(bench: Bench) -> None:
    """Memory is not filled by typing."""
    key = bench.begin("one")
    bench.accept(key, answer("Q1", "a"))
    for number in range(50):
        bench.accept(key, Draft(at=2, step="Q2", value=f"half {number}"))
    bench.settle()
    assert [command for _, command in bench.writer.committed] == [
        answer("Q1", "a"),
        Draft(at=2, step="Q2", value="half 49"),
    ]


def test_draft_that_is_on_its_way_is_not_taken_back(bench: Bench) -> None:
    """The newest wins, but the one that is being committed was said too; each is told once."""
    key = bench.begin("one")
    bench.writer.may_go_on.clear()
    bench.writer.is_there = True
    drafts = [Draft(at=2, step="Q1", value=value) for value in ("first", "second")]
    bench.accept(key, drafts[0])
    assert bench.writer.is_trying.wait(WAIT_S)
    bench.accept(key, drafts[1])
    bench.writer.may_go_on.set()
    bench.settle()
    assert [command for _, command in bench.writer.committed] == drafts
    assert len(bench.told) == 2


@pytest.mark.parametrize("bound", [{"pending_limit": 3}, {"pending_mib": 1}])
def test_no_more_waits_than_the_bound_and_what_was_accepted_is_committed(bound: dict[str, int]) -> None:
    """By number and by size; past it the sender keeps the rest."""
    bench = Bench(**bound)
    key = bench.begin("one")
    text = "x" * 300_000 if "pending_mib" in bound else "x"
    drafts = [Draft(at=2, step=f"Q{number % 2 + 1}", value=f"{text}{number}") for number in range(10)]
    for draft in drafts[:3]:
        bench.accept(key, draft)
    with pytest.raises(Overloaded):
        bench.accept(key, drafts[3])
    bench.settle()
    assert [command for _, command in bench.writer.committed] == [drafts[0], drafts[2]]  # Q2 is not on the route
    bench.writer.is_there = False
    for draft in drafts[4:7]:  # there is room again
        bench.accept(key, draft)
    bench.pending.close()


def test_session_that_can_not_be_committed_does_not_hold_up_the_others(bench: Bench) -> None:
    """Its turns stay first in its own line; the database counts as there again, and what comes is committed."""
    held, free = bench.begin("held"), bench.begin("free")
    bench.writer.held = {held}
    bench.accept(held, answer("Q1", "h1"))
    bench.accept(free, answer("Q1", "f1"))
    bench.writer.is_there = True
    told = threading.Event()

    def wait_for_the_free_one() -> bool:
        return any(message_id == "f1" for message_id, _ in bench.told) and not bench.pending.is_unavailable

    with bench.pending._changed:
        assert bench.pending._changed.wait_for(wait_for_the_free_one, WAIT_S), told
    assert bench.pending.holds(held)
    assert not bench.pending.holds(free)
    bench.writer.held = set()
    bench.settle()
    assert {message_id for message_id, _ in bench.told} == {"h1", "f1"}


def test_line_goes_on_from_a_newer_state_that_was_stored_past_it(bench: Bench) -> None:
    """Another connection's command was still under way: what is shown never goes back behind it."""
    key = bench.begin("one")
    bench.accept(key, answer("Q1", "a"))
    newer = fold([event for event in [decide(SURVEY, bench.writer.states[key], answer("Q1", "b", value=3))]
                  if not isinstance(event, Rejection)], bench.writer.states[key])  # fmt: skip
    assert newer is not None
    bench.writer.states[key] = newer
    bench.pending.rebase(key, newer, SURVEY)
    predicted = bench.pending.predicted(key)
    assert predicted is not None
    assert (predicted.version, predicted.state.answers) == (2, {"Q1": 1})
    bench.settle()


def test_new_session_is_begun_in_memory_and_goes_on(bench: Bench) -> None:
    """Version 0 until it is stored; back and restart work on what is foreseen."""
    key = SessionKey("phq9", "new")
    for command in (Begin(at=1), answer("Q1", "a"), Back(at=3, message_id="b"), Restart(at=4, message_id="c")):
        accepted = bench.accept(key, command)
        assert isinstance(accepted, Queued)
        assert accepted.version == 0
    assert (accepted.state.current_step, accepted.state.answers, accepted.state.version) == ("Q1", {}, 4)
    bench.settle()
    assert bench.writer.states[key].version == 4

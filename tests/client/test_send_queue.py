"""The order of what is sent: by a state machine."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from app.client.send_queue import SendQueue


class QueueMachine(RuleBasedStateMachine):
    """On each connection commands go out in the order given, none is left out, and the limit of unanswered holds."""

    LIMIT = 3

    def __init__(self) -> None:
        super().__init__()
        self.queue = SendQueue()
        self.given = 0
        self.to_do: list[str] = []
        self.sent: list[str] = []
        self.unanswered: list[str] = []

    @rule()
    def give(self) -> None:
        self.given += 1
        self.to_do.append(str(self.given))
        self.queue.add(str(self.given), "")

    @rule()
    def draft(self) -> None:
        self.queue.add("", "draft")

    @rule(is_lost=st.booleans())
    def take(self, *, is_lost: bool) -> None:
        taken = self.queue.take(self.LIMIT)
        if taken is None:
            assert len(self.unanswered) == self.LIMIT or self.sent == self.to_do
        elif taken[0] != "":
            self.sent.append(taken[0])
            self.unanswered.append(taken[0])
        elif not is_lost:
            self.queue.forget_sent_draft()

    @precondition(lambda self: self.unanswered)
    @rule()
    def answer(self) -> None:
        self.queue.answer(self.unanswered.pop(0))

    @precondition(lambda self: self.to_do)
    @rule(where=st.integers(0, 9))
    def settle(self, where: int) -> None:
        """Any may be done: a late answer to an earlier sending settles one that waits to be sent again."""
        key = self.to_do.pop(where % len(self.to_do))
        self.queue.drop(key)
        self.sent = [each for each in self.sent if each != key]
        self.unanswered = [each for each in self.unanswered if each != key]

    @rule()
    def rewind(self) -> None:
        self.queue.rewind()
        self.sent, self.unanswered = [], []

    @invariant()
    def holds_the_order(self) -> None:
        assert self.sent == self.to_do[: len(self.sent)]
        assert len(self.unanswered) <= self.LIMIT


TestQueue = QueueMachine.TestCase


def test_a_newer_draft_replaces_one_that_did_not_get_through() -> None:
    """A draft that was on its way when the connection broke gives way to a newer one, in the newer one's place."""
    queue = SendQueue()
    queue.add("", "old")
    assert queue.take(9) == ("", "old")
    queue.add("a", "answer")
    queue.add("", "new")
    queue.rewind()
    assert [queue.take(9), queue.take(9), queue.take(9)] == [("a", "answer"), ("", "new"), None]

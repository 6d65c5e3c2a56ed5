"""The order in which commands are sent, checked by a state machine."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from app.client.command import SendQueue


class QueueMachine(RuleBasedStateMachine):
    """On each connection all commands are sent in order, and at most LIMIT of them are unanswered."""

    LIMIT = 3

    def __init__(self) -> None:
        super().__init__()
        self.queue = SendQueue()
        self.last = 0
        self.to_do: list[str] = []
        self.sent: list[str] = []
        self.unanswered: list[str] = []

    @rule()
    def give(self) -> None:
        self.last += 1
        self.to_do.append(str(self.last))
        self.queue.add(str(self.last), "")

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
            self.queue.remove_sent_draft()

    @precondition(lambda self: self.unanswered)
    @rule()
    def answer(self) -> None:
        self.queue.mark_answered(self.unanswered.pop(0))

    @precondition(lambda self: self.to_do)
    @rule(where=st.integers(0, 9))
    def settle(self, where: int) -> None:
        """A late answer to an earlier attempt can resolve a command that waits to be sent again."""
        key = self.to_do.pop(where % len(self.to_do))
        self.queue.remove(key)
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


def test_newer_draft_replaces_an_unsent_one_when_reconnecting() -> None:
    """In the place of the newer one."""
    queue = SendQueue()
    queue.add("", "old")
    assert queue.take(9) == ("", "old")
    queue.add("a", "answer")
    queue.add("", "new")
    queue.rewind()
    assert [queue.take(9), queue.take(9), queue.take(9)] == [("a", "answer"), ("", "new"), None]

"""What the client has to send on the connection that it has, in the order in which it was given."""

DRAFT = ""
"""The draft's key in the queue; no command has it for an id."""


class SendQueue:
    """What is to be sent, in order, and what was sent on this connection. Under the client's lock."""

    def __init__(self) -> None:
        self._waiting: dict[str, str] = {}
        self._sent: dict[str, str] = {}
        self._unanswered: set[str] = set()

    def add(self, key: str, text: str) -> None:
        """Put it at the end; it replaces what waits under the same key."""
        self._waiting.pop(key, None)
        self._waiting[key] = text

    def take(self, limit: int) -> tuple[str, str] | None:
        """Return the next to send, or None; commands without any answer stay within the limit."""
        if not self._waiting or len(self._unanswered) >= limit:
            return None
        key = next(iter(self._waiting))
        text = self._sent[key] = self._waiting.pop(key)
        if key != DRAFT:
            self._unanswered.add(key)
        return key, text

    def answer(self, key: str) -> None:
        """Take note that the server has it, though not for good."""
        self._unanswered.discard(key)

    def drop(self, key: str) -> None:
        """Forget it: it is done."""
        self._unanswered.discard(key)
        self._sent.pop(key, None)
        self._waiting.pop(key, None)

    def forget_sent_draft(self) -> None:
        """Take note that the draft went out: it is not sent again."""
        self._sent.pop(DRAFT, None)

    def rewind(self) -> None:
        """Put all that was sent before what waits, in its order; of two drafts the newer counts."""
        if DRAFT in self._waiting:
            self._sent.pop(DRAFT, None)
        self._waiting = {**self._sent, **self._waiting}
        self._sent = {}
        self._unanswered.clear()

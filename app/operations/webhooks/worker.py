"""What is on its way to one webhook: a few requests at once, so that a slow receiver holds up no other one.

Of one session's events the earlier one is sent first, and its answer waited for; one that failed is overtaken, since it
comes again later. So the order is kept as long as all goes well; who needs it looks at ``version``.
"""

import logging
import random
import threading
from collections import deque
from collections.abc import Callable, Sequence

from ...settings import Settings
from ...store.outbox import AttemptResult, Delivery
from ...store.webhooks import Webhook
from ...survey import SessionKey
from .backoff import Circuit, again_in_us
from .http import Answer, post
from .signing import Secret, body_of, headers, message_id_of
from .url_policy import is_private_allowed, origin_of

log = logging.getLogger("stepkeep.webhooks")

AT_ONCE = 4
"""Requests that are on their way to one webhook, at most: a receiver that hangs holds so many threads."""

GONE = 410
"""The receiver wants nothing more (RFC 9110, 15.5.11)."""


_CHANCE = random.Random()  # noqa: S311 - spreads attempts, guards nothing
"""Its own: a thread that draws from everybody's numbers would change what others get by their seeds."""


class Lane:
    """The way to one webhook. Safe from any thread.

    Args:
        clock: gives microseconds since 1970 UTC.
        settled: gets what came of each attempt, and whether the receiver wants nothing more; from any thread.
    """

    def __init__(
        self,
        webhook_id: str,
        settings: Settings,
        clock: Callable[[], int],
        settled: Callable[[AttemptResult, bool], None],
    ) -> None:
        self._webhook_id = webhook_id
        self._settings = settings
        self._clock = clock
        self._settled = settled
        self._mutex = threading.Lock()
        self._waiting: deque[Delivery] = deque()
        self._under_way: dict[SessionKey, int] = {}
        self._circuit = Circuit()
        self._webhook: Webhook | None = None
        self._secrets: Sequence[Secret] = ()

    def has_room(self) -> bool:
        """Return whether it wants deliveries now: none wait, and the receiver is not left alone."""
        with self._mutex:
            return not self._waiting and self._room() > 0 and self._circuit.allows(self._clock())

    def ids(self) -> set[int]:
        """Return the ids of the deliveries that it has."""
        with self._mutex:
            return {*self._under_way.values(), *(one.id for one in self._waiting)}

    def send(self, webhook: Webhook, secrets: Sequence[Secret], due: Sequence[Delivery]) -> None:
        """Send deliveries, some at once and in threads of their own; return before they are sent."""
        with self._mutex:
            self._webhook, self._secrets = webhook, secrets
            self._waiting.extend(due)
            threads = min(self._room(), len(due))
        for _ in range(threads):
            self._start()

    def _start(self) -> None:
        try:
            threading.Thread(target=self._work, name="stepkeep-webhook", daemon=True).start()
        except BaseException:  # no thread is to be had: what waits is taken from the outbox again
            self.drop()
            raise

    def drop(self) -> None:
        """Send nothing of what waits here any more: the outbox has it."""
        with self._mutex:
            self._waiting.clear()

    def _room(self) -> int:
        return (1 if self._circuit.is_failing else AT_ONCE) - len(self._under_way)

    def _work(self) -> None:
        while (delivery := self._next()) is not None:
            self._attempt(delivery)

    def _next(self) -> Delivery | None:
        with self._mutex:
            if self._room() <= 0 or not self._circuit.allows(self._clock()):
                self._waiting.clear()
                return None
            for delivery in self._waiting:
                if delivery.key not in self._under_way:
                    self._waiting.remove(delivery)
                    self._under_way[delivery.key] = delivery.id
                    return delivery
            return None

    def _attempt(self, delivery: Delivery) -> None:
        try:
            answer = self._post(delivery)
        except Exception as error:
            log.exception("a webhook could not be sent: a fault of ours", extra={"webhook_id": self._webhook_id})
            answer = Answer(status=None, error=type(error).__name__)
        at = self._clock()
        attempted = self._attempted(delivery, answer, at)
        self._note(answer, at)
        # First, so that it is told before this delivery is no longer under way: else it would be read again as due.
        self._settled(attempted, answer.status == GONE)
        with self._mutex:
            del self._under_way[delivery.key]

    def _post(self, delivery: Delivery) -> Answer:
        assert self._webhook is not None  # noqa: S101 - given before its deliveries
        body, settings = body_of(delivery), self._settings
        return post(
            self._webhook.url,
            headers(self._secrets, message_id_of(delivery), self._clock(), body),
            body,
            timeout_s=settings.webhook_timeout_s,
            may_be_inside=is_private_allowed(settings),
        )

    def _attempted(self, delivery: Delivery, answer: Answer, at: int) -> AttemptResult:
        attempts = delivery.attempts + 1
        ends = answer.is_taken or answer.status == GONE or attempts >= self._settings.webhook_attempts
        chance = _CHANCE.random()
        return AttemptResult(
            id=delivery.id,
            at=at,
            attempts=attempts,
            retry_at=None if ends else at + again_in_us(attempts, chance, answer.again_in_s),
            is_delivered=answer.is_taken,
            status=answer.status,
            error=answer.error,
        )

    def _note(self, answer: Answer, at: int) -> None:
        with self._mutex:
            was_failing = self._circuit.is_failing
            self._circuit = self._circuit.after(at, is_well=answer.is_taken)
            is_failing = self._circuit.is_failing
            webhook = self._webhook
        if webhook is None or was_failing == is_failing:
            return
        facts = (webhook.id, origin_of(webhook.url))
        if is_failing:
            log.warning("the webhook %s (%s) fails, and is tried less: %s", *facts, answer.error)
        else:
            log.warning("the webhook %s (%s) takes deliveries again", *facts)

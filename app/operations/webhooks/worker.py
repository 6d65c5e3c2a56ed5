"""Send the deliveries of one webhook in its own threads, those of a session one at a time.

A failed one does not hold up the next, so receivers compare ``version``.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

from ...core.jitter import JITTER
from ...errors import SessionUnreadable, StepkeepError, UnreadableHere
from ...sessions import SessionStore
from ...store import AttemptResult, Delivery, Webhook, outbox
from ...survey import SessionKey
from .backoff import CircuitBreaker, retry_delay_us
from .http import PostResult, post_signed
from .signing import Secret, message_body, message_body_with_values, message_id
from .url_policy import origin

log = logging.getLogger("stepkeep.webhooks")

MAX_CONCURRENT = 4  # requests of one webhook, each in a thread
GONE = 410  # the receiver wants no more messages (RFC 9110, 15.5.11)


class EndpointWorker:
    """Sends the deliveries of one webhook. Thread-safe."""

    def __init__(self, webhook_id: str, store: SessionStore, on_attempt: Callable[[AttemptResult], None]) -> None:
        self._webhook_id = webhook_id
        self._store = store
        self._on_attempt = on_attempt
        self._mutex = threading.Lock()
        self._waiting: deque[Delivery] = deque()
        self._in_flight: dict[SessionKey, int] = {}
        self._breaker = CircuitBreaker()
        self._webhook: Webhook | None = None
        self._secrets: Sequence[Secret] = ()

    def has_capacity(self) -> bool:
        with self._mutex:
            return not self._waiting and self._capacity() > 0 and self._breaker.allows(self._store.clock())

    def delivery_ids(self) -> set[int]:
        with self._mutex:
            return {*self._in_flight.values(), *(delivery.id for delivery in self._waiting)}

    def send(self, webhook: Webhook, secrets: Sequence[Secret], due: Sequence[Delivery]) -> None:
        with self._mutex:
            self._webhook, self._secrets = webhook, secrets
            self._waiting.extend(due)
            threads = min(self._capacity(), len(due))
        try:
            for _ in range(threads):
                threading.Thread(target=self._work, name="stepkeep-webhook", daemon=True).start()
        except BaseException:  # no thread available: the outbox is read again
            self.drop_waiting()
            raise

    def drop_waiting(self) -> None:
        """Forget waiting deliveries; they stay in the outbox."""
        with self._mutex:
            self._waiting.clear()

    def _capacity(self) -> int:
        return (1 if self._breaker.is_failing else MAX_CONCURRENT) - len(self._in_flight)

    def _work(self) -> None:
        while (delivery := self._next()) is not None:
            self._attempt(delivery)

    def _next(self) -> Delivery | None:
        with self._mutex:
            if self._capacity() <= 0 or not self._breaker.allows(self._store.clock()):
                self._waiting.clear()
                return None
            for delivery in self._waiting:
                if delivery.key not in self._in_flight:
                    self._waiting.remove(delivery)
                    self._in_flight[delivery.key] = delivery.id
                    return delivery
            return None

    def _attempt(self, delivery: Delivery) -> None:
        result, is_about_receiver = self._try_post(delivery)
        if result is None:
            self.drop_waiting()
        else:
            at = self._store.clock()
            attempted = self._attempted(delivery, result, at)
            if is_about_receiver:
                self._update_breaker(result, at)
            # Before the delivery leaves _in_flight: otherwise it would be read again as due.
            self._on_attempt(attempted)
        with self._mutex:
            del self._in_flight[delivery.key]

    def _try_post(self, delivery: Delivery) -> tuple[PostResult | None, bool]:
        """Return the result, and whether it is about the receiver; None if nothing was attempted."""
        try:
            return self._post(delivery), True
        except (UnreadableHere, SessionUnreadable) as error:
            return PostResult(status=None, error=f"its values can't be read: {error}"), False
        except StepkeepError:
            return None, False
        except Exception as error:
            log.exception("internal error while sending a webhook", extra={"webhook_id": self._webhook_id})
            return PostResult(status=None, error=type(error).__name__), True

    def _post(self, delivery: Delivery) -> PostResult | None:
        # Read for each message: the webhook may have changed while the delivery was waiting.
        webhook = self._store.run_read(partial(outbox.read_webhook, webhook_id=self._webhook_id))
        if webhook is None or webhook.disabled_at is not None:
            return None
        if webhook.includes_values:
            recorded = self._store.queries.recorded_values(delivery.key, delivery.version, delivery.occurred_at)
            body = message_body_with_values(delivery, recorded)
        else:
            body = message_body(delivery)
        return post_signed(
            webhook.url, self._secrets, message_id(delivery), self._store.clock(), body, self._store.settings
        )

    def _attempted(self, delivery: Delivery, result: PostResult, at: int) -> AttemptResult:
        attempts = delivery.attempts + 1
        is_last = result.succeeded or result.status == GONE or attempts >= self._store.settings.webhook_attempts
        delay_us = retry_delay_us(attempts, JITTER.random(), result.retry_after_s)
        return AttemptResult(
            delivery=delivery,
            at=at,
            attempts=attempts,
            retry_at=None if is_last else at + delay_us,
            is_delivered=result.succeeded,
            status=result.status,
            error=result.error,
        )

    def _update_breaker(self, result: PostResult, at: int) -> None:
        with self._mutex:
            was_failing = self._breaker.is_failing
            self._breaker = self._breaker.after_attempt(at, succeeded=result.succeeded)
            is_failing = self._breaker.is_failing
            webhook = self._webhook
        if webhook is None or was_failing == is_failing:
            return
        facts = (webhook.id, origin(webhook.url))
        if is_failing:
            log.warning("webhook %s (%s) fails; sending it one delivery at a time: %s", *facts, result.error)
        else:
            log.warning("webhook %s (%s) accepts deliveries again", *facts)

"""The metrics of ``docs/observability.md``. PROMETHEUS_MULTIPROC_DIR must be set first; no label names a person."""

import os
from bisect import bisect_left
from collections.abc import Iterable
from functools import partial
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.multiprocess import MultiProcessCollector

REGISTRY: Final = CollectorRegistry()

CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4  # every collector reads it

_QUICK = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
"""Seconds, from a commit on a fast disk to a hanging database."""


class Amounts(Histogram):
    """Takes many observations at once."""

    def observe_all(self, amounts: Iterable[tuple[float, int]]) -> None:
        """Observe amounts with their frequencies; takes one lock a bucket."""
        total = 0.0
        met: dict[int, int] = {}
        for amount, times in amounts:
            total += amount * times
            place = bisect_left(self._upper_bounds, amount)
            met[place] = met.get(place, 0) + times
        self._sum.inc(total)
        for place, times in met.items():
            self._buckets[place].inc(times)


# Every metric is registered here, not in the default registry, which has the interpreter's own metrics.
_counter = partial(Counter, registry=REGISTRY)
_gauge = partial(Gauge, registry=REGISTRY)
_histogram = partial(Amounts, registry=REGISTRY)

TURNS: Final = _counter(
    "stepkeep_turns",
    "Commands by outcome: accepted, duplicate, refused (code: the rule's), failed (code: the error's)",
    ("outcome", "code"),
)
EVENTS: Final = _counter(
    "stepkeep_events", "Events committed, by their name in the history; drafted: drafts saved", ("action",)
)
VERSION_CONFLICTS: Final = _counter("stepkeep_version_conflicts", "Commands refused because the session had changed")
FAILED_CONDITIONS: Final = _counter(
    "stepkeep_failed_conditions", "Conditions of surveys that could not be evaluated for the answers of a session"
)
SURVEY_RELOADS: Final = _counter(
    "stepkeep_survey_reloads",
    "Times that this process read the survey files again; errors: not all were taken",
    ("outcome",),
)
SURVEY_FILE_ERRORS: Final = _gauge(
    "stepkeep_survey_file_errors",
    "Errors in survey files that were not taken at the last reload",
    multiprocess_mode="livemax",
)
TURN_SECONDS: Final = _histogram(
    "stepkeep_turn_seconds",
    "Seconds from submission to the writer until a command was committed, refused or failed",
    buckets=_QUICK,
)
BATCH_TURNS: Final = _histogram(
    "stepkeep_batch_turns",
    "Commands committed in one transaction",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024),
)
BATCH_SECONDS: Final = _histogram(
    "stepkeep_batch_seconds",
    "Seconds of one committed transaction: read the sessions, decide, write, COMMIT",
    buckets=_QUICK,
)
RETRIES: Final = _counter(
    "stepkeep_database_retries", "Retried transactions by reason: lock, connection, duplicate_key", ("reason",)
)
QUEUE_TURNS: Final = _gauge("stepkeep_queue_turns", "Commands that wait for the writer", multiprocess_mode="livesum")
PENDING_TURNS: Final = _gauge(
    "stepkeep_pending_turns", "Commands in memory because the database is unavailable", multiprocess_mode="livesum"
)
PENDING_ACCEPTED: Final = _counter("stepkeep_pending_accepted", "Commands accepted to be committed later")
DATABASE_UNAVAILABLE: Final = _gauge(
    "stepkeep_database_unavailable",
    "1 while the database accepts no turns, by this server's last attempt; otherwise 0",
    multiprocess_mode="livemax",
)
CONNECTIONS: Final = _gauge("stepkeep_connections", "Open WebSocket connections", multiprocess_mode="livesum")
CLOSES: Final = _counter(
    "stepkeep_connection_closes", "WebSocket connections that the server closed, by close code", ("code",)
)
INTERNAL_ERRORS: Final = _counter(
    "stepkeep_internal_errors",
    "Requests answered with 500, and WebSockets closed with 1011; 0 from the start, for increase()",
)
ERRORS: Final = _counter(
    "stepkeep_errors", "Errors sent to clients, by interface (http, socket) and code", ("interface", "code")
)
REQUESTS: Final = _counter(
    "stepkeep_requests", "HTTP requests answered, by method, route and status", ("method", "route", "status")
)
REQUEST_SECONDS: Final = _histogram(
    "stepkeep_request_seconds",
    "Seconds from the arrival of a request until its response was ready; without WebSockets",
    ("method", "route"),
    buckets=_QUICK,
)
NOTIFICATIONS: Final = _counter(
    "stepkeep_notifications", "Notifications of changed sessions from other server processes"
)
WEBHOOK_DELIVERIES: Final = _counter(
    "stepkeep_webhook_deliveries", "Attempts to deliver a webhook, by outcome", ("outcome",)
)
BUILD: Final = _gauge(
    "stepkeep_build_info",
    "Always 1; labels: the program's version, its schema, and the kind of database",
    ("version", "schema", "database"),
    multiprocess_mode="livemax",
)


def exposition() -> bytes:
    """Return the metrics of all server processes."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return generate_latest(REGISTRY)
    together = CollectorRegistry()
    MultiProcessCollector(together)  # type: ignore[no-untyped-call]  # it has no types
    return generate_latest(together)

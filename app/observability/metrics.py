"""What the server counts and measures, for Prometheus.

Anybody may import this module; it imports nothing of ours. No label says who somebody is: each has few values, which
are names of ours (outcomes, codes, routes). ``docs/observability.md`` tells of each metric; a test holds it to that.

Several server processes add their figures up in the folder PROMETHEUS_MULTIPROC_DIR, which prometheus_client asks for
when it is imported: ``gunicorn.conf.py`` names it before it imports what leads here. What is counted for each turn is
counted a batch at a time (:meth:`Amounts.observe_all`): on its way a turn pays for no lock.
"""

import os
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.multiprocess import MultiProcessCollector

REGISTRY: Final = CollectorRegistry()

CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4
"""Prometheus' text format, which every collector reads."""

_QUICK = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
"""Seconds: from a commit on a fast disk to a database that hangs."""


class Amounts(Histogram):
    """A histogram that takes many observations at once."""

    def observe_all(self, amounts: Iterable[tuple[float, int]]) -> None:
        """Observe each amount as many times as is said beside it; a lock is taken once a bucket, not once each."""
        total = 0.0
        met: dict[int, int] = {}
        for amount, times in amounts:
            total += amount * times
            place = bisect_left(self._upper_bounds, amount)
            met[place] = met.get(place, 0) + times
        self._sum.inc(total)
        for place, times in met.items():
            self._buckets[place].inc(times)


TURNS: Final = Counter(
    "stepkeep_turns",
    "Commands by what came of them: accepted, duplicate, refused (code: the rule's), failed (code: the error's)",
    ("outcome", "code"),
    registry=REGISTRY,
)
EVENTS: Final = Counter(
    "stepkeep_events",
    "Events committed, by their name in history; drafted: the drafts saved",
    ("action",),
    registry=REGISTRY,
)
VERSION_CONFLICTS: Final = Counter(
    "stepkeep_version_conflicts",
    "Commands refused because the session had changed since they were decided",
    registry=REGISTRY,
)
FAILED_CONDITIONS: Final = Counter(
    "stepkeep_failed_conditions",
    "Conditions of surveys that could not be evaluated for the answers of a session",
    registry=REGISTRY,
)
TURN_SECONDS: Final = Amounts(
    "stepkeep_turn_seconds",
    "From when a command was handed to the writer until it was committed, refused or had failed",
    buckets=_QUICK,
    registry=REGISTRY,
)
BATCH_TURNS: Final = Amounts(
    "stepkeep_batch_turns",
    "Commands committed together in one transaction",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024),
    registry=REGISTRY,
)
BATCH_SECONDS: Final = Amounts(
    "stepkeep_batch_seconds",
    "One transaction of commands that was committed: read the sessions, decide, write, COMMIT",
    buckets=_QUICK,
    registry=REGISTRY,
)
RETRIES: Final = Counter(
    "stepkeep_database_retries",
    "Transactions tried again, by why: lock, connection, double_key",
    ("reason",),
    registry=REGISTRY,
)
QUEUE_TURNS: Final = Gauge(
    "stepkeep_queue_turns",
    "Commands that wait for the writer",
    multiprocess_mode="livesum",
    registry=REGISTRY,
)
PENDING_TURNS: Final = Gauge(
    "stepkeep_pending_turns",
    "Commands kept in memory because the database is away",
    multiprocess_mode="livesum",
    registry=REGISTRY,
)
PENDING_ACCEPTED: Final = Counter(
    "stepkeep_pending_accepted",
    "Commands that were accepted to be committed later",
    registry=REGISTRY,
)
DATABASE_AWAY: Final = Gauge(
    "stepkeep_database_away",
    "1 while the database takes no turns, by what this server met last; else 0",
    multiprocess_mode="livemax",
    registry=REGISTRY,
)
CONNECTIONS: Final = Gauge(
    "stepkeep_connections",
    "WebSocket connections that are open",
    multiprocess_mode="livesum",
    registry=REGISTRY,
)
CLOSES: Final = Counter(
    "stepkeep_connection_closes",
    "WebSocket connections that the server closed, by close code",
    ("code",),
    registry=REGISTRY,
)
FAULTS: Final = Counter(
    "stepkeep_faults",
    "Faults of ours: requests answered with 500, WebSockets closed with 1011; 0 from the start, for increase()",
    registry=REGISTRY,
)
ERRORS: Final = Counter(
    "stepkeep_errors",
    "Errors told to clients, by door (http, socket) and code",
    ("door", "code"),
    registry=REGISTRY,
)
REQUESTS: Final = Counter(
    "stepkeep_requests",
    "HTTP requests answered, by method, route and status",
    ("method", "route", "status"),
    registry=REGISTRY,
)
REQUEST_SECONDS: Final = Histogram(
    "stepkeep_request_seconds",
    "From when a request was taken up until its answer was made; without WebSockets",
    ("method", "route"),
    buckets=_QUICK,
    registry=REGISTRY,
)
NEWS_HEARD: Final = Counter(
    "stepkeep_news_heard",
    "Changes of sessions that other server processes told of",
    registry=REGISTRY,
)
WEBHOOK_DELIVERIES: Final = Counter(
    "stepkeep_webhook_deliveries",
    "Attempts to deliver a webhook, by outcome",
    ("outcome",),
    registry=REGISTRY,
)
BUILD: Final = Gauge(
    "stepkeep_build_info",
    "Always 1: the program's version, its schema, and the kind of database",
    ("version", "schema", "database"),
    multiprocess_mode="livemax",
    registry=REGISTRY,
)


def count_turns(outcomes: Mapping[tuple[str, str], int], events: Mapping[str, int]) -> None:
    """Count commands by outcome and code, and what was committed of them by its action."""
    for outcome, times in outcomes.items():
        _turns_of(outcome).inc(times)
        if outcome[1] == "version_conflict":
            VERSION_CONFLICTS.inc(times)
    for action, times in events.items():
        _events_of(action).inc(times)


@cache
def _turns_of(outcome: tuple[str, str]) -> Counter:
    """Return what counts them, looked for once: by its labels that takes longer than counting."""
    return TURNS.labels(*outcome)


@cache
def _events_of(action: str) -> Counter:
    return EVENTS.labels(action)


def exposition() -> bytes:
    """Return all figures in Prometheus' text format, of all server processes where these share a folder."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return generate_latest(REGISTRY)
    together = CollectorRegistry()
    MultiProcessCollector(together)  # type: ignore[no-untyped-call]  # the one class of theirs without types
    return generate_latest(together)


def names() -> frozenset[str]:
    """Return the name of each metric, as it is shown: a counter's with ``_total``."""
    return frozenset(
        f"{family.name}_total" if family.type == "counter" else family.name for family in REGISTRY.collect()
    )

"""What happened in a session, an event a row, with its timings and the mode at that time. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from ...store.rows import HistoryEntry
from .layout import mode_name


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """An event.

    Attributes:
        answer: as it was given, of whatever type; of a draft None, unless drafts are asked for.
        to: the step where an answer led; None of other events.
        mode: the mode that the session was in, after it.
        at: microseconds since 1970 UTC.
        since_previous_s: seconds since the event before; None of the first one.
        since_start_s: seconds since the session's first event.
    """

    version: int
    event: str
    step: str | None
    answer: Any
    to: str | None
    mode: str
    at: int
    since_previous_s: float | None
    since_start_s: float


def happenings(entries: Iterable[HistoryEntry], *, drafts: bool) -> Iterator[Happened]:
    """Yield the events of one session, which are given oldest first from its begin on."""
    started_at, previous_at, is_audio = None, None, False
    for entry in entries:
        record = entry.record
        started_at = record.at if started_at is None else started_at
        is_audio = bool(record.data.get("is_audio_mode", is_audio))
        yield Happened(
            version=entry.version,
            event=record.action,
            step=record.step,
            answer=None if record.action == "drafted" and not drafts else record.answer,
            to=record.data.get("to"),
            mode=mode_name(is_audio=is_audio),
            at=record.at,
            since_previous_s=None if previous_at is None else (record.at - previous_at) / 1_000_000,
            since_start_s=(record.at - started_at) / 1_000_000,
        )
        previous_at = record.at

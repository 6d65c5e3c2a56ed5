"""JSON Lines in UTF-8: one session a line, answers as given."""

from collections.abc import Iterator
from typing import Any

import orjson

from ...survey import Snapshot
from .layout import Layout, duration_s
from .sessions import Session, SessionReader, TimedEntry, timed


def write_jsonl(layout: Layout, reader: SessionReader, *, history: bool, drafts: bool) -> Iterator[bytes]:
    """Yield the lines, including events with ``history``."""
    if history:
        for session, entries in reader.with_events():
            events = [_event_to_dict(event, drafts=drafts) for event in timed(entries)]
            yield orjson.dumps({**_session_to_dict(layout, reader.at, session), "history": events}) + b"\n"
        return
    for page in reader.pages():
        piece = b"".join(orjson.dumps(_session_to_dict(layout, reader.at, session)) + b"\n" for session in page)
        if piece:
            yield piece


def _session_to_dict(layout: Layout, at: int, session: Session) -> dict[str, Any]:
    key, state = session
    fields = Snapshot(key=key, state=state, survey=layout.survey(state)).to_full_dict(at)
    del fields["draft"]
    return {**fields, "duration_s": duration_s(state)}


def _event_to_dict(event: TimedEntry, *, drafts: bool) -> dict[str, Any]:
    fields = event.entry.to_dict()
    if fields["action"] == "drafted" and not drafts:
        fields["answer"] = None
    del fields["message_id"], fields["data"]
    return {
        **fields,
        "to": event.entry.record.data.get("to"),
        "is_audio_mode": event.is_audio_mode,
        "since_previous_s": event.since_previous_s,
        "since_start_s": event.since_start_s,
    }

"""JSON Lines in UTF-8: one session a line, answers as given."""

from collections.abc import Iterator
from typing import Any

import orjson

from ...survey import Snapshot
from .layout import Layout, duration_s
from .sessions import Session, SessionReader, events_to_dicts


def write_jsonl(layout: Layout, reader: SessionReader) -> Iterator[bytes]:
    """Yield the lines, including events with ``history``."""
    if reader.request.history:
        for session, entries in reader.with_events():
            events = list(events_to_dicts(entries, drafts=reader.request.drafts))
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

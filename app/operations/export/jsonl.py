"""JSON Lines in UTF-8: one session a line, with its answers as they were given; made a piece at a time."""

from collections.abc import Iterator
from typing import Any

import orjson

from ...core.timestamps import format_timestamp
from ...store.rows import HistoryEntry
from .events import Happened, happenings
from .layout import Layout, mode_name
from .walk import Session, Walk


def pieces(layout: Layout, walk: Walk, *, history: bool, drafts: bool) -> Iterator[bytes]:
    """Yield the lines, with ``history`` each session with its events."""
    if history:
        for session, entries in walk.with_events():
            yield _with_history(_session(layout, walk, session), entries, drafts=drafts)
        return
    for page in walk.pages():
        piece = b"".join(orjson.dumps(_session(layout, walk, session)) + b"\n" for session in page)
        if piece:
            yield piece


def _with_history(session: dict[str, Any], entries: Iterator[HistoryEntry], *, drafts: bool) -> bytes:
    session["history"] = [_event(one) for one in happenings(entries, drafts=drafts)]
    return orjson.dumps(session) + b"\n"


def _session(layout: Layout, walk: Walk, session: Session) -> dict[str, Any]:
    key, state = session
    done = state.completed_at
    return {
        "user_id": key.user_id,
        "survey_id": key.survey_id,
        "revision": state.survey_revision,
        "status": layout.status(state, walk.at),
        "mode": mode_name(is_audio=state.is_audio_mode),
        "started_at": format_timestamp(state.started_at),
        "updated_at": format_timestamp(state.updated_at),
        "completed_at": format_timestamp(done),
        "duration_s": None if done is None else (done - state.started_at) / 1_000_000,
        "version": state.version,
        "current_step": state.current_step,
        "step_history": state.step_history,
        "answers": state.answers,
        "session_data": state.session_data,
    }


def _event(one: Happened) -> dict[str, Any]:
    return {
        "version": one.version,
        "event": one.event,
        "step": one.step,
        "answer": one.answer,
        "to": one.to,
        "mode": one.mode,
        "at": format_timestamp(one.at),
        "since_previous_s": one.since_previous_s,
        "since_start_s": one.since_start_s,
    }

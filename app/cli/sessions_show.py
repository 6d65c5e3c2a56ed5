"""``flask sessions show`` and ``history``: a session with its answers, as it is and as it came to be.

Who looked is noted in the audit log.
"""

import json
from collections.abc import Iterator
from typing import Any

import click

from ..core.timestamps import format_timestamp
from ..errors import NoSuchSession
from ..store import SET_ASIDE, HistoryEntry
from ..survey import SessionKey, Snapshot
from . import sessions_set_aside
from .output import json_lines, note, store, table, told
from .sessions import keys_of, sessions

EVENTS_A_PAGE = 200
SHOWN = 100


@sessions.command("show")
@click.argument("user_id")
@click.option("--survey", default=None, help="Only his session of this survey; else all of his.")
@click.option("--at-version", type=click.IntRange(min=1), default=None, help="As it was after so many events.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, for each session.")
@told
def show(user_id: str, survey: str | None, at_version: int | None, *, as_json: bool) -> None:
    """Show a participant's sessions: where he is, and what he answered.

    \b
    Examples:
      flask sessions show patient-7
      flask sessions show patient-7 --survey intake --at-version 4
      flask sessions show patient-7 --json
      flask sessions show 'patient-7~set-aside-20261124T100000123456'

    A session that could not be read and was set aside is shown as it is stored.
    """
    if SET_ASIDE in user_id:
        if at_version is not None:
            raise click.UsageError("what was set aside has no versions to be shown: leave --at-version away")
        sessions_set_aside.print_sessions(user_id, survey, as_json=as_json)
        return
    keys = [_one_of(user_id, survey)] if at_version is not None else keys_of(user_id, survey)
    for number, key in enumerate(keys):
        snapshot = store().queries.load(key) if at_version is None else store().queries.at_version(key, at_version)
        if snapshot is None:
            raise NoSuchSession(key.survey_id, key.user_id)
        note("session_read", survey_id=key.survey_id, user_id=key.user_id)
        if as_json:
            json_lines([_facts(snapshot)])
        else:
            click.echo("\n" * bool(number), nl=False)
            _print(snapshot)


@sessions.command("history")
@click.argument("user_id")
@click.option("--survey", default=None, help="Of which survey, where he has sessions of several.")
@click.option(
    "--after", type=click.IntRange(min=0), default=0, show_default=True, help="Only events after this version."
)
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=SHOWN, show_default=True, help="How many, at most.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@told
def show_history(user_id: str, survey: str | None, after: int, limit: int, *, as_json: bool) -> None:
    """Show what happened in a session, oldest first: each answer, edit, step back, draft and change of mode.

    \b
    Examples:
      flask sessions history patient-7
      flask sessions history patient-7 --survey intake --after 4 --limit 3
      flask sessions history patient-7 --json | tail -1
      flask sessions history 'patient-7~set-aside-20261124T100000123456'

    Events of a session that was set aside are shown as they are stored.
    """
    if SET_ASIDE in user_id:
        sessions_set_aside.print_history(user_id, survey, after, limit, as_json=as_json)
        return
    key = _one_of(user_id, survey)
    note("history_read", survey_id=key.survey_id, user_id=key.user_id)
    entries = _entries(key, after, limit)
    if as_json:
        json_lines(map(_event, entries))
    else:
        table(("VERSION", "AT (UTC)", "WHAT", "STEP", "ANSWER", "MORE"), map(_event_row, entries))


def _one_of(user_id: str, survey: str | None) -> SessionKey:
    keys = keys_of(user_id, survey)
    if len(keys) > 1:
        raise click.UsageError(
            f"{user_id!r} has sessions of {', '.join(key.survey_id for key in keys)}: name one, --survey"
        )
    if store().queries.load(keys[0]) is None:
        raise NoSuchSession(keys[0].survey_id, user_id)
    return keys[0]


def _print(snapshot: Snapshot) -> None:
    state, facts = snapshot.state, _facts(snapshot)
    title = f"  {snapshot.survey.title}" if snapshot.survey is not None else ""
    click.echo(f"{snapshot.key.user_id}  {snapshot.key.survey_id}{title}")
    named = ("status", "current_step", "version", "progress", "created_at", "updated_at", "completed_at")
    mode = "audio" if state.is_audio_mode else "text"
    click.echo("  ".join(f"{name}={facts[name]}" for name in named if facts[name] is not None) + f"  mode={mode}")
    rows = [(step, _prompt(snapshot, step), _said(snapshot, step, value)) for step, value in state.answers.items()]
    rows += [(step, _prompt(snapshot, step), f"(draft) {_text(value)}") for step, value in state.drafts.items()]
    if rows:
        table(("STEP", "QUESTION", "ANSWER"), rows)


def _prompt(snapshot: Snapshot, step_id: str) -> str:
    step = None if snapshot.survey is None else snapshot.survey.step(step_id)
    return "" if step is None else step.prompt


def _said(snapshot: Snapshot, step_id: str, value: object) -> str:
    """The answer, with the label of the option that it is."""
    step = None if snapshot.survey is None else snapshot.survey.step(step_id)
    label = None if step is None else step.option_label(value)
    return _text(value) if label is None else f"{_text(value)} ({label})"


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _facts(snapshot: Snapshot) -> dict[str, Any]:
    state = snapshot.state
    return snapshot.to_dict(store().clock()) | {
        "version": state.version,
        "progress": round(snapshot.progress, 4),
        "drafts": dict(state.drafts),
        "created_at": format_timestamp(state.started_at),
        "updated_at": format_timestamp(state.updated_at),
        "completed_at": format_timestamp(state.completed_at),
    }


def _entries(key: SessionKey, after: int, limit: int) -> Iterator[HistoryEntry]:
    while limit > 0:
        page = store().queries.history(key, after_version=after, limit=min(limit, EVENTS_A_PAGE))
        yield from page
        limit -= len(page)
        if len(page) < EVENTS_A_PAGE:
            return
        after = page[-1].version


def _event(entry: HistoryEntry) -> dict[str, Any]:
    record = entry.record
    facts = {"version": entry.version, "message_id": entry.message_id, "action": record.action, "step": record.step}
    return facts | {"answer": record.answer, "data": dict(record.data), "at": format_timestamp(record.at)}


def _event_row(entry: HistoryEntry) -> tuple[str | None, ...]:
    record = entry.record
    more = ", ".join(f"{name}={_text(value)}" for name, value in record.data.items() if value not in (None, [], {}))
    answer = "" if record.answer is None else _text(record.answer)
    return str(entry.version), format_timestamp(record.at), record.action, record.step, answer, more

"""``flask sessions show`` and ``history``."""

import json
from collections.abc import Iterator
from typing import Any

import click

from ..errors import NoSuchSession
from ..operations.integrity import is_set_aside
from ..survey import SessionKey, Snapshot
from . import sessions_set_aside
from .output import audit, handle_errors, print_jsonl, print_table, store
from .sessions import only_key, session_keys, sessions

EVENTS_A_PAGE = 200
DEFAULT_LIMIT = 100


@sessions.command("show")
@click.argument("user_id")
@click.option("--survey", default=None, help="Only the participant's session of this survey (default: all).")
@click.option("--at-version", type=click.IntRange(min=1), default=None, help="The session after this event.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line for each session.")
@handle_errors
def show(user_id: str, survey: str | None, at_version: int | None, *, as_json: bool) -> None:
    """Show a participant's sessions with their answers.

    \b
    Examples:
      flask sessions show patient-7
      flask sessions show patient-7 --survey intake --at-version 4
      flask sessions show patient-7 --json
      flask sessions show 'patient-7~set-aside-20261124T100000123456'

    An unreadable session that was set aside is shown as it is stored.
    """
    if is_set_aside(user_id):
        if at_version is not None:
            raise click.UsageError("--at-version can't be used with a session that was set aside")
        sessions_set_aside.print_sessions(user_id, survey, as_json=as_json)
        return
    keys = session_keys(user_id, survey) if at_version is None else [_existing_key(user_id, survey)]
    for number, key in enumerate(keys):
        snapshot = store().queries.load(key) if at_version is None else store().queries.at_version(key, at_version)
        if snapshot is None:
            raise NoSuchSession(key.survey_id, key.user_id)
        audit("session_read", survey_id=key.survey_id, user_id=key.user_id)
        if as_json:
            print_jsonl([_to_dict(snapshot)])
        else:
            click.echo("\n" * bool(number), nl=False)
            _print(snapshot)


@sessions.command("history")
@click.argument("user_id")
@click.option("--survey", default=None, help="The survey, if the participant has sessions of several.")
@click.option(
    "--after", type=click.IntRange(min=0), default=0, show_default=True, help="Only events after this version."
)
@click.option(
    "--limit", type=click.IntRange(1, 1_000_000), default=DEFAULT_LIMIT, show_default=True, help="Maximum number."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
@handle_errors
def show_history(user_id: str, survey: str | None, after: int, limit: int, *, as_json: bool) -> None:
    """Show the events of a session, oldest first: answers, edits, steps back, drafts and changes of the mode.

    \b
    Examples:
      flask sessions history patient-7
      flask sessions history patient-7 --survey intake --after 4 --limit 3
      flask sessions history patient-7 --json | tail -1
      flask sessions history 'patient-7~set-aside-20261124T100000123456'

    Events of a session that was set aside are shown as they are stored.
    """
    if is_set_aside(user_id):
        sessions_set_aside.print_history(user_id, survey, after, limit, as_json=as_json)
        return
    key = _existing_key(user_id, survey)
    audit("history_read", survey_id=key.survey_id, user_id=key.user_id)
    events = _events(key, after, limit)
    if as_json:
        print_jsonl(events)
    else:
        print_table(("VERSION", "TIMESTAMP (UTC)", "ACTION", "STEP", "ANSWER", "DATA"), map(_event_row, events))


def _existing_key(user_id: str, survey: str | None) -> SessionKey:
    key = only_key(user_id, session_keys(user_id, survey))
    if store().queries.load(key) is None:
        raise NoSuchSession(key.survey_id, user_id)
    return key


def _print(snapshot: Snapshot) -> None:
    state, fields = snapshot.state, _to_dict(snapshot)
    fields["progress"] = round(snapshot.progress, 4)
    title = f"  {snapshot.survey.title}" if snapshot.survey is not None else ""
    click.echo(f"{snapshot.key.user_id}  {snapshot.key.survey_id}{title}")
    names = ("status", "current_step", "version", "progress", "created_at", "updated_at", "completed_at")
    mode = "audio" if state.is_audio_mode else "text"
    click.echo("  ".join(f"{name}={fields[name]}" for name in names if fields[name] is not None) + f"  mode={mode}")
    rows = [(step, _prompt(snapshot, step), _answer(snapshot, step, value)) for step, value in state.answers.items()]
    rows += [(step, _prompt(snapshot, step), f"(draft) {_text(value)}") for step, value in state.drafts.items()]
    if rows:
        print_table(("STEP", "PROMPT", "ANSWER"), rows)


def _prompt(snapshot: Snapshot, step_id: str) -> str:
    step = None if snapshot.survey is None else snapshot.survey.step(step_id)
    return "" if step is None else step.prompt


def _answer(snapshot: Snapshot, step_id: str, value: object) -> str:
    """Include the label of its option."""
    step = None if snapshot.survey is None else snapshot.survey.step(step_id)
    label = None if step is None else step.option_label(value)
    return _text(value) if label is None else f"{_text(value)} ({label})"


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _to_dict(snapshot: Snapshot) -> dict[str, Any]:
    fields = snapshot.to_full_dict(store().clock())
    return {**fields, "progress": snapshot.progress, "drafts": dict(snapshot.state.drafts)}


def _events(key: SessionKey, after: int, limit: int) -> Iterator[dict[str, Any]]:
    while limit > 0:
        page = store().queries.history(key, after_version=after, limit=min(limit, EVENTS_A_PAGE))
        yield from (entry.to_dict() | {"data": dict(entry.record.data)} for entry in page)
        limit -= len(page)
        if len(page) < EVENTS_A_PAGE:
            return
        after = page[-1].version


def _event_row(event: dict[str, Any]) -> tuple[str | None, ...]:
    data = ", ".join(f"{name}={_text(value)}" for name, value in event["data"].items() if value not in (None, [], {}))
    answer = "" if event["answer"] is None else _text(event["answer"])
    return str(event["version"]), event["timestamp"], event["action"], event["step"], answer, data

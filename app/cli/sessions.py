"""``flask sessions list``, ``show`` and ``history``."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any

import click

from ..core.installation import COMMAND
from ..errors import NotFound
from ..operations.export import STATUSES
from ..operations.integrity import (
    is_set_aside,
    list_set_aside,
    read_stored_history,
    read_stored_session,
    split_set_aside_id,
)
from ..sessions import Action
from ..survey import SessionKey, Snapshot
from ..survey.types import BaseStep, GridStep
from .group import Time, audit, commands, require_survey, store
from .output import PAGE_SIZE, Columns, pairs, print_json, print_records, print_table, printable, read_pages, text_of

MAX_SESSIONS = 1000  # of one participant

_FIELDS = (
    "user_id",
    "survey_id",
    "status",
    "current_step",
    "version",
    "progress",
    "is_audio_mode",
    "created_at",
    "updated_at",
    "completed_at",
)
_COLUMNS: Columns = {
    "USER": "user_id",
    "SURVEY": "survey_id",
    "STATUS": "status",
    "STEP": "current_step",
    "VERSION": "version",
    "PROGRESS": lambda session: f"{session['progress']:.0%}",
    "UPDATED (UTC)": "updated_at",
}
_SET_ASIDE_COLUMNS = {name: _COLUMNS[name] for name in ("USER", "SURVEY", "VERSION", "UPDATED (UTC)")}
_HISTORY_COLUMNS: Columns = {
    "VERSION": "version",
    "TIMESTAMP (UTC)": "timestamp",
    "ACTION": "action",
    "STEP": "step",
    "ANSWER": "answer",
    "DATA": lambda event: pairs(event["data"]) if isinstance(event["data"], dict) else event["data"],
}

sessions = commands.add_group("sessions", "Sessions of participants.")


@sessions.command("list")
@click.option("--survey", help="Only sessions of this survey.")
@click.option("--status", type=click.Choice(STATUSES), help="Only sessions with this status.")
@click.option("--step", help="Only sessions whose current step this is.")
@click.option("--updated-since", type=Time(), help="Only sessions changed on or after this day or time (UTC).")
@click.option("--user-id-prefix", "prefix", help="Only user ids that begin with this.")
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=50, show_default=True, help="Maximum number.")
@click.option("--all", "is_all", is_flag=True, help="List all sessions.")
@click.option("--set-aside", "is_aside", is_flag=True, help="List unreadable sessions that were set aside.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON Lines.")
def list_sessions(
    limit: int, updated_since: int | None, *, is_all: bool, is_aside: bool, as_json: bool, **options: str | None
) -> None:
    """List sessions in the order of their user ids, or with --updated-since in the order of their last change.

    \b
    Examples:
      %(prog)s sessions list --status in_progress --survey intake --limit 5
      %(prog)s sessions list --user-id-prefix patient-
      %(prog)s sessions list --updated-since 2026-11-01 --all --json > changed.jsonl
      %(prog)s sessions list --set-aside --user-id-prefix patient-7
    """
    if is_aside:
        if updated_since or options["status"] or options["step"]:
            raise click.UsageError("--set-aside can be combined only with --survey and --user-id-prefix")
        audit("sessions_listed", set_aside=1)
        matching = _set_aside(options["prefix"] or "", options["survey"])
    else:
        filters = _filters(options)
        audit("sessions_listed", **filters)
        matching = map(_to_dict, _matching(filters, updated_since))
    listed = islice(matching, None if is_all else limit)
    print_records(listed, _SET_ASIDE_COLUMNS if is_aside else _COLUMNS, as_json=as_json)
    if next(matching, None) is not None:
        click.echo(f"There are more than {limit} sessions: use --limit or --all.", err=True)


@sessions.command("show")
@click.argument("user_id")
@click.option("--survey", help="Only the participant's session of this survey (default: all).")
@click.option("--at-version", type=click.IntRange(min=1), help="The session after this event.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON Lines: one object per session.")
def show(user_id: str, survey: str | None, at_version: int | None, *, as_json: bool) -> None:
    """Show a participant's sessions with their parameters, answers and values.

    \b
    Examples:
      %(prog)s sessions show patient-7
      %(prog)s sessions show patient-7 --survey intake --at-version 4
      %(prog)s sessions show patient-7 --json
      %(prog)s sessions show 'patient-7~set-aside-20261124T100000123456'

    An unreadable session that was set aside is shown as it is stored.
    """
    keys = session_keys(user_id, survey)
    if is_set_aside(user_id):
        if at_version is not None:
            raise click.UsageError("--at-version can't be used with a session that was set aside")
        for key in keys:
            _print_stored(key, as_json=as_json)
        return
    if at_version is not None:
        keys = [_only(keys)]
    for number, key in enumerate(keys):
        queries = store().queries
        snapshot = queries.require(key) if at_version is None else queries.at_version(key, at_version)
        _audit("session_read", key)
        if as_json:
            print_json(_to_full_dict(snapshot))
        else:
            click.echo("\n" * bool(number), nl=False)
            _print(snapshot)


@sessions.command("history")
@click.argument("user_id")
@click.option("--survey", help="The survey, if the participant has sessions of several.")
@click.option(
    "--after", type=click.IntRange(min=0), default=0, show_default=True, help="Only events after this version."
)
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=100, show_default=True, help="Maximum number.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON Lines.")
def show_history(user_id: str, survey: str | None, after: int, limit: int, *, as_json: bool) -> None:
    """Show the events of a session, oldest first: answers, edits, steps back, drafts and changes of the mode.

    \b
    Examples:
      %(prog)s sessions history patient-7
      %(prog)s sessions history patient-7 --survey intake --after 4 --limit 3
      %(prog)s sessions history patient-7 --json | tail -1
      %(prog)s sessions history 'patient-7~set-aside-20261124T100000123456'

    Events of a session that was set aside are shown as they are stored.
    """
    key = _only(session_keys(user_id, survey))
    _audit("history_read", key)
    events = read_stored_history(store(), key, after) if is_set_aside(user_id) else _events(key, after)
    print_records(islice(events, limit), _HISTORY_COLUMNS, as_json=as_json)


def session_keys(user_id: str, survey: str | None) -> list[SessionKey]:
    """Return a participant's sessions, or one set aside; raise NotFound if there are none."""
    if not is_set_aside(user_id):
        store().queries.stored_key(user_id, survey)
    keys = [key for key in store().queries.keys_of_user(user_id, MAX_SESSIONS) if survey in {None, key.survey_id}]
    if not keys:
        where = "" if survey is None else f" of {survey!r}"
        raise NotFound(
            f"{user_id!r} has no session{where}; find user ids with `{COMMAND} sessions list --user-id-prefix`"
        )
    return keys


def _only(keys: Sequence[SessionKey]) -> SessionKey:
    if len(keys) > 1:
        surveys = ", ".join(key.survey_id for key in keys)
        raise click.UsageError(f"{keys[0].user_id!r} has sessions of {surveys}: choose one with --survey")
    return keys[0]


def _audit(action: Action, key: SessionKey) -> None:
    """Record a set-aside session under its participant's user id."""
    user_id, set_aside_at = split_set_aside_id(key.user_id)
    detail = {"set_aside": set_aside_at} if set_aside_at else {}
    audit(action, survey_id=key.survey_id, user_id=user_id, **detail)


def _filters(options: Mapping[str, str | None]) -> dict[str, str]:
    names = {"survey": "survey_id", "status": "status", "step": "current_step", "prefix": "user_id_prefix"}
    filters = {names[name]: value for name, value in options.items() if value is not None}
    if "survey_id" in filters and not next(_matching({"survey_id": filters["survey_id"]}, None), None):
        require_survey(filters["survey_id"])
    return filters


def _matching(filters: Mapping[str, str], updated_since: int | None) -> Iterator[Snapshot]:
    read = partial(store().queries.list, limit=PAGE_SIZE, filters=filters, updated_since=updated_since)
    snapshots = read_pages(lambda after: read(after=after))
    return (snapshot for snapshot in snapshots if not is_set_aside(snapshot.key.user_id))


def _set_aside(prefix: str, survey: str | None) -> Iterator[dict[str, Any]]:
    for row in list_set_aside(store()):
        if row["user_id"].startswith(prefix) and survey in {None, row["survey_id"]}:
            yield row


def _events(key: SessionKey, after: int) -> Iterator[Mapping[str, Any]]:
    while page := store().queries.history(key, after_version=after, limit=PAGE_SIZE):
        yield from store().queries.events_to_dicts(key, page)
        after = page[-1].version


def _print_stored(key: SessionKey, *, as_json: bool) -> None:
    _audit("session_read", key)
    row = read_stored_session(store(), key) or {}  # erased meanwhile
    if as_json:
        print_json(row)
    else:
        print_table(("COLUMN", "VALUE"), ((name, text_of(value)) for name, value in row.items()))


def _print(snapshot: Snapshot) -> None:
    fields = _to_full_dict(snapshot)
    fields["progress"] = round(snapshot.progress, 4)
    title = "" if snapshot.survey is None else f"  {snapshot.filled(snapshot.survey.title)}"
    click.echo(printable(f"{snapshot.key.user_id}  {snapshot.key.survey_id}{title}"))
    names = ("status", "current_step", "version", "progress", "created_at", "updated_at", "completed_at", "language")
    mode = "audio" if snapshot.state.is_audio_mode else "text"
    known = "  ".join(f"{name}={fields[name]}" for name in names if fields[name] is not None)
    click.echo(printable(f"{known}  mode={mode}"))
    if snapshot.state.parameters:
        print_table(("PARAMETER", "VALUE"), _parameter_rows(snapshot))
    print_answers(snapshot)
    if snapshot.values:
        print_table(("VALUE", "RESULT"), ((name, _result(value)) for name, value in snapshot.values.items()))


def _parameter_rows(snapshot: Snapshot) -> Iterator[tuple[str, str]]:
    declared = {} if snapshot.survey is None else snapshot.survey.parameters
    for name, value in snapshot.state.parameters.items():
        step = declared[name].step if name in declared else None
        yield name, _answer_row(snapshot, name, step, value)[2]


def _result(value: object) -> str:
    """Leave out the last digits of arithmetic, which JSON and exports have."""
    if value is None:
        return "null"
    return text_of(float(f"{value:.12g}") if isinstance(value, float) else value)


def print_answers(snapshot: Snapshot) -> None:
    answers, drafts = snapshot.state.answers, snapshot.state.drafts
    rows = [row for step, value in answers.items() for row in _answer_rows(snapshot, step, value)]
    rows += [row for step, value in drafts.items() for row in _answer_rows(snapshot, step, value, "(draft) ")]
    if rows:
        print_table(("STEP", "PROMPT", "ANSWER"), rows)


def _answer_rows(snapshot: Snapshot, step_id: str, value: object, kind: str = "") -> Iterator[tuple[str, str, str]]:
    step = None if snapshot.survey is None else snapshot.survey.step(step_id)
    parts = {} if step is None else {part.id: part for part in step.parts()}
    if parts and isinstance(value, Mapping):
        prefix = f"{step_id}." if isinstance(step, GridStep) else ""
        for name, answer in value.items():
            yield _answer_row(snapshot, f"{prefix}{name}", parts.get(name), answer, kind)
    else:
        yield _answer_row(snapshot, step_id, step, value, kind)


def _answer_row(
    snapshot: Snapshot, name: str, step: BaseStep | None, value: object, kind: str = ""
) -> tuple[str, str, str]:
    label = None if step is None else step.option_label(value)
    text = kind + ("null" if value is None else text_of(value))
    prompt = "" if step is None else snapshot.filled(step.prompt)
    return name, prompt, text if label is None else f"{text} ({snapshot.filled(label)})"


def _to_dict(snapshot: Snapshot) -> dict[str, Any]:
    fields = _to_full_dict(snapshot)
    return {name: fields[name] for name in _FIELDS}


def _to_full_dict(snapshot: Snapshot) -> dict[str, Any]:
    fields = snapshot.to_full_dict(store().clock())
    return {**fields, "progress": snapshot.progress, "drafts": dict(snapshot.state.drafts)}

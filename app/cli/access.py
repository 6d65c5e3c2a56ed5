"""``flask api-keys``, ``flask invitations`` and ``flask audit``: who may come, and who looked at what."""

import functools
import json
from collections.abc import Iterator
from typing import Any

import click
from flask.cli import AppGroup, with_appcontext
from sqlalchemy import Connection

from ..access.principals import SCOPES
from ..access.tokens import DAY_US, new_user_id
from ..core.timestamps import format_timestamp
from ..errors import InvalidInput, NotFound
from ..store import AuditPage, StoredKey, audit
from .output import Days, check_offered, credentials, note, store, table, told

api_keys = AppGroup("api-keys", help="API keys of programs, and of people who sign in to the dashboard.")
invitations = AppGroup("invitations", help="Personal links for participants.")


@api_keys.command("create")
@click.option("--name", required=True, help="Whose it is, e.g. 'clinic import' or a person's name.")
@click.option("--scope", "scopes", multiple=True, required=True, help=f"What it may do: {', '.join(SCOPES)}.")
@click.option("--days", type=Days(), default=None, help="Days until it expires; else never.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@told
def create_key(name: str, scopes: tuple[str, ...], days: float | None, *, as_json: bool) -> None:
    """Make an API key and show it, this once.

    \b
    Examples:
      flask api-keys create --name 'clinic import' --scope sessions:read --scope sessions:write --days 365
    """
    wanted = [scope for given in scopes for scope in given.replace(",", " ").split()]
    expires_at = None if days is None else store().clock() + int(days * DAY_US)
    text = credentials().create_key(name, wanted, expires_at)
    key_id = text.split("_")[1]
    note("key_created", key_id=key_id, scopes=" ".join(wanted))
    if as_json:
        click.echo(json.dumps({"key": text, "id": key_id, "name": name, "scopes": wanted}))
        return
    click.echo(text)
    click.echo("Keep it now: it is shown this once, and only its hash is stored.", err=True)


@api_keys.command("list")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@told
def list_keys(*, as_json: bool) -> None:
    """Show the API keys: whose, what they may do, when last used, until when they hold.

    \b
    Examples:
      flask api-keys list
      flask api-keys list --json
    """
    found = credentials().keys()
    if as_json:
        click.echo(json.dumps([_shown(key) for key in found]))
        return
    rows = [
        (
            f"stepkeep_{key.key_id}_…",
            key.name,
            " ".join(key.scopes),
            format_timestamp(key.last_used_at) or "never",
            _state(key),
        )
        for key in found
    ]
    table(("KEY", "NAME", "SCOPES", "LAST USED", "STATE"), rows)


@api_keys.command("revoke")
@click.argument("key")
@told
def revoke_key(key: str) -> None:
    """Revoke an API key, named by its id (as in `list`) or its whole text; sign-ins with it end.

    Open sockets of it close within seconds.

    \b
    Examples:
      flask api-keys revoke ab12cd34ef56
    """
    parts = key.split("_")
    key_id = parts[1] if key.startswith("stepkeep_") and len(parts) > 1 else key
    if not credentials().revoke_key(key_id):
        raise NotFound(f"no API key {key_id[:20]!r} that holds: see `flask api-keys list`")
    note("key_revoked", key_id=key_id)
    click.echo(f"{key_id} is revoked.")


@invitations.command("create")
@click.argument("survey")
@click.option("--user-id", "user_ids", multiple=True, help="The participant's id; else a random one is made.")
@click.option(
    "--count", type=click.IntRange(1, 100_000), default=1, show_default=True, help="Without --user-id: how many."
)
@click.option("--days", type=Days(), default=None, help="Days that it holds, at most STEPKEEP_TOKEN_DAYS; else these.")
@told
def create_invitations(survey: str, user_ids: tuple[str, ...], count: int, days: float | None) -> None:
    """Print personal links of a survey as CSV: user_id,link,expires_at. Who has a link is that participant.

    \b
    Examples:
      flask invitations create intake --user-id patient-7
      flask invitations create intake --count 100 > links.csv
    """
    sessions = store()
    check_offered(survey)
    base = sessions.settings.public_url
    if not base:
        raise InvalidInput(
            "STEPKEEP_PUBLIC_URL is needed for links: the address of the server, e.g. https://survey.example.org"
        )
    invited = [sessions.queries.key(user_id, survey) for user_id in user_ids or [new_user_id() for _ in range(count)]]
    life_us = None if days is None else int(days * DAY_US)
    for key in invited if user_ids else ():
        note("token_issued", survey_id=survey, user_id=key.user_id)
    if not user_ids:
        note("token_issued", survey_id=survey, count=count)
    click.echo("user_id,link,expires_at")
    for key in invited:
        token, expires_at = credentials().issue_token(key, life_us)
        click.echo(f"{key.user_id},{base}/resume#{token},{format_timestamp(expires_at)}")


@invitations.command("revoke")
@click.argument("survey")
@click.argument("user_id")
@told
def revoke_invitations(survey: str, user_id: str) -> None:
    """Revoke all links and tokens of a participant that there are; the answers stay.

    Open sockets close within seconds. New links can be made.

    \b
    Examples:
      flask invitations revoke intake patient-7
    """
    sessions = store()
    key = sessions.queries.key(user_id, survey)
    if survey not in sessions.catalogue.surveys and sessions.queries.load(key) is None:
        check_offered(survey)  # else a slip of the pen would seem to have revoked something
    credentials().revoke_tokens(key)
    note("tokens_revoked", survey_id=survey, user_id=user_id)
    click.echo(f"The links and tokens of {user_id} in {survey} hold no more.")


@click.command("audit")
@click.option("--limit", type=click.IntRange(1, 100_000), default=100, show_default=True)
@click.option("--user-id", default=None, help="Only what was done about this participant.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@with_appcontext
@told
def show_audit(limit: int, user_id: str | None, *, as_json: bool) -> None:
    """Show who read, exported or erased what, newest first.

    \b
    Examples:
      flask audit
      flask audit --user-id patient-7 --json
    """
    filters = {} if user_id is None else {"user_id": user_id}
    found = list(_entries(limit, filters))
    if as_json:
        for one in found:
            entry = one.entry
            shown = {"id": one.id, "at": format_timestamp(entry.at), "actor": entry.actor, "action": entry.action}
            about = {"survey_id": entry.survey_id, "user_id": entry.user_id, "detail": dict(entry.detail)}
            click.echo(json.dumps(shown | about))
        return
    table(("AT (UTC)", "WHO", "WHAT", "SURVEY", "PARTICIPANT", "DETAIL"), [_audited(one.entry) for one in found])


def _entries(limit: int, filters: dict[str, str]) -> Iterator[audit.RecordedEntry]:
    after: int | None = None
    while limit > 0:
        page = store().run_read(functools.partial(_page, after, min(limit, 1000), filters))
        yield from page.entries
        limit -= len(page.entries)
        after = page.following
        if after is None:
            return


def _page(after: int | None, limit: int, filters: dict[str, str], connection: Connection) -> AuditPage:
    return audit.read_page(connection, after, limit, filters)


def _shown(key: StoredKey) -> dict[str, Any]:
    return {
        "id": key.key_id,
        "name": key.name,
        "scopes": list(key.scopes),
        "created_at": format_timestamp(key.created_at),
        "expires_at": format_timestamp(key.expires_at),
        "last_used_at": format_timestamp(key.last_used_at),
        "revoked_at": format_timestamp(key.revoked_at),
    }


def _audited(entry: audit.AuditEntry) -> tuple[str | None, ...]:
    detail = ", ".join(f"{name}={value}" for name, value in entry.detail.items())
    return format_timestamp(entry.at), entry.actor, entry.action, entry.survey_id, entry.user_id, detail


def _state(key: StoredKey) -> str:
    if key.revoked_at is not None:
        return f"revoked {format_timestamp(key.revoked_at)}"
    if key.expires_at is None:
        return "holds"
    return f"{'holds until' if key.is_valid(store().clock()) else 'expired'} {format_timestamp(key.expires_at)}"

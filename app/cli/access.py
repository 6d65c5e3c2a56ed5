"""``flask api-keys``, ``flask invitations`` and ``flask audit``."""

from collections.abc import Mapping
from itertools import islice
from typing import Any

import click

from ..access import DAY_US, SCOPES, StoredKey, new_user_id
from ..core.timestamps import format_timestamp
from ..errors import InvalidInput, NotFound
from .group import Days, audit, commands, credentials, require_known_survey, require_survey, store
from .output import PAGE_SIZE, Columns, pairs, print_json, print_records, read_pages

api_keys = commands.add_group("api-keys", "API keys, for programs and for signing in to the dashboard.")
invitations = commands.add_group("invitations", "Personal links for participants.")


def _state(key: Mapping[str, Any]) -> str:
    if key["revoked_at"] is not None:
        return f"revoked {key['revoked_at']}"
    if key["expires_at"] is None:
        return "valid"
    is_valid = key["expires_at"] > format_timestamp(store().clock())
    return f"{'valid until' if is_valid else 'expired'} {key['expires_at']}"


_KEY_COLUMNS: Columns = {
    "KEY": lambda key: f"stepkeep_{key['id']}_…",
    "NAME": "name",
    "SCOPES": lambda key: " ".join(key["scopes"]),
    "LAST USED": lambda key: key["last_used_at"] or "never",
    "STATE": _state,
}
_AUDIT_COLUMNS: Columns = {
    "AT (UTC)": "at",
    "ACTOR": "actor",
    "ACTION": "action",
    "SURVEY": "survey_id",
    "USER": "user_id",
    "DETAIL": lambda entry: pairs(entry["detail"]),
}


@api_keys.command("create")
@click.option("--name", required=True, help="Owner or purpose, e.g. 'clinic import'.")
@click.option("--scope", "scopes", multiple=True, required=True, help=f"Repeatable: {', '.join(SCOPES)}.")
@click.option("--days", type=Days(), help="Days until it expires (default: never).")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def create_key(name: str, scopes: tuple[str, ...], days: float | None, *, as_json: bool) -> None:
    """Create an API key and print it; it is shown only once.

    \b
    Examples:
      flask api-keys create --name 'clinic import' --scope sessions:read --scope sessions:write --days 365
    """
    granted = [scope for text in scopes for scope in text.replace(",", " ").split()]
    expires_at = None if days is None else store().clock() + int(days * DAY_US)
    text = credentials().create_key(name, granted, expires_at)
    key_id = text.split("_")[1]
    audit("key_created", key_id=key_id, scopes=" ".join(granted))
    if as_json:
        print_json({"key": text, "id": key_id, "name": name, "scopes": granted})
        return
    click.echo(text)
    click.echo("Save the key now: only its hash is stored.", err=True)


@api_keys.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def list_keys(*, as_json: bool) -> None:
    """List the API keys with their scopes, last use and state.

    \b
    Examples:
      flask api-keys list
      flask api-keys list --json
    """
    print_records(map(_key_to_dict, credentials().keys()), _KEY_COLUMNS, as_json=as_json, is_array=True)


@api_keys.command("revoke")
@click.argument("key")
def revoke_key(key: str) -> None:
    """Revoke an API key, given by its id (see `list`) or its full text, and its sign-ins.

    Open connections that use it are closed within seconds.

    \b
    Examples:
      flask api-keys revoke ab12cd34ef56
    """
    parts = key.split("_")
    key_id = parts[1] if key.startswith("stepkeep_") and len(parts) > 1 else key
    if not credentials().revoke_key(key_id):
        raise NotFound(f"there is no valid API key {key_id[:20]!r}: see `flask api-keys list`")
    audit("key_revoked", key_id=key_id)
    click.echo(f"{key_id} is revoked.")


@invitations.command("create")
@click.argument("survey")
@click.option("--user-id", "user_ids", multiple=True, help="User id of the participant; repeatable (default: random).")
@click.option(
    "--count", type=click.IntRange(1, 100_000), default=1, show_default=True, help="Number of random user ids."
)
@click.option("--days", type=Days(), help="Days until it expires (default and maximum: STEPKEEP_TOKEN_DAYS).")
def create_invitations(survey: str, user_ids: tuple[str, ...], count: int, days: float | None) -> None:
    """Print personal links of a survey as CSV: user_id,link,expires_at.

    Anyone who has a link acts as that participant.

    \b
    Examples:
      flask invitations create intake --user-id patient-7
      flask invitations create intake --count 100 > links.csv
    """
    sessions = store()
    require_survey(survey)
    base = sessions.settings.public_url
    if not base:
        raise InvalidInput("links require STEPKEEP_PUBLIC_URL, the server's address, e.g. https://survey.example.org")
    keys = [sessions.queries.key(user_id, survey) for user_id in user_ids or [new_user_id() for _ in range(count)]]
    life_us = None if days is None else int(days * DAY_US)
    for key in keys if user_ids else ():
        audit("token_issued", survey_id=survey, user_id=key.user_id)
    if not user_ids:
        audit("token_issued", survey_id=survey, count=count)
    click.echo("user_id,link,expires_at")
    for key in keys:
        token, expires_at = credentials().issue_token(key, life_us)
        click.echo(f"{key.user_id},{base}/resume#{token},{format_timestamp(expires_at)}")


@invitations.command("revoke")
@click.argument("survey")
@click.argument("user_id")
def revoke_invitations(survey: str, user_id: str) -> None:
    """Revoke all links and tokens of a participant; answers are kept, and new links can be created.

    Open connections are closed within seconds.

    \b
    Examples:
      flask invitations revoke intake patient-7
    """
    key = store().queries.stored_key(user_id, survey)
    require_known_survey(user_id, survey)
    credentials().revoke_tokens(key)
    audit("tokens_revoked", survey_id=survey, user_id=user_id)
    click.echo(f"All links and tokens of {user_id} in {survey} are revoked.")


@commands.command("audit")
@click.option("--limit", type=click.IntRange(1, 100_000), default=100, show_default=True)
@click.option("--user-id", help="Only entries about this participant.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON Lines: one object per entry.")
def show_audit(limit: int, user_id: str | None, *, as_json: bool) -> None:
    """Show the audit log: who read, exported or erased what, newest first.

    \b
    Examples:
      flask audit
      flask audit --user-id patient-7 --json
    """
    filters = {} if user_id is None else {"user_id": user_id}
    entries = read_pages(lambda after: store().audit_log.page(after, min(limit, PAGE_SIZE), filters))
    print_records((entry.to_dict() for entry in islice(entries, limit)), _AUDIT_COLUMNS, as_json=as_json)


def _key_to_dict(key: StoredKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "scopes": list(key.scopes),
        "created_at": format_timestamp(key.created_at),
        "expires_at": format_timestamp(key.expires_at),
        "last_used_at": format_timestamp(key.last_used_at),
        "revoked_at": format_timestamp(key.revoked_at),
    }

"""``flask api-keys``, ``flask invitations`` and ``flask audit``."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from typing import Any

import click

from ..access import DAY_US, INVITATION, SCOPES, StoredKey, new_user_id
from ..core.installation import COMMAND
from ..core.timestamps import format_timestamp
from ..errors import InvalidInput, NotFound
from ..operations.integrity import verify_audit_log
from ..operations.maintenance import purge_audit_log
from ..survey import Survey, accept_invitation, parse_parameters
from .group import CommandGroup, Days, Time, audit, commands, credentials, require_known_survey, require_survey, store
from .output import PAGE_SIZE, Columns, pairs, print_json, print_records, progress, read_pages

api_keys = commands.add_group("api-keys", "API keys, for programs and for signing in to the dashboard.")
invitations = commands.add_group("invitations", "Personal links for participants.")

KEY_DAYS = 365.0  # an API key's life unless another is requested


def _state(key: Mapping[str, Any]) -> str:
    if key["revoked_at"] is not None:
        return f"revoked {key['revoked_at']}"
    if key["expires_at"] is None:
        return "valid, never expires"
    is_valid = key["expires_at"] > format_timestamp(store().clock())
    return f"{'valid until' if is_valid else 'expired'} {key['expires_at']}"


_KEY_COLUMNS: Columns = {
    "KEY": lambda key: f"stepkeep_{key['id']}_…",
    "NAME": "name",
    "SCOPES": lambda key: " ".join(key["scopes"]),
    "SURVEYS": lambda key: "all" if key["surveys"] is None else " ".join(key["surveys"]),
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
@click.option("--survey", "surveys", multiple=True, help="Id of a survey to which it is limited; repeatable.")
@click.option("--days", type=Days(), help=f"Days until it expires.  [default: {KEY_DAYS:g}]")
@click.option("--never-expires", is_flag=True, help="Create a key without expiry.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def create_key(
    name: str,
    scopes: tuple[str, ...],
    surveys: tuple[str, ...],
    days: float | None,
    *,
    never_expires: bool,
    as_json: bool,
) -> None:
    """Create an API key and print it; it is shown only once.

    \b
    Examples:
      %(prog)s api-keys create --name 'clinic import' --scope sessions:read --scope sessions:write --days 90
      %(prog)s api-keys create --name 'ward 3' --scope sessions:read,export --survey phq9 --survey intake
    """
    if never_expires and days is not None:
        raise click.UsageError("--days and --never-expires exclude each other.")
    for survey in surveys:
        if not store().queries.stored_revisions(survey):  # its data may outlive its file
            require_survey(survey)
    granted = [scope for text in scopes for scope in text.replace(",", " ").split()]
    expires_at = None if never_expires else store().clock() + int((days or KEY_DAYS) * DAY_US)
    text = credentials().create_key(name, granted, expires_at, surveys or None)
    key_id = text.split("_")[1]
    audit("key_created", key_id=key_id, scopes=" ".join(granted), **({"surveys": " ".join(surveys)} if surveys else {}))
    if as_json:
        limits = {"surveys": list(surveys) or None, "expires_at": format_timestamp(expires_at)}
        print_json({"key": text, "id": key_id, "name": name, "scopes": granted, **limits})
        return
    click.echo(text)
    life = "It never expires." if expires_at is None else f"It expires at {format_timestamp(expires_at)}."
    click.echo(f"Save the key now: only its hash is stored. {life}", err=True)


@api_keys.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def list_keys(*, as_json: bool) -> None:
    """List the API keys with their scopes, last use and state.

    \b
    Examples:
      %(prog)s api-keys list
      %(prog)s api-keys list --json
    """
    print_records(map(_key_to_dict, credentials().keys()), _KEY_COLUMNS, as_json=as_json, is_array=True)


@api_keys.command("revoke")
@click.argument("key")
def revoke_key(key: str) -> None:
    """Revoke an API key, given by its id (see `list`) or its full text, and its sign-ins.

    Open connections that use it are closed within seconds.

    \b
    Examples:
      %(prog)s api-keys revoke ab12cd34ef56
    """
    parts = key.split("_")
    key_id = parts[1] if key.startswith("stepkeep_") and len(parts) > 1 else key
    if not credentials().revoke_key(key_id):
        raise NotFound(f"there is no valid API key {key_id[:20]!r}: see `{COMMAND} api-keys list`")
    audit("key_revoked", key_id=key_id)
    click.echo(f"{key_id} is revoked.")


@invitations.command("create")
@click.argument("survey")
@click.option("--user-id", "user_ids", multiple=True, help="User id of the participant; repeatable (default: random).")
@click.option(
    "--count", type=click.IntRange(1, 100_000), default=1, show_default=True, help="Number of random user ids."
)
@click.option("--days", type=Days(), help="Days until it expires (default and maximum: STEPKEEP_TOKEN_DAYS).")
@click.option(
    "--set",
    "texts",
    multiple=True,
    metavar="NAME=VALUE",
    help="A parameter of the survey with `from: invitation`, signed into the links; repeatable.",
)
def create_invitations(
    survey: str, user_ids: tuple[str, ...], count: int, days: float | None, texts: tuple[str, ...]
) -> None:
    """Print personal links of a survey as CSV: user_id,link,expires_at.

    Anyone who has a link acts as that participant.

    \b
    Examples:
      %(prog)s invitations create intake --user-id patient-7
      %(prog)s invitations create intake --count 100 > links.csv
      %(prog)s invitations create intake --user-id patient-7 --set first_name=Ada
    """
    sessions = store()
    parameters = _invitation_parameters(require_survey(survey), texts)
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
        token, expires_at = credentials().issue_token(key, life_us, mark=INVITATION, parameters=parameters)
        click.echo(f"{key.user_id},{base}/resume#{token},{format_timestamp(expires_at)}")


def _invitation_parameters(survey: Survey, texts: Sequence[str]) -> dict[str, Any]:
    given: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or name in given:
            raise click.UsageError(f"--set {text}: write NAME=VALUE, and each name once.")
        given[name] = value
    return accept_invitation(survey.parameters, parse_parameters(survey.parameters, given))


@invitations.command("revoke")
@click.argument("survey")
@click.argument("user_id")
def revoke_invitations(survey: str, user_id: str) -> None:
    """Revoke all links and tokens of a participant; answers are kept, and new links can be created.

    Open connections are closed within seconds.

    \b
    Examples:
      %(prog)s invitations revoke intake patient-7
    """
    key = store().queries.stored_key(user_id, survey)
    require_known_survey(user_id, survey)
    credentials().revoke_tokens(key)
    audit("tokens_revoked", survey_id=survey, user_id=user_id)
    click.echo(f"All links and tokens of {user_id} in {survey} are revoked.")


class _AuditGroup(CommandGroup):
    """Runs ``list`` if no command is named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        is_named = bool(args) and (args[0] in self.commands or args[0] in ctx.help_option_names)
        return super().parse_args(ctx, args if is_named else ["list", *args])


audit_commands = _AuditGroup("audit", help="The audit log: who read, exported or erased what.")
commands.add_command(audit_commands)


@audit_commands.command("list")
@click.option("--limit", type=click.IntRange(1, 100_000), default=100, show_default=True)
@click.option("--user-id", help="Only entries about this participant.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON Lines: one object per entry.")
def show_audit(limit: int, user_id: str | None, *, as_json: bool) -> None:
    """Show the audit log: who read, exported or erased what, newest first; `%(prog)s audit` is short for it.

    \b
    Examples:
      %(prog)s audit list
      %(prog)s audit list --user-id patient-7 --json
    """
    filters = {} if user_id is None else {"user_id": user_id}
    entries = read_pages(lambda after: store().audit_log.page(after, min(limit, PAGE_SIZE), filters))
    print_records((entry.to_dict() for entry in islice(entries, limit)), _AUDIT_COLUMNS, as_json=as_json)


@audit_commands.command("verify")
@click.option("--expect", "expected", help="NUMBER:LINK that an earlier check printed: the chain must contain it.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def verify_audit(expected: str | None, *, as_json: bool) -> None:
    """Check the hash chain of the audit log, and name the first entry that was changed, removed or moved.

    Read-only; the server can keep running. The exit code is 1 if something is wrong. It needs SECRET_KEY, and those
    with which older entries were made in STEPKEEP_SECRET_KEY_FALLBACKS. Keep the printed link on another machine: a
    whole database that was set back to an earlier state is only noticed with --expect.

    \b
    Examples:
      %(prog)s audit verify
      %(prog)s audit verify --expect 1204:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    """
    with progress("Verifying") as show:
        check = verify_audit_log(store(), expected=expected, progress=show)
    if as_json:
        print_json(asdict(check))
    else:
        click.echo(f"{check.entries} entries are in the chain, {check.erased} of them about erased participants.")
        if check.purged:
            click.echo(f"{check.purged} of them were removed by `{COMMAND} audit purge`.")
        if check.unchained:
            click.echo(
                f"{check.unchained} entries are from before the chain began: nothing shows if they were changed."
            )
        if check.unkeyed:
            click.echo(f"{check.unkeyed} entries were made without SECRET_KEY: anyone could have made them.")
        if check.newest and check.problem is None:
            click.echo(f"Newest: {check.newest}")
    if check.problem is not None:
        click.echo(f"Not intact: {check.problem}.", err=True)
        raise click.exceptions.Exit(1)


@audit_commands.command("purge")
@click.option("--before", type=Time(), required=True, help="Remove entries from before this day or time (UTC).")
@click.option("--yes", is_flag=True, help="Don't ask for confirmation.")
def purge_audit(before: int, *, yes: bool) -> None:
    """Remove the oldest entries of the audit log; new ones record it, and from where `%(prog)s audit verify` goes on.

    Deleted by other means, they would make the log not intact. The server can keep running.

    \b
    Examples:
      %(prog)s audit purge --before 2024-01-01
    """
    if not yes:
        click.confirm(f"Permanently remove the entries before {format_timestamp(before)}?", abort=True, err=True)
    click.echo(f"{purge_audit_log(store(), before)} entries were removed.")


def _key_to_dict(key: StoredKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "scopes": list(key.scopes),
        "surveys": None if key.surveys is None else list(key.surveys),
        "created_at": format_timestamp(key.created_at),
        "expires_at": format_timestamp(key.expires_at),
        "last_used_at": format_timestamp(key.last_used_at),
        "revoked_at": format_timestamp(key.revoked_at),
    }

"""``flask demo``: sessions that nobody had, to look at the program, to show it and to measure it."""

import time

import click
from flask.cli import AppGroup

from ..operations.demo import DemoPlan, clear, count, fill
from .output import progress, store, told

demo = AppGroup("demo", help="Sessions that nobody had: to try the program, to show it, to measure it.")


@demo.command("fill")
@click.option("--sessions", type=click.IntRange(1, 10_000_000), default=100_000, show_default=True, help="How many.")
@click.option(
    "--days", type=click.IntRange(1, 3650), default=60, show_default=True, help="Over how many days, up to now."
)
@click.option("--survey", "surveys", multiple=True, help="Only of this survey (again for more); else of all.")
@click.option(
    "--seed", type=click.IntRange(0, 10**9), default=1, show_default=True, help="Other sessions with another."
)
@click.option("--yes", is_flag=True, help="Also into a database that has sessions of people.")
@told
def fill_in(sessions: int, days: int, surveys: tuple[str, ...], seed: int, *, yes: bool) -> None:
    """Make sessions as people would have left them: arrivals, typing, pauses, edits, drop-outs, expiry.

    Their user ids begin with demo-, and `flask demo clear` erases them again.

    \b
    Examples:
      flask demo fill --sessions 2000 --days 14
      flask demo fill --survey phq9 --seed 7
    """
    plan = DemoPlan(sessions=sessions, days=days, surveys=surveys or None, seed=seed, until=store().clock())
    began = time.monotonic()
    with progress("Answering") as show:
        done = fill(store(), plan, is_shared=yes, progress=show)
    took_s = max(time.monotonic() - began, 0.001)
    click.echo(f"{done.sessions} sessions, {done.turns} turns: {done.sessions / took_s:.0f} sessions a second.")


@demo.command("clear")
@click.option("--yes", is_flag=True, help="Don't ask.")
@told
def clear_out(*, yes: bool) -> None:
    """Erase the sessions that `flask demo fill` made, and no others.

    \b
    Examples:
      flask demo clear --yes
    """
    found = count(store())
    if found and not yes and not click.confirm(f"Erase {found} sessions of demo data?", err=True):
        raise click.Abort
    with progress("Erasing") as show:
        erased = clear(store(), progress=show)
    click.echo(f"{erased} session{'' if erased == 1 else 's'} of demo data erased.")

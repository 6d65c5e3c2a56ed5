"""``flask demo``."""

import time

import click

from ..operations.demo import DemoPlan, clear_demo, count_demo, fill_demo
from .group import commands, store
from .output import counted, progress

demo = commands.add_group("demo", "Simulated sessions, to try the program, to show it and to measure it.")


@demo.command("fill")
@click.option(
    "--sessions", type=click.IntRange(1, 10_000_000), default=100_000, show_default=True, help="Number of sessions."
)
@click.option(
    "--days", type=click.IntRange(1, 3650), default=60, show_default=True, help="Period of their start, up to now."
)
@click.option("--survey", "surveys", multiple=True, help="Only this survey; repeatable (default: all).")
@click.option("--seed", type=click.IntRange(0, 10**9), default=1, show_default=True, help="Seed of the random numbers.")
@click.option("--yes", is_flag=True, help="Fill a database that has sessions of participants.")
def create_sessions(sessions: int, days: int, surveys: tuple[str, ...], seed: int, *, yes: bool) -> None:
    """Create sessions as participants would have left them, with typing, pauses, edits, drop-outs and expiry.

    Their user ids begin with demo-; `%(prog)s demo clear` erases them.

    \b
    Examples:
      %(prog)s demo fill --sessions 2000 --days 14
      %(prog)s demo fill --survey phq9 --seed 7
    """
    plan = DemoPlan(sessions=sessions, days=days, surveys=surveys or None, seed=seed, until=store().clock())
    started = time.monotonic()
    with progress("Answering") as show:
        turns = fill_demo(store(), plan, is_shared=yes, progress=show)
    took_s = max(time.monotonic() - started, 0.001)
    click.echo(f"{sessions} sessions, {turns} turns: {sessions / took_s:.0f} sessions a second.")


@demo.command("clear")
@click.option("--yes", is_flag=True, help="Don't ask for confirmation.")
def erase_sessions(*, yes: bool) -> None:
    """Erase the sessions that `%(prog)s demo fill` created, and no others.

    \b
    Examples:
      %(prog)s demo clear --yes
    """
    total = count_demo(store())
    if total and not yes:
        click.confirm(f"Erase {total} demo sessions?", abort=True, err=True)
    with progress("Erasing") as show:
        erased = clear_demo(store(), progress=show)
    click.echo(f"{counted(erased, 'demo session')} erased.")

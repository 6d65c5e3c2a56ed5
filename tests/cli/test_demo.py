"""``flask demo``: fill and clear, with their output and refusals."""

from flask.testing import FlaskCliRunner

from app.sessions.service import SessionStore
from app.survey.commands import Begin
from app.survey.snapshot import SessionKey


def test_fill_prints_counts_and_clear_asks_for_confirmation(run: FlaskCliRunner) -> None:
    """Without confirmation nothing is erased."""
    done = run.invoke(args=["demo", "fill", "--sessions", "20", "--days", "7", "--survey", "phq9"])
    assert done.exit_code == 0
    assert done.output.startswith("20 sessions, ")
    assert run.invoke(args=["demo", "clear"], input="n\n").exit_code == 1
    assert "20 demo sessions erased" in run.invoke(args=["demo", "clear", "--yes"]).output
    assert run.invoke(args=["demo", "clear"]).output == "0 demo sessions erased.\n"


def test_database_with_real_participants_is_refused(store: SessionStore, run: FlaskCliRunner) -> None:
    """The exit code is 1, unless --yes is given."""
    store.turns.submit(SessionKey("phq9", "ann"), Begin(at=store.clock()))
    refused = run.invoke(args=["demo", "fill", "--sessions", "5"])
    assert (refused.exit_code, "sessions of participants" in refused.output) == (1, True)
    assert run.invoke(args=["demo", "fill", "--sessions", "5", "--yes"]).exit_code == 0
    run.invoke(args=["demo", "clear", "--yes"])
    assert store.queries.load(SessionKey("phq9", "ann")) is not None

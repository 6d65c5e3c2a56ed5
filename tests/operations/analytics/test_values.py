"""Computed values in analytics."""

from app.core import strict_json
from app.operations.analytics import Filters, csv_files, report_to_dict, summarize
from app.survey import commands
from app.survey.definition import parse_definition
from app.survey.snapshot import SessionKey
from app.web.rest.analytics import Analytics
from tests.operations.analytics.conftest import Opened
from tests.operations.analytics.random_sessions import STARTED_AT, survey_with

VALUES = {
    "total": "answers.S0 * 2",
    "band": 'values.total > 4 ? "high" : "low"',
    "is_high": "values.total > 4",
    "said": "answers.S1",
}


def test_values_of_completed_sessions_are_counted(opened: Opened) -> None:
    """Without texts that the survey does not name; filters select them as answers."""
    document = strict_json.decode(survey_with("scored", ["number", "text"]).definition)
    store = opened(
        parse_definition(strict_json.encode({**document, "title": "Scored {{ today }}", "values": VALUES}), "t")
    )
    for user, answers in (("ann", (1, "secret")), ("ben", (3, "mine")), ("cid", (2,)), ("dan", ())):
        key = SessionKey("scored", user)
        store.turns.submit(key, commands.Begin(at=STARTED_AT, is_audio_mode=user == "ben"))
        for number, value in enumerate(answers):
            store.turns.submit(key, commands.Answer(at=STARTED_AT, step=f"S{number}", value=value))
    summary = summarize(store, "scored")
    Analytics.model_validate({"success": True, **summary})
    assert summary["title"] == "Scored [today]"
    total, band, is_high, said = (value["answers"] for value in summary["values"])
    assert [value["kind"] for value in summary["values"]] == ["number", "text", "boolean", "text"]
    assert (total["count"], total["numbers"]["mean"], total["distribution"]) == (2, 4, None)
    assert {bar["label"]: bar["count"] for bar in band["distribution"]} == {"high": 1, "low": 1}
    assert [(bar["value"], bar["count"]) for bar in is_high["distribution"]] == [(True, 1), (False, 1)]
    assert [(bar["value"], bar["count"]) for bar in said["distribution"]] == [(None, 2)]
    (of_ben,) = (
        value["answers"]["numbers"] for value in summarize(store, "scored", Filters(mode="audio"))["values"][:1]
    )
    assert of_ben["mean"] == 6
    headings = [table.heading for table in report_to_dict(summary)["answers"]]
    assert headings[-4:] == ["Value total", "Value band", "Value is_high", "Value said"]
    files = csv_files(summary)
    assert files["values.csv"].splitlines()[1] == "total,number,2,0,2,6,4.0,4.0"
    assert "band,high,high,1,0.5" in files["value_counts.csv"]
    assert "secret" not in "".join(files.values())

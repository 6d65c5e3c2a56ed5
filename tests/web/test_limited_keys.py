"""API keys and sign-ins that are limited to surveys: they see nothing of others, nor whether these exist."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import SHIPPED, Servers
from tests.web.production import SITE, App, production_app_on

HOOK = {"url": "https://receiver.test/hook", "events": ["session.completed"]}


@pytest.fixture(scope="module")
def app(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """The application with a session of ``ada`` in each survey."""
    with production_app_on("sqlite", servers, tmp_path_factory.mktemp("limited")) as app:
        for survey_id in ("phq9", "intake", "closed"):
            app.begin_session("ada", survey_id)
        yield app


def get(app: App, path: str, key: str) -> Any:
    answer = app.request("GET", path, key)
    assert answer.status_code == 200, answer.text
    return answer.json


def test_limited_key_lists_sessions_of_its_surveys(app: App) -> None:
    """Page by page; another survey is refused whether or not it exists."""
    one, two = app.create_key(surveys=["phq9"]), app.create_key(surveys=["phq9", "closed"])

    def listed(path: str, key: str) -> list[str]:
        page = get(app, path, key)
        found = [session["survey_id"] for session in page["sessions"]]
        return found + (listed(f"/api/sessions?limit=1&after={page['next']}", key) if page["next"] else [])

    assert listed("/api/sessions?limit=1", one) == ["phq9"]
    assert listed("/api/sessions?limit=1", two) == ["closed", "phq9"]
    assert listed("/api/sessions?survey=closed", two) == ["closed"]
    since = get(app, "/api/sessions?updated_since=2020-01-01", one)
    assert [session["survey_id"] for session in since["sessions"]] == ["phq9"]
    refused = [app.request("GET", f"/api/sessions?survey={survey}", one) for survey in ("intake", "absent")]
    assert [answer.status_code for answer in refused] == [403, 403]
    assert refused[0].json["detail"] == refused[1].json["detail"] == "The API key is limited to surveys: phq9."


def test_limited_key_reads_sessions_of_its_surveys(app: App) -> None:
    """Without ``survey`` in its only one."""
    key = app.create_key(surveys=["intake"])
    assert get(app, "/api/session/ada", key)["session"]["survey_id"] == "intake"
    assert get(app, "/api/session/ada?survey=intake", key)["session"]["survey_id"] == "intake"
    for survey_id in ("phq9", "closed", "absent"):
        assert app.request("GET", f"/api/session/ada?survey={survey_id}", key).status_code == 403
    several = app.create_key(surveys=["intake", "closed"])
    assert app.request("GET", "/api/session/ada", several).status_code == 403


def test_limited_key_exports_a_participant_of_its_surveys(app: App) -> None:
    unlimited, limited = app.create_key(), app.create_key(surveys=["intake"])
    everything = json.loads(app.request("GET", "/api/session/ada/export", unlimited).text)
    assert {session["survey_id"] for session in everything["sessions"]} == {"phq9", "intake", "closed"}
    text = app.request("GET", "/api/session/ada/export", limited).text
    assert {session["survey_id"] for session in json.loads(text)["sessions"]} == {"intake"}
    assert "phq9" not in text


def test_limited_key_sees_closed_surveys_that_are_its_own(app: App) -> None:
    """Public ones are open to all."""
    for surveys, expected in ((["phq9"], {*SHIPPED}), (["closed"], {*SHIPPED, "closed"})):
        key = app.create_key(surveys=surveys)
        assert {survey["id"] for survey in get(app, "/api/surveys", key)["surveys"]} == expected
        is_own = surveys == ["closed"]
        assert app.request("GET", "/api/surveys/closed", key).status_code == (200 if is_own else 404)
        invited = app.request("POST", "/api/surveys/closed/participants", key)
        assert invited.status_code == (201 if is_own else 404)


def test_limited_key_sees_webhooks_of_its_surveys(app: App) -> None:
    """Others are as unknown as those that do not exist; it adds none for all surveys."""
    unlimited, limited = app.create_key("webhooks"), app.create_key("webhooks", surveys=["phq9"])
    added = {
        survey_id: app.request("POST", "/api/webhooks", unlimited, json={**HOOK, "survey_id": survey_id}).json
        for survey_id in ("phq9", "intake", None)
    }
    ids = {survey_id: answer["webhook"]["id"] for survey_id, answer in added.items()}
    assert [hook["id"] for hook in get(app, "/api/webhooks", limited)["webhooks"]] == [ids["phq9"]]
    assert len(get(app, "/api/webhooks", unlimited)["webhooks"]) == 3
    for method, path, body in (
        ("GET", "", None),
        ("PATCH", "", {"rotate_secret": True}),
        ("GET", "/deliveries", None),
        ("POST", "/replay", {}),
        ("DELETE", "", None),
    ):
        for foreign in (ids["intake"], ids[None], "wh_0123456789abcdef"):
            answer = app.request(method, f"/api/webhooks/{foreign}{path}", limited, json=body)
            assert (answer.status_code, answer.json["code"]) == (404, "no_such_webhook")
            assert answer.json["detail"].startswith(f"Webhook '{foreign}' does not exist.")
        assert app.request(method, f"/api/webhooks/{ids['phq9']}{path}", limited, json=body).status_code == 200
    assert {hook["id"] for hook in get(app, "/api/webhooks", unlimited)["webhooks"]} == {ids["intake"], ids[None]}
    for body in (HOOK, {**HOOK, "survey_id": "intake"}, {**HOOK, "survey_id": "absent"}):
        refused = app.request("POST", "/api/webhooks", limited, json=body)
        assert (refused.status_code, refused.json["detail"]) == (403, "The API key is limited to surveys: phq9.")


def test_limited_key_sees_no_internals(app: App) -> None:
    limited, unlimited = app.create_key(surveys=["phq9"]), app.create_key("metrics")
    assert "checks" not in get(app, "/readyz", limited)
    assert "checks" in get(app, "/readyz", unlimited)
    for path in ("/metrics", "/api/audit"):
        assert app.request("GET", path, limited).status_code == 403


def test_sign_in_has_the_limits_of_its_key(app: App) -> None:
    """On each page of the dashboard, and for REST with its cookie."""
    client = app.flask.test_client()
    key = app.create_key(surveys=["phq9"])
    signed_in = client.post("/sign-in", base_url=SITE, data={"key": key}, headers={"Origin": SITE})
    assert signed_in.status_code == 303
    pages = {path: client.get(path, base_url=SITE) for path in ("/dashboard", "/dashboard/sessions")}
    for page in pages.values():
        assert page.status_code == 200
        assert "phq9" in page.text
        assert "intake" not in page.text
        assert "By invitation only" not in page.text
    for path, foreign in (("surveys/{}", ("intake", "closed", "absent")), ("sessions/{}/ada", ("intake", "absent"))):
        assert client.get(f"/dashboard/{path.format('phq9')}", base_url=SITE).status_code == 200
        refused = [client.get(f"/dashboard/{path.format(survey)}", base_url=SITE) for survey in foreign]
        assert {answer.status_code for answer in refused} == {404}
        assert len({answer.text for answer in refused}) == 1
    for survey_id, status in (("phq9", 200), ("intake", 403), ("absent", 403)):
        assert client.get(f"/api/surveys/{survey_id}/analytics", base_url=SITE).status_code == status
        assert client.get(f"/api/session/ada?survey={survey_id}", base_url=SITE).status_code == status

"""Metrics: they count correctly, are documented, and have no personal data."""

import json
import re
import subprocess
import sys
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy.exc import OperationalError

from app.observability import metrics
from app.sessions.queries import now_us
from app.sessions.service import SessionStore
from app.settings import Settings
from app.store.retry import with_retries
from app.survey.commands import Answer, Begin, Draft, Goto
from app.survey.snapshot import SessionKey
from tests.conftest import ROOT

NAME = re.compile(r"stepkeep_[a-z_]+[a-z]")
DASHBOARD = ROOT / "deploy" / "grafana" / "stepkeep.json"
ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yml"
KEY = SessionKey("phq9", "ada")


class Since:
    """The increase of each metric since the object was created."""

    def __init__(self) -> None:
        self._before = self._now()

    def increase(self, name: str, **labels: str) -> float:
        key = name, tuple(sorted(labels.items()))
        return self._now().get(key, 0.0) - self._before.get(key, 0.0)

    def _now(self) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        samples = (sample for family in metrics.REGISTRY.collect() for sample in family.samples)
        return {(one.name, tuple(sorted(one.labels.items()))): one.value for one in samples}


def exposed_names() -> frozenset[str]:
    """Return the names of all metrics: a counter's with ``_total``."""
    return frozenset(
        f"{family.name}_total" if family.type == "counter" else family.name for family in metrics.REGISTRY.collect()
    )


def test_turns_are_counted_by_outcome(store: SessionStore) -> None:
    since, at = Since(), now_us()
    answer = Answer(at=at, message_id="m-1", step="Q1", value=2)
    store.turns.submit_many([(KEY, Begin(at=at)), (KEY, answer), (KEY, answer)])
    store.turns.submit_many(
        [
            (KEY, Goto(at=at, message_id="m-2", step="nowhere")),
            (KEY, Draft(at=at, step="Q2", value=1)),
            (KEY, Answer(at=at, message_id="m-1", step="Q1", value=3)),
            (KEY, Answer(at=at, message_id="m-3", step="Q2", value=1, expected_version=1)),
        ]
    )
    turns = "stepkeep_turns_total"
    assert since.increase(turns, outcome="accepted", code="") == 3
    assert since.increase(turns, outcome="duplicate", code="") == 1
    assert since.increase(turns, outcome="refused", code="not_current") == 1
    assert since.increase(turns, outcome="failed", code="message_id_reused") == 1
    assert since.increase(turns, outcome="refused", code="version_conflict") == 1
    assert since.increase("stepkeep_version_conflicts_total") == 1
    events = {
        action: since.increase("stepkeep_events_total", action=action) for action in ("started", "answered", "drafted")
    }
    assert events == {"started": 1, "answered": 1, "drafted": 1}
    assert since.increase("stepkeep_turn_seconds_count") == 7
    assert since.increase("stepkeep_batch_turns_sum") == 7
    assert since.increase("stepkeep_batch_turns_count") == since.increase("stepkeep_batch_seconds_count") == 2


def test_failed_batch_counts_each_of_its_turns(store: SessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the error's code; no transaction is counted as committed."""
    since = Since()

    def fail(*_: object) -> None:
        raise OSError

    monkeypatch.setattr(store._connection, "transact", fail)
    store.turns.submit_many([(SessionKey("phq9", f"u-{number}"), Begin(at=now_us())) for number in range(2)])
    assert since.increase("stepkeep_turns_total", outcome="failed", code="internal") == 2
    assert since.increase("stepkeep_batch_seconds_count") == 0


@pytest.mark.parametrize(
    ("text", "reason"),
    [("database is locked", "lock"), ("UNIQUE constraint failed: x", "duplicate_key"), ("gone", "connection")],
)
def test_retries_are_counted_by_reason(text: str, reason: str) -> None:
    """Three attempts are two retries."""
    since = Since()

    def work() -> None:
        raise OperationalError("", None, Exception(text), connection_invalidated=reason == "connection")

    with pytest.raises(OperationalError):
        with_retries(Settings(retry_delay_s=0), work)
    assert since.increase("stepkeep_database_retries_total", reason=reason) == 2


AMOUNTS = st.lists(st.tuples(st.floats(0, 1000), st.integers(1, 50)), max_size=20)


@given(AMOUNTS)
def test_observe_all_equals_single_observations(amounts: list[tuple[float, int]]) -> None:
    together, singly = (metrics.Amounts("x_seconds", "x", registry=CollectorRegistry()) for _ in range(2))
    together.observe_all(amounts)
    for amount, times in amounts:
        for _ in range(times):
            singly.observe(amount)
    actual, expected = (
        [(one.labels, one.value) for one in histogram.collect()[0].samples if "created" not in one.name]
        for histogram in (together, singly)
    )
    assert actual == [(labels, pytest.approx(number)) for labels, number in expected]


def test_exposition_is_parsed_by_prometheus() -> None:
    families = {family.name: family for family in text_string_to_metric_families(metrics.exposition().decode())}
    assert {name.removesuffix("_total") for name in exposed_names()} <= families.keys()
    assert families["stepkeep_turn_seconds"].type == "histogram"


def test_labels_hold_no_personal_data() -> None:
    """Every label has a fixed set of values."""
    labels = {name for collector in set(metrics.REGISTRY._collector_to_names) for name in collector._labelnames}  # type: ignore[attr-defined]  # of every metric
    known = {
        "outcome",
        "code",
        "action",
        "reason",
        "interface",
        "method",
        "route",
        "status",
        "version",
        "schema",
        "database",
    }
    assert labels <= known


def _names_in(text: str) -> set[str]:
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in NAME.findall(text)}


def test_every_metric_is_in_the_documentation() -> None:
    """And docs/observability.md documents no other."""
    page = (ROOT / "docs" / "observability.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(stepkeep_[a-z_]+)` \|", page, re.MULTILINE)) == exposed_names()


def test_dashboard_and_alerts_use_existing_metrics() -> None:
    """The dashboard uses all of them."""
    shown, alerted = DASHBOARD.read_text(encoding="utf-8"), ALERTS.read_text(encoding="utf-8")
    assert _names_in(shown) == exposed_names()
    assert _names_in(alerted) <= exposed_names()


def test_dashboard_panels_have_queries_and_do_not_overlap() -> None:
    board: dict[str, Any] = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    assert {one["name"]: one["type"] for one in board["templating"]["list"]}["datasource"] == "datasource"
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
        assert max(x for x, _ in cells) < 24
        if panel["type"] != "row":
            assert panel["targets"]
            assert all(target["expr"] and target["datasource"]["uid"] == "${datasource}" for target in panel["targets"])
            assert panel["description"]
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


def test_alerts_have_a_severity_and_a_description() -> None:
    (group,) = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]
    names = [rule["alert"] for rule in group["rules"]]
    assert len(names) == len(set(names)) > 5
    for rule in group["rules"]:
        assert rule["labels"]["severity"] in {"page", "ticket"}, rule["alert"]
        assert rule["annotations"].keys() == {"summary", "description"}, rule["alert"]
        assert rule["expr"].count("(") == rule["expr"].count(")")


def test_multiprocess_module_does_not_import_prometheus() -> None:
    """The gunicorn configuration must set the directory first."""
    code = "import sys, app.observability.multiprocess; sys.exit('prometheus_client' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=60, check=False).returncode == 0

"""``/metrics``: who may read it, also while the database is away, and that several processes add up."""

import contextlib
import json
import os
import signal
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from websockets.sync.client import connect

from app.errors import ConfigurationError, DatabaseUnavailable
from app.observability import metrics, multiprocess
from app.settings import Settings
from tests.conftest import SURVEYS, Server, Servers
from tests.databases import create_sqlite
from tests.waiting import wait_for
from tests.web.conftest import running_server
from tests.web.production import App, production_app

Figures = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    """The application in this process, on an empty SQLite file."""
    url = create_sqlite(tmp_path / "metrics.db")
    with production_app(Settings(database_url=url, surveys_dir=SURVEYS)) as app:
        yield app


@pytest.fixture
def unshared(monkeypatch: pytest.MonkeyPatch) -> None:
    """No folder is named in the environment, before and after."""
    monkeypatch.setenv(multiprocess.VARIABLE, "")
    monkeypatch.delenv(multiprocess.VARIABLE)


def figures(text: str) -> Figures:
    samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
    return {(one.name, tuple(sorted(one.labels.items()))): one.value for one in samples}


def read(server: Server) -> Figures:
    with urllib.request.urlopen(f"{server.url}/metrics", timeout=20) as answer:
        return figures(answer.read().decode())


def one(found: Figures, name: str, **labels: str) -> float:
    return found.get((name, tuple(sorted(labels.items()))), 0.0)


def workers_of(server: Server) -> set[int]:
    assert server.process is not None
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text()
    return {int(pid) for pid in children.split()}


def test_processes_add_up(servers: Servers, tmp_path: Path) -> None:
    """Two workers on PostgreSQL: every turn of every connection counts once, whichever worker is asked."""
    shared = tmp_path / "shared"
    with running_server(
        "postgresql", servers, tmp_path, WEB_CONCURRENCY="2", STEPKEEP_METRICS_DIR=str(shared)
    ) as server:
        wait_for(lambda: len(workers_of(server)) == 2, lambda: server.log)
        with contextlib.ExitStack() as stack:
            sockets = [
                stack.enter_context(connect(f"{server.ws_url}/ws/survey/u-{number}?survey=phq9", legacy=True))
                for number in range(12)
            ]
            for number, ws in enumerate(sockets):
                ws.recv(timeout=10)
                for turn in range(5):
                    ws.send(json.dumps({"type": "goto", "id": f"m-{number}-{turn}", "step": "Q1"}))
                    assert json.loads(ws.recv(timeout=10))["type"] == "ack"
            wait_for(lambda: one(read(server), "stepkeep_connections") == 12, lambda: str(read(server)))
            for _ in range(6):  # by whichever worker
                found = read(server)
                assert one(found, "stepkeep_events_total", action="went_to") == 60
                assert one(found, "stepkeep_events_total", action="started") == 12
                assert one(found, "stepkeep_turns_total", outcome="accepted", code="") == 72
                assert one(found, "stepkeep_turn_seconds_count") == 72
        wait_for(lambda: one(read(server), "stepkeep_connections") == 0, lambda: str(read(server)))
        (build,) = [labels for name, labels in read(server) if name == "stepkeep_build_info"]
        assert dict(build)["database"] == "postgresql"
        assert len({file.name.rpartition("_")[2] for file in shared.glob("counter_*.db")}) >= 2


def test_what_a_dead_worker_had_open_counts_no_more(servers: Servers, tmp_path: Path) -> None:
    """Its turns stay; its connections are gone, and a new one counts as ever."""
    with running_server("postgresql", servers, tmp_path, WEB_CONCURRENCY="2") as server:
        wait_for(lambda: len(workers_of(server)) == 2, lambda: server.log)
        with contextlib.ExitStack() as stack:
            for number in range(8):
                ws = stack.enter_context(connect(f"{server.ws_url}/ws/survey/u-{number}?survey=phq9", legacy=True))
                ws.recv(timeout=10)
            wait_for(lambda: one(read(server), "stepkeep_connections") == 8, lambda: str(read(server)))
            before = workers_of(server)
            for pid in before:
                os.kill(pid, signal.SIGKILL)
            wait_for(lambda: not workers_of(server) & before and len(workers_of(server)) == 2, lambda: server.log)
            server.wait_until_it_answers()
            wait_for(lambda: one(read(server), "stepkeep_connections") == 0, lambda: str(read(server)))
            assert one(read(server), "stepkeep_events_total", action="started") == 8
        folder = _folder_of(server)
        assert folder.is_dir()
        server.terminate()
        assert not folder.exists()


def _folder_of(server: Server) -> Path:
    """Return the folder that the server made for its figures."""
    (worker, *_) = workers_of(server)
    maps = Path(f"/proc/{worker}/maps").read_text()
    return Path(next(line.split()[-1] for line in maps.splitlines() if "counter_" in line)).parent


def test_requests_and_errors_are_counted_by_route_and_code(app: App) -> None:
    """By the route, not the path, so that nobody is named and the labels stay few."""
    key = app.create_key("metrics")
    before = figures(app.request("GET", "/metrics", key).text)
    for user in ("ada", "bob"):
        assert app.request("GET", f"/api/session/{user}?survey=phq9").status_code == 401
    app.request("BREW", "/nowhere")
    after = figures(app.request("GET", "/metrics", key).text)

    def grown(name: str, **labels: str) -> float:
        return one(after, name, **labels) - one(before, name, **labels)

    route = "/api/session/<path:user_id>"
    assert grown("stepkeep_requests_total", method="GET", route=route, status="401") == 2
    assert grown("stepkeep_requests_total", method="other", route="none", status="404") == 1
    assert grown("stepkeep_request_seconds_count", method="GET", route=route) == 2
    assert grown("stepkeep_errors_total", interface="http", code="unauthorized") == 2
    assert not [labels for _, labels in after if "'ada'" in str(labels)]


def test_key_that_was_good_reads_on_while_the_database_is_away(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are wanted most then; but not with a key that is unknown, lacks the scope or was revoked."""
    good, other = app.create_key("metrics"), app.create_key("metrics")
    assert app.request("GET", "/metrics", good).status_code == 200
    assert app.request("GET", "/metrics", app.create_key("export")).status_code == 403

    def away(*_: object) -> None:
        raise DatabaseUnavailable("away")

    monkeypatch.setattr(app.store, "run_read", away)
    assert app.request("GET", "/metrics", good).status_code == 200
    assert app.request("GET", "/metrics", other).status_code == 503
    assert app.request("GET", "/metrics", f"{good[:-1]}{'a' if good[-1] != 'a' else 'b'}").status_code == 503
    app.credentials.revocations.add_key(good.split("_")[1])
    assert app.request("GET", "/metrics", good).status_code == 503


def test_key_holds_no_longer_than_it_was_made_for(app: App) -> None:
    """Though it is remembered."""
    key = app.create_key("metrics", expires_at=app.clock() + 60_000_000)
    assert app.request("GET", "/metrics", key).status_code == 200
    app.clock.ahead_us = 61_000_000
    assert app.request("GET", "/metrics", key).status_code == 401


def test_gauges_follow_though_nobody_reads_them(app: App) -> None:
    """Else a process that is not the one that is asked would tell of long ago; closing ends the looking."""
    connections = app.flask.extensions["stepkeep"].connections
    gauges = app.flask.extensions["stepkeep"].gauges
    app.request("GET", "/healthz")
    assert connections.acquire()
    wait_for(lambda: metrics.REGISTRY.get_sample_value("stepkeep_connections") == 1, lambda: "the gauge stands still")
    connections.release()
    wait_for(lambda: metrics.REGISTRY.get_sample_value("stepkeep_connections") == 0, lambda: "the gauge stands still")
    gauges.close()
    assert not gauges._thread.is_alive()


def test_prometheus_asks_by_any_address(app: App) -> None:
    """As a load balancer does; the answer is Prometheus' text and is not to be kept."""
    answer = app.request("GET", "/metrics", app.create_key("metrics"), base_url="http://10.0.0.5:8000")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert answer.headers["Cache-Control"] == "no-store"
    assert app.request("GET", "/metrics", base_url="http://10.0.0.5:8000").status_code == 401


@pytest.mark.usefixtures("unshared")
def test_folder_begins_empty_and_is_left_alone_by_a_reload(tmp_path: Path) -> None:
    """Figures of an earlier server would count for ever; what else is in the folder is somebody else's."""
    folder = tmp_path / "a" / "metrics"
    folder.mkdir(parents=True)
    for name in ("counter_7.db", "gauge_livesum_7.db", "sessions.db"):
        (folder / name).touch()
    settings = Settings(metrics_dir=folder)
    multiprocess.share_metrics(settings)
    assert os.environ[multiprocess.VARIABLE] == str(folder)
    assert (folder / "counter_7.db").exists(), "another server may still run: nothing is known of a lock yet"
    multiprocess.delete_old_metrics(settings)
    assert [file.name for file in folder.iterdir()] == ["sessions.db"]
    (folder / "counter_8.db").touch()
    multiprocess.share_metrics(settings)
    assert (folder / "counter_8.db").exists()


@pytest.mark.usefixtures("unshared")
def test_one_process_needs_no_folder() -> None:
    """Its figures are in its memory; several get a folder that is made for them."""
    multiprocess.share_metrics(Settings())
    assert multiprocess.VARIABLE not in os.environ
    multiprocess.share_metrics(Settings(web_concurrency=2))
    made = Path(os.environ[multiprocess.VARIABLE])
    assert made.is_dir()
    multiprocess.share_metrics(Settings(web_concurrency=2))  # read again: SIGHUP
    multiprocess.delete_temporary_folder()
    assert not made.exists()


@pytest.mark.usefixtures("unshared")
def test_folder_that_can_not_be_used_is_said(tmp_path: Path) -> None:
    """Before a server starts, by the setting's name."""
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match=r"^STEPKEEP_METRICS_DIR: folder .*file/x can't be used"):
        multiprocess.share_metrics(Settings(metrics_dir=tmp_path / "file" / "x"))


def test_faults_are_there_at_nought_and_count(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else Prometheus' increase() would not see the first one; what a client did wrong is none."""
    before = figures(app.request("GET", "/metrics", app.create_key("metrics")).text)
    assert ("stepkeep_internal_errors_total", ()) in before
    assert app.request("GET", "/nowhere").status_code == 404

    def broken() -> None:
        raise ZeroDivisionError

    monkeypatch.setitem(app.flask.view_functions, "health.healthz", broken)
    assert app.request("GET", "/healthz").status_code == 500
    after = figures(app.request("GET", "/metrics", app.create_key("metrics")).text)
    assert one(after, "stepkeep_internal_errors_total") == one(before, "stepkeep_internal_errors_total") + 1

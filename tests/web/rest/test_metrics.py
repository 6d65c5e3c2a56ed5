"""``/metrics``: authorization, also while the database is unavailable, and sums over several processes."""

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
from tests.waiting import START_S, children, wait_for
from tests.web.conftest import running_server
from tests.web.production import App, production_app

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    url = create_sqlite(tmp_path / "metrics.db")
    with production_app(Settings(database_url=url, surveys_dir=SURVEYS)) as app:
        yield app


@pytest.fixture
def no_shared_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unset the variable of the shared directory, before and after."""
    monkeypatch.setenv(multiprocess.VARIABLE, "")
    monkeypatch.delenv(multiprocess.VARIABLE)


def parse_metrics(text: str) -> Samples:
    samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
    return {(sample.name, tuple(sorted(sample.labels.items()))): sample.value for sample in samples}


def read_metrics(server: Server) -> Samples:
    with urllib.request.urlopen(f"{server.url}/metrics", timeout=20) as answer:
        return parse_metrics(answer.read().decode())


def sample_value(samples: Samples, name: str, **labels: str) -> float:
    return samples.get((name, tuple(sorted(labels.items()))), 0.0)


def worker_pids(server: Server) -> set[int]:
    assert server.process is not None
    return set(children(server.process.pid))


def wait_until_all_serve(server: Server, shared: Path) -> None:
    """Wait until each of the two workers has served a request: one that starts later may get no connection."""

    def all_have_counted() -> bool:
        read_metrics(server)
        return {pid for pid in worker_pids(server) if (shared / f"counter_{pid}.db").exists()} == worker_pids(server)

    wait_for(lambda: len(worker_pids(server)) == 2, lambda: server.log)
    wait_for(all_have_counted, lambda: server.log)


def test_metrics_are_summed_over_workers(servers: Servers, tmp_path: Path) -> None:
    """Each turn counts once, whichever worker serves the request."""
    shared = tmp_path / "shared"
    with running_server(
        "postgresql", servers, tmp_path, WEB_CONCURRENCY="2", STEPKEEP_METRICS_DIR=str(shared)
    ) as server:
        wait_until_all_serve(server, shared)
        with contextlib.ExitStack() as stack:
            sockets = [
                stack.enter_context(connect(f"{server.ws_url}/ws/survey/u-{number}?survey=phq9", legacy=True))
                for number in range(12)
            ]
            for number, ws in enumerate(sockets):
                ws.recv(timeout=START_S)
                for turn in range(5):
                    ws.send(json.dumps({"type": "goto", "id": f"m-{number}-{turn}", "step": "Q1"}))
                    assert json.loads(ws.recv(timeout=START_S))["type"] == "ack"
            wait_for(
                lambda: sample_value(read_metrics(server), "stepkeep_connections") == 12,
                lambda: str(read_metrics(server)),
            )
            for _ in range(6):  # by either worker
                samples = read_metrics(server)
                assert sample_value(samples, "stepkeep_events_total", action="went_to") == 60
                assert sample_value(samples, "stepkeep_events_total", action="started") == 12
                assert sample_value(samples, "stepkeep_turns_total", outcome="accepted", code="") == 72
                assert sample_value(samples, "stepkeep_turn_seconds_count") == 72
        wait_for(
            lambda: sample_value(read_metrics(server), "stepkeep_connections") == 0, lambda: str(read_metrics(server))
        )
        (build,) = [labels for name, labels in read_metrics(server) if name == "stepkeep_build_info"]
        assert dict(build)["database"] == "postgresql"


def test_gauges_of_a_dead_worker_are_dropped(servers: Servers, tmp_path: Path) -> None:
    """Its counters stay."""
    with running_server("postgresql", servers, tmp_path, WEB_CONCURRENCY="2") as server:
        wait_for(lambda: len(worker_pids(server)) == 2, lambda: server.log)
        with contextlib.ExitStack() as stack:
            for number in range(8):
                ws = stack.enter_context(connect(f"{server.ws_url}/ws/survey/u-{number}?survey=phq9", legacy=True))
                ws.recv(timeout=START_S)
            wait_for(
                lambda: sample_value(read_metrics(server), "stepkeep_connections") == 8,
                lambda: str(read_metrics(server)),
            )
            before = worker_pids(server)
            for pid in before:
                os.kill(pid, signal.SIGKILL)
            wait_for(lambda: not worker_pids(server) & before and len(worker_pids(server)) == 2, lambda: server.log)
            server.wait_until_it_answers()
            wait_for(
                lambda: sample_value(read_metrics(server), "stepkeep_connections") == 0,
                lambda: str(read_metrics(server)),
            )
            assert sample_value(read_metrics(server), "stepkeep_events_total", action="started") == 8
        folder = _metrics_directory(server)
        assert folder.is_dir()
        server.terminate()
        assert not folder.exists()


def _metrics_directory(server: Server) -> Path:
    """Return the directory that the server created for its metrics."""
    (worker, *_) = worker_pids(server)
    maps = Path(f"/proc/{worker}/maps").read_text()
    return Path(next(line.split()[-1] for line in maps.splitlines() if "counter_" in line)).parent


def test_requests_and_errors_are_counted_by_route_and_code(app: App) -> None:
    """By route, not by path: no user id becomes a label, and the labels stay few."""
    key = app.create_key("metrics")
    before = parse_metrics(app.request("GET", "/metrics", key).text)
    for user in ("ada", "bob"):
        assert app.request("GET", f"/api/session/{user}?survey=phq9").status_code == 401
    app.request("BREW", "/nowhere")
    after = parse_metrics(app.request("GET", "/metrics", key).text)

    def increase(name: str, **labels: str) -> float:
        return sample_value(after, name, **labels) - sample_value(before, name, **labels)

    route = "/api/session/<path:user_id>"
    assert increase("stepkeep_requests_total", method="GET", route=route, status="401") == 2
    assert increase("stepkeep_requests_total", method="other", route="none", status="404") == 1
    assert increase("stepkeep_request_seconds_count", method="GET", route=route) == 2
    assert increase("stepkeep_errors_total", interface="http", code="unauthorized") == 2
    assert not [labels for _, labels in after if "'ada'" in str(labels)]


def test_verified_key_reads_metrics_while_the_database_is_unavailable(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unknown, insufficient or revoked key does not."""
    verified, other = app.create_key("metrics"), app.create_key("metrics")
    assert app.request("GET", "/metrics", verified).status_code == 200
    assert app.request("GET", "/metrics", app.create_key("export")).status_code == 403

    def fail(*_: object) -> None:
        raise DatabaseUnavailable("test")

    monkeypatch.setattr(app.store, "run_read", fail)
    assert app.request("GET", "/metrics", verified).status_code == 200
    assert app.request("GET", "/metrics", other).status_code == 503
    assert app.request("GET", "/metrics", f"{verified[:-1]}{'a' if verified[-1] != 'a' else 'b'}").status_code == 503
    app.credentials.revocations.add_key(verified.split("_")[1])
    assert app.request("GET", "/metrics", verified).status_code == 503


def test_cached_key_expires(app: App) -> None:
    key = app.create_key("metrics", expires_at=app.clock() + 60_000_000)
    assert app.request("GET", "/metrics", key).status_code == 200
    app.clock.ahead_us = 61_000_000
    assert app.request("GET", "/metrics", key).status_code == 401


def test_gauges_are_updated_without_being_read(app: App) -> None:
    """With several processes, one that serves no reads would report old values."""
    connections = app.flask.extensions["stepkeep"].connections
    gauges = app.flask.extensions["stepkeep"].gauges
    app.request("GET", "/healthz")
    with connections.slot("open"):
        wait_for(
            lambda: metrics.REGISTRY.get_sample_value("stepkeep_connections") == 1, lambda: "the gauge was not updated"
        )
    wait_for(
        lambda: metrics.REGISTRY.get_sample_value("stepkeep_connections") == 0, lambda: "the gauge was not updated"
    )
    gauges.close()
    assert not gauges._thread.is_alive()


def test_metrics_are_served_at_any_host(app: App) -> None:
    """As to a load balancer."""
    answer = app.request("GET", "/metrics", app.create_key("metrics"), base_url="http://10.0.0.5:8000")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert answer.headers["Cache-Control"] == "no-store"
    assert app.request("GET", "/metrics", base_url="http://10.0.0.5:8000").status_code == 401


@pytest.mark.usefixtures("no_shared_directory")
def test_directory_is_emptied_at_start_and_kept_at_reload(tmp_path: Path) -> None:
    """Metrics of an earlier server would count for ever; other files are left alone."""
    folder = tmp_path / "a" / "metrics"
    folder.mkdir(parents=True)
    for name in ("counter_7.db", "gauge_livesum_7.db", "sessions.db"):
        (folder / name).touch()
    multiprocess.share_metrics(folder, processes=1)
    assert os.environ[multiprocess.VARIABLE] == str(folder)
    assert (folder / "counter_7.db").exists(), "another server may be running: the lock is not taken yet"
    multiprocess.delete_old_metrics(folder)
    assert [file.name for file in folder.iterdir()] == ["sessions.db"]
    (folder / "counter_8.db").touch()
    multiprocess.share_metrics(folder, processes=1)
    assert (folder / "counter_8.db").exists()


@pytest.mark.usefixtures("no_shared_directory")
def test_single_process_needs_no_directory() -> None:
    """Several processes get a temporary one."""
    multiprocess.share_metrics(None, processes=1)
    assert multiprocess.VARIABLE not in os.environ
    multiprocess.share_metrics(None, processes=2)
    directory = Path(os.environ[multiprocess.VARIABLE])
    assert directory.is_dir()
    multiprocess.share_metrics(None, processes=2)  # read again: SIGHUP
    multiprocess.delete_temporary_folder()
    assert not directory.exists()


@pytest.mark.usefixtures("no_shared_directory")
def test_unusable_directory_raises_configuration_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match=r"^STEPKEEP_METRICS_DIR: folder .*file/x can't be used"):
        multiprocess.share_metrics(tmp_path / "file" / "x", processes=1)


def test_internal_errors_start_at_zero_and_count(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the zero, Prometheus' increase() would miss the first one; client errors do not count."""
    before = parse_metrics(app.request("GET", "/metrics", app.create_key("metrics")).text)
    assert ("stepkeep_internal_errors_total", ()) in before
    assert app.request("GET", "/nowhere").status_code == 404

    def broken() -> None:
        raise ZeroDivisionError

    monkeypatch.setitem(app.flask.view_functions, "health.healthz", broken)
    assert app.request("GET", "/healthz").status_code == 500
    after = parse_metrics(app.request("GET", "/metrics", app.create_key("metrics")).text)
    assert (
        sample_value(after, "stepkeep_internal_errors_total")
        == sample_value(before, "stepkeep_internal_errors_total") + 1
    )

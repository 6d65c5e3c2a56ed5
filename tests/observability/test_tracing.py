"""Traces: their spans and links, no personal data, and a real OTLP export."""

import contextlib
import http.server
import json
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from socket import create_connection
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sqlalchemy.exc import OperationalError
from websockets.sync.client import ClientConnection, connect

from app.errors import ConfigurationError
from app.observability import tracing
from app.settings import Settings
from app.store.drivers import sqlite
from app.store.retry import with_retries
from tests.conftest import ROOT, SURVEYS, Server
from tests.databases import create_sqlite
from tests.waiting import START_S, wait_for
from tests.web.production import App, listening, production_app

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
MARKER = "ANSWER-MARKER-7f3a"


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    """The spans that this process finishes."""
    exporter = InMemorySpanExporter()
    tracing.start(exporter)
    yield exporter
    assert tracing._active is not None
    tracing._active.provider.shutdown()
    tracing._active = None


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    """The application in this process, on an empty SQLite file."""
    url = create_sqlite(tmp_path / "traces.db")
    with production_app(Settings(database_url=url, surveys_dir=SURVEYS)) as app:
        yield app


def named(spans: InMemorySpanExporter, name: str) -> list[ReadableSpan]:
    return [span for span in spans.get_finished_spans() if span.name == name]


@contextlib.contextmanager
def connected(app: App) -> Iterator[ClientConnection]:
    """Connect to a session, which has been shown."""
    with (
        listening(app.flask) as port,
        connect(
            "ws://survey.test/ws/survey/ada?survey=phq9",
            sock=create_connection(("127.0.0.1", port)),
            additional_headers={"Authorization": f"Bearer {app.create_token('ada')}"},
            legacy=True,
        ) as ws,
    ):
        ws.recv(timeout=START_S)
        yield ws


def test_request_continues_the_trace_of_its_caller(app: App, spans: InMemorySpanExporter) -> None:
    """W3C traceparent: the request's span is a child of the caller's, and the parent of its batch."""
    command = {"type": "answer", "id": "m-1", "step": "Q1", "value": 2}
    answer = app.request(
        "POST",
        "/api/session/ada/commands?survey=phq9",
        app.create_token("ada"),
        json=command,
        headers={"traceparent": f"00-{TRACE}-{PARENT}-01"},
    )
    assert answer.status_code == 200
    (request,) = named(spans, "POST /api/session/<path:user_id>/commands")
    assert request.context is not None
    assert request.parent is not None
    assert (f"{request.context.trace_id:032x}", f"{request.parent.span_id:016x}") == (TRACE, PARENT)
    assert dict(request.attributes or {}) == {
        "http.request.method": "POST",
        "http.route": "/api/session/<path:user_id>/commands",
        "http.response.status_code": 200,
    }
    batches = named(spans, "batch")
    assert batches
    for batch in batches:
        assert batch.parent is not None
        assert batch.parent.span_id == request.context.span_id


def test_internal_error_is_recorded_by_its_type_alone(
    app: App, spans: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its message may quote an answer; no span names the participant either."""

    def fail(*_: object) -> None:
        raise ValueError(MARKER)

    monkeypatch.setattr(app.store.queries, "load", fail)
    assert app.request("GET", "/api/session/ada?survey=phq9", app.create_token("ada")).status_code == 500
    (request,) = named(spans, "GET /api/session/<path:user_id>")
    assert (request.attributes or {})["error.type"] == "ValueError"
    assert not request.status.is_ok
    with contextlib.suppress(ValueError), tracing.span("inner"):
        fail()
    assert (named(spans, "inner")[0].attributes or {})["error.type"] == "ValueError"
    exported = " ".join(span.to_json() for span in spans.get_finished_spans())
    assert MARKER not in exported
    assert '"ada"' not in exported


def test_socket_command_is_linked_to_its_batch(app: App, spans: InMemorySpanExporter) -> None:
    """A batch commits many commands, each of which is a trace of its own."""
    with connected(app) as ws:
        ws.send(json.dumps({"type": "answer", "id": "m-1", "step": "Q1", "value": 2}))
        assert json.loads(ws.recv(timeout=START_S))["type"] == "ack"
        wait_for(lambda: bool(named(spans, "socket answer")), lambda: str(spans.get_finished_spans()))
    (command,) = named(spans, "socket answer")
    assert command.context is not None
    linked = [link.context.span_id for batch in named(spans, "batch") for link in batch.links]
    assert command.context.span_id in linked
    assert command.parent is None


def test_socket_command_lasts_until_its_acknowledgement(app: App, spans: InMemorySpanExporter, tmp_path: Path) -> None:
    """Not only until it is queued; here the file is locked for so long that the client is told to wait."""
    with connected(app) as ws:
        with contextlib.closing(sqlite.driver().connect(tmp_path / "traces.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            ws.send(json.dumps({"type": "answer", "id": "m-1", "step": "Q1", "value": 2}))
            assert json.loads(ws.recv(timeout=START_S))["type"] == "pending"
            assert not named(spans, "socket answer")
            other.execute("ROLLBACK")
        assert json.loads(ws.recv(timeout=START_S))["type"] == "ack"
        wait_for(lambda: bool(named(spans, "socket answer")), lambda: str(spans.get_finished_spans()))


def test_unexpected_error_ends_a_span_that_outlives_its_block(spans: InMemorySpanExporter) -> None:
    """Of the first block or the last one; nothing else would end it."""
    with contextlib.suppress(ValueError), tracing.span_start("first"):
        raise ValueError(MARKER)
    with tracing.span_start("last") as ending:
        pass
    with contextlib.suppress(ValueError), ending:
        raise ValueError(MARKER)
    for name in ("first", "last"):
        (span,) = named(spans, name)
        assert (span.attributes or {})["error.type"] == "ValueError"
        assert MARKER not in span.to_json()


def test_retry_is_an_event_of_the_span(spans: InMemorySpanExporter) -> None:
    """With the reason and the number of the next attempt, without the statement."""
    failures = [OperationalError(MARKER, None, Exception("database is locked"))]

    def work() -> str:
        if failures:
            raise failures.pop()
        return "done"

    with tracing.span("batch"):
        assert with_retries(Settings(retry_delay_s=0), work) == "done"
    (event,) = named(spans, "batch")[0].events
    assert (event.name, dict(event.attributes or {})) == ("database retry", {"reason": "lock", "attempt": 2})


def test_opentelemetry_is_not_imported_when_tracing_is_off() -> None:
    code = (
        "import sys; import app.web.factory; from app.observability import tracing\n"
        "with tracing.span('x', links=iter([1])) as set_attribute: set_attribute('a', 1)\n"
        "assert tracing.current() is None\n"
        "with tracing.span_start('x') as ending: pass\n"
        "with ending: pass\n"
        "sys.exit(any(name.startswith('opentelemetry') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=60, check=False).returncode == 0


def test_missing_extra_is_reported_at_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", None)
    with pytest.raises(ConfigurationError, match=r"\.\[tracing\]"):
        tracing.start()
    assert tracing._active is None


class _Collector(http.server.BaseHTTPRequestHandler):
    """An OTLP collector."""

    received: "queue.Queue[ExportTraceServiceRequest]"

    def do_POST(self) -> None:
        """Queue the received spans."""
        request = ExportTraceServiceRequest()
        request.ParseFromString(self.rfile.read(int(self.headers["Content-Length"])))
        self.received.put(request)
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_args: Any) -> None:
        """Log nothing."""


def test_server_exports_its_spans_to_a_collector(tmp_path: Path) -> None:
    """Over OTLP/HTTP, configured by OpenTelemetry's own variables."""
    _Collector.received = queue.Queue()
    receiver = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Collector)
    thread = threading.Thread(target=receiver.serve_forever, daemon=True)
    thread.start()
    environment = {
        "STEPKEEP_TRACING": "true",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{receiver.server_address[1]}",
        "OTEL_BSP_SCHEDULE_DELAY": "50",
        "OTEL_EXPORTER_OTLP_COMPRESSION": "none",
    }
    server = Server(tmp_path, environment=environment)
    try:
        server.start()
        with connect(f"{server.ws_url}/ws/survey/ada?survey=phq9", legacy=True) as ws:
            ws.recv(timeout=START_S)
        found: set[str] = set()
        service = ""
        while not {"GET /healthz", "batch"} <= found:
            request = _Collector.received.get(timeout=20)
            for resource in request.resource_spans:
                service = next(
                    item.value.string_value for item in resource.resource.attributes if item.key == "service.name"
                )
                found |= {span.name for scope in resource.scope_spans for span in scope.spans}
        assert service == "stepkeep"
    finally:
        server.stop()
        receiver.shutdown()
        thread.join()
        receiver.server_close()

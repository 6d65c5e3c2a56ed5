"""Traces by OpenTelemetry: requests, commands of sockets, batches and their retries. Off until :func:`start`.

Anybody may import this module; OpenTelemetry is imported where traces are on, and is in the extra ``tracing``. Where
they go, and how many are kept, OpenTelemetry's own environment says (OTEL_EXPORTER_OTLP_ENDPOINT,
OTEL_TRACES_SAMPLER, OTEL_SERVICE_NAME). No span names a participant or says anything of an answer: of a fault it has
the type, never the text.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from ..errors import ConfigurationError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

Noting = Callable[[str, str | int], None]
"""Adds an attribute to the span; one called ``error.type`` says that it failed."""

_HEADERS = ("traceparent", "tracestate")
"""W3C Trace Context: where a caller says of what trace his request is a part."""


def _note_nothing(_name: str, _value: str | int) -> None:
    """Where no traces are made."""


_NO_SPAN: AbstractContextManager[Noting] = nullcontext(_note_nothing)


class _Tracer:
    """OpenTelemetry's API, with a provider and a tracer of ours."""

    def __init__(self, exporter: SpanExporter | None, *, at_once: bool) -> None:
        self.api = importlib.import_module("opentelemetry.trace")
        self._carrier = importlib.import_module("opentelemetry.trace.propagation.tracecontext")
        sdk = importlib.import_module("opentelemetry.sdk.trace")
        export = importlib.import_module("opentelemetry.sdk.trace.export")
        resources = importlib.import_module("opentelemetry.sdk.resources")
        if exporter is None:
            over_http = importlib.import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
            exporter = over_http.OTLPSpanExporter()
        own = {} if os.environ.get("OTEL_SERVICE_NAME") else {"service.name": "stepkeep"}
        named = resources.Resource.create(own)
        self._provider = sdk.TracerProvider(resource=named)
        send = export.SimpleSpanProcessor if at_once else export.BatchSpanProcessor
        self._provider.add_span_processor(send(exporter))
        self._tracer = self._provider.get_tracer("stepkeep")

    @contextmanager
    def span(
        self, name: str, kind: str, links: Iterable[Any], headers: Mapping[str, str] | None, said: Mapping[str, Any]
    ) -> Iterator[Noting]:
        """Make a span of what the block does."""
        context = None if headers is None else self._carrier.TraceContextTextMapPropagator().extract(headers)
        linked = [self.api.Link(one) for one in links if one is not None]
        with self._tracer.start_as_current_span(
            name,
            context=context,
            kind=self.api.SpanKind[kind],
            links=linked,
            attributes=dict(said),
            record_exception=False,  # its text may quote an answer
            set_status_on_exception=False,
        ) as made:

            def noted(name: str, value: str | int) -> None:
                made.set_attribute(name, value)
                if name == "error.type":
                    made.set_status(self.api.StatusCode.ERROR)

            try:
                yield noted
            except Exception as error:
                noted("error.type", type(error).__name__)
                raise

    def here(self) -> object | None:
        """Return what names the span that is under way; None where none is."""
        found = self.api.get_current_span().get_span_context()
        return found if found.is_valid else None

    def note(self, what: str, said: Mapping[str, str | int]) -> None:
        """Add an event to the span that is under way."""
        self.api.get_current_span().add_event(what, dict(said))

    def stop(self) -> None:
        """Send what was not sent yet."""
        self._provider.shutdown()


_active: _Tracer | None = None


def start(exporter: SpanExporter | None = None) -> None:
    """Make traces from now on, in this process; once more changes nothing.

    Args:
        exporter: takes the spans, each as it ends; None sends them over HTTP in the background, as the environment
            says where.

    Raises:
        ConfigurationError: OpenTelemetry is not installed.
    """
    global _active  # noqa: PLW0603 - one a process, as the log is
    if _active is not None:
        return
    try:
        _active = _Tracer(exporter, at_once=exporter is not None)
    except ImportError as error:
        raise ConfigurationError(
            "STEPKEEP_TRACING wants OpenTelemetry: install stepkeep with its extra `tracing` "
            "(pip install 'stepkeep[tracing]'), or leave STEPKEEP_TRACING out"
        ) from error


def stop() -> None:
    """Send what was not sent yet, and make no more traces."""
    global _active
    ending, _active = _active, None
    if ending is not None:
        ending.stop()


def span(
    name: str,
    *,
    kind: str = "INTERNAL",
    links: Iterable[object | None] = (),
    headers: Mapping[str, str] | None = None,
    **said: str | int,
) -> AbstractContextManager[Noting]:
    """Return a block whose span begins and ends with it; it gives what adds attributes.

    Args:
        name: few different ones; what varies stands in attributes.
        kind: OpenTelemetry's: INTERNAL, SERVER, CLIENT.
        links: what :func:`here` gave where other work began that this is done for; looked at where traces are made.
        headers: of a request: the trace that its caller is in is gone on with.
        said: attributes; never a participant, a session or an answer.
    """
    if _active is None:
        return _NO_SPAN
    passed = (
        None if headers is None else {name.lower(): text for name, text in headers.items() if name.lower() in _HEADERS}
    )
    return _active.span(name, kind, links, passed, said)


def here() -> object | None:
    """Return what names the span that is under way, for ``links``; None where none is."""
    return None if _active is None else _active.here()


def note(what: str, **said: str | int) -> None:
    """Add an event to the span that is under way."""
    if _active is not None:
        _active.note(what, said)


def is_on() -> bool:
    """Return whether traces are made."""
    return _active is not None

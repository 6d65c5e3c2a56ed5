"""Traces by OpenTelemetry. No span has a participant's id, an answer, or an exception's message."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from ..core.installation import install_extra
from ..errors import ConfigurationError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span

SetAttribute = Callable[[str, str | int], None]  # ``error.type`` also marks the span as failed
Ending = AbstractContextManager[object]  # the last block of a span, which it ends

_NO_SPAN: AbstractContextManager[SetAttribute] = nullcontext(lambda _name, _value: None)
_NO_SPAN_START: AbstractContextManager[Ending] = nullcontext(_NO_SPAN)


class _Tracer:
    def __init__(self, exporter: SpanExporter | None) -> None:
        self.api = importlib.import_module("opentelemetry.trace")
        propagation = importlib.import_module("opentelemetry.trace.propagation.tracecontext")
        self._propagator = propagation.TraceContextTextMapPropagator()
        sdk = importlib.import_module("opentelemetry.sdk.trace")
        export = importlib.import_module("opentelemetry.sdk.trace.export")
        resources = importlib.import_module("opentelemetry.sdk.resources")
        if exporter is None:
            over_http = importlib.import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
            processor = export.BatchSpanProcessor(over_http.OTLPSpanExporter())
        else:
            processor = export.SimpleSpanProcessor(exporter)
        attributes = {} if os.environ.get("OTEL_SERVICE_NAME") else {"service.name": "stepkeep"}
        self.provider = sdk.TracerProvider(resource=resources.Resource.create(attributes))
        self.provider.add_span_processor(processor)
        self._tracer = self.provider.get_tracer("stepkeep")

    def start_span(
        self,
        name: str,
        kind: str,
        links: Iterable[Any] = (),
        headers: Mapping[str, str] | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> Span:
        carrier = None if headers is None else {name.lower(): text for name, text in headers.items()}
        span: Span = self._tracer.start_span(
            name,
            context=None if carrier is None else self._propagator.extract(carrier),
            kind=self.api.SpanKind[kind],
            links=[self.api.Link(link) for link in links if link is not None],
            attributes=attributes,
        )
        return span

    @contextmanager
    def record(self, span: Span, *, ends: bool) -> Iterator[SetAttribute]:
        with self.api.use_span(
            span,
            end_on_exit=ends,
            record_exception=False,  # its message may quote an answer
            set_status_on_exception=False,
        ):

            def set_attribute(name: str, value: str | int) -> None:
                span.set_attribute(name, value)
                if name == "error.type":
                    span.set_status(self.api.StatusCode.ERROR)

            try:
                yield set_attribute
            except Exception as error:
                set_attribute("error.type", type(error).__name__)
                raise

    @contextmanager
    def record_start(self, span: Span) -> Iterator[Ending]:
        try:
            with self.record(span, ends=False):
                yield self.record(span, ends=True)
        except BaseException:
            span.end()
            raise


_active: _Tracer | None = None


def start(exporter: SpanExporter | None = None) -> None:
    """Record traces, by default exported over OTLP/HTTP. Idempotent."""
    global _active  # noqa: PLW0603 - one per process, like the log
    if _active is not None:
        return
    try:
        _active = _Tracer(exporter)
    except ImportError as error:
        raise ConfigurationError(
            f"STEPKEEP_TRACING needs OpenTelemetry. Run {install_extra('tracing')}, or remove the setting."
        ) from error


def span(
    name: str,
    *,
    kind: str = "INTERNAL",
    links: Iterable[object | None] = (),
    headers: Mapping[str, str] | None = None,
    **attributes: str | int,
) -> AbstractContextManager[SetAttribute]:
    """Record a span of the block, in the headers' trace; links are iterated only if traces are on."""
    if _active is None:
        return _NO_SPAN
    return _active.record(_active.start_span(name, kind, links, headers, attributes), ends=True)


def span_start(name: str, *, kind: str = "INTERNAL") -> AbstractContextManager[Ending]:
    """Record a span that continues after the block: it yields the last block, for any thread."""
    return _NO_SPAN_START if _active is None else _active.record_start(_active.start_span(name, kind))


def current() -> object | None:
    """Return the current span's context, for ``links``."""
    if _active is None:
        return None
    context = _active.api.get_current_span().get_span_context()
    return context if context.is_valid else None


def add_event(name: str, **attributes: str | int) -> None:
    if _active is not None:
        _active.api.get_current_span().add_event(name, dict(attributes))

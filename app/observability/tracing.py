"""Traces by OpenTelemetry, which is imported only when they are on and configured by its own variables.

No span has a participant's id or anything of an answer; of an exception it has the type, never the message.
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

SetAttribute = Callable[[str, str | int], None]
"""``error.type`` also marks the span as failed."""

_NO_SPAN: AbstractContextManager[SetAttribute] = nullcontext(lambda _name, _value: None)


class _Tracer:
    """OpenTelemetry's API with its own provider and tracer."""

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

    @contextmanager
    def span(
        self,
        name: str,
        kind: str,
        links: Iterable[Any],
        headers: Mapping[str, str] | None,
        attributes: Mapping[str, Any],
    ) -> Iterator[SetAttribute]:
        carrier = None if headers is None else {name.lower(): text for name, text in headers.items()}
        with self._tracer.start_as_current_span(
            name,
            context=None if carrier is None else self._propagator.extract(carrier),
            kind=self.api.SpanKind[kind],
            links=[self.api.Link(link) for link in links if link is not None],
            attributes=dict(attributes),
            record_exception=False,  # its message may quote an answer
            set_status_on_exception=False,
        ) as current:

            def set_attribute(name: str, value: str | int) -> None:
                current.set_attribute(name, value)
                if name == "error.type":
                    current.set_status(self.api.StatusCode.ERROR)

            try:
                yield set_attribute
            except Exception as error:
                set_attribute("error.type", type(error).__name__)
                raise


_active: _Tracer | None = None


def start(exporter: SpanExporter | None = None) -> None:
    """Record traces from now on; idempotent.

    Args:
        exporter: None exports over OTLP/HTTP in the background.

    Raises:
        ConfigurationError: OpenTelemetry is not installed.
    """
    global _active  # noqa: PLW0603 - one per process, like the log
    if _active is not None:
        return
    try:
        _active = _Tracer(exporter)
    except ImportError as error:
        raise ConfigurationError(
            "STEPKEEP_TRACING needs OpenTelemetry. Run `pip install '.[tracing]'` in the program's folder, "
            "or remove the setting."
        ) from error


def span(
    name: str,
    *,
    kind: str = "INTERNAL",
    links: Iterable[object | None] = (),
    headers: Mapping[str, str] | None = None,
    **attributes: str | int,
) -> AbstractContextManager[SetAttribute]:
    """Record a span of the block; it gives a function that sets attributes.

    Args:
        name: one of a few; what varies belongs in attributes.
        kind: INTERNAL, SERVER or CLIENT.
        links: results of :func:`current`; iterated only if traces are on.
        headers: the span continues their trace (W3C Trace Context).
        attributes: never a participant, a session or an answer.
    """
    return _NO_SPAN if _active is None else _active.span(name, kind, links, headers, attributes)


def current() -> object | None:
    """Return the current span's context, for ``links``, or None."""
    if _active is None:
        return None
    context = _active.api.get_current_span().get_span_context()
    return context if context.is_valid else None


def add_event(name: str, **attributes: str | int) -> None:
    """Add an event to the current span."""
    if _active is not None:
        _active.api.get_current_span().add_event(name, dict(attributes))

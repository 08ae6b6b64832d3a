"""Spans of requests and tasks for OpenTelemetry, and the thread between them. Does nothing until it has begun."""

from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import ExitStack, contextmanager
from typing import Any, Final

from django.conf import settings

from apps import VERSION
from apps.ops.telemetry.loading import load

SETTING: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"
# The tracer, and how what belongs together travels in headers; empty while nothing is traced.
_tracers: list[Any] = []
_travel: list[Any] = []


def begin(address: str, process: str) -> None:
    """Send spans to a collector from now on, in batches, from a thread of the library's own."""
    trace = load("opentelemetry.sdk.trace", SETTING)
    export = load("opentelemetry.sdk.trace.export", SETTING)
    otlp = load("opentelemetry.exporter.otlp.proto.http.trace_exporter", SETTING)
    resources = load("opentelemetry.sdk.resources", SETTING)
    named = {
        "service.name": f"tradingsite-{process}",
        "service.version": VERSION,
        "host.name": settings.HOST_NAME,
        "deployment.environment": settings.ENVIRONMENT,
    }
    provider = trace.TracerProvider(resource=resources.Resource.create(named))
    exporter = otlp.OTLPSpanExporter(endpoint=f"{address.rstrip('/')}/v1/traces", timeout=5)
    provider.add_span_processor(export.BatchSpanProcessor(exporter))
    _tracers[:] = [provider.get_tracer("tradingsite")]
    context = load("opentelemetry.trace.propagation.tracecontext", SETTING)
    _travel[:] = [context.TraceContextTextMapPropagator()]


def send_along(headers: MutableMapping[str, Any]) -> None:
    """Write into headers which span they were sent in."""
    for each in _travel:
        each.inject(headers)


@contextmanager
def span(name: str, headers: Mapping[str, str], attributes: Mapping[str, str]) -> Iterator[None]:
    """Trace what is done meanwhile, as part of what sent `headers`."""
    with ExitStack() as stack:
        for tracer, travel in zip(_tracers, _travel, strict=True):
            before = travel.extract({key: str(headers[key]) for key in ("traceparent", "tracestate") if key in headers})
            stack.enter_context(tracer.start_as_current_span(name, context=before, attributes=dict(attributes)))
        yield

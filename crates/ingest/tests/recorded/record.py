"""Records what the OpenTelemetry SDK for Python sends, for tests/recorded.rs.

    pip install opentelemetry-sdk==1.45.2 opentelemetry-exporter-otlp-proto-http==1.45.2
    python3 record.py

Writes cumulative.pb, delta-1.pb, delta-2.pb and cumulative.json (the same message in OTLP's JSON).
Times are those of the recording; the numbers are fixed.
"""
import base64
import json
import time

from google.protobuf.json_format import MessageToDict
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.sdk.metrics import (
    AlwaysOnExemplarFilter, Counter, Histogram, MeterProvider, ObservableCounter)
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource

RESOURCE = Resource({
    "service.name": "checkout", "service.namespace": "shop", "service.instance.id": "pod-1",
    "deployment.environment.name": "test", "replicas": 3,
})
VIEWS = [View(instrument_name="http.client.duration", aggregation=ExponentialBucketHistogramAggregation(max_scale=3))]


def provider(temporality):
    kinds = dict.fromkeys((Counter, ObservableCounter, Histogram), temporality)
    reader = InMemoryMetricReader(preferred_temporality=kinds)
    made = MeterProvider(resource=RESOURCE, metric_readers=[reader], views=VIEWS, exemplar_filter=AlwaysOnExemplarFilter())
    return made, reader


def instruments(made):
    meter = made.get_meter("shop.metrics", "1.2.0")
    return {
        "requests": meter.create_counter("http.server.requests", unit="{request}", description="Requests served."),
        "sent": meter.create_counter("network.io", unit="By"),
        "queue": meter.create_up_down_counter("queue.length", unit="1"),
        "load": meter.create_gauge("cpu.utilization", unit="1"),
        "latency": meter.create_histogram("http.server.duration", unit="ms", explicit_bucket_boundaries_advisory=[10, 100]),
        "client": meter.create_histogram("http.client.duration", unit="s"),
    }


def measure(made):
    get = {"http.route": "/cart", "ok": True}
    made["requests"].add(5, get)
    made["requests"].add(2, {"http.route": "/pay", "ok": False})
    made["sent"].add(1.5)
    made["queue"].add(-4)
    made["load"].set(0.75)
    for value in (5, 10, 50, 500):
        made["latency"].record(value, get)
    for value in (0.0, 0.5, 1.0, 4.0):
        made["client"].record(value)


def write(name, reader):
    message = encode_metrics(reader.get_metrics_data())
    with open(name + ".pb", "wb") as file:
        file.write(message.SerializeToString())
    return message


def otlp_json(message):
    """Protobuf's JSON with OTLP's exceptions: enumerations as numbers, identifiers in hexadecimal."""
    tree = MessageToDict(message, use_integers_for_enums=True)

    def walk(node):
        if isinstance(node, dict):
            for key in ("traceId", "spanId"):
                if key in node:
                    node[key] = base64.b64decode(node[key]).hex()
            for inner in node.values():
                walk(inner)
        elif isinstance(node, list):
            for inner in node:
                walk(inner)
    walk(tree)
    return tree


made, reader = provider(AggregationTemporality.CUMULATIVE)
measure(instruments(made))
message = write("cumulative", reader)
with open("cumulative.json", "w") as file:
    json.dump(otlp_json(message), file, indent=1)
    file.write("\n")

made, reader = provider(AggregationTemporality.DELTA)
tools = instruments(made)
measure(tools)
write("delta-1", reader)
time.sleep(0.05)
measure(tools)
write("delta-2", reader)

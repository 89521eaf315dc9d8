//! Type, unit and help of every metric the fleet emits.

use series::{Metadata, MetricType};

/// Metric, type, unit, help.
const METRICS: [(&str, MetricType, &str, &str); 17] = [
    ("container_cpu_usage_seconds_total", MetricType::Counter, "seconds", "CPU time used by a container."),
    ("container_memory_working_set_bytes", MetricType::Gauge, "bytes", "Working set of a container."),
    (
        "http_request_duration_seconds",
        MetricType::Histogram,
        "seconds",
        "Durations of requests by service and version.",
    ),
    ("http_requests_total", MetricType::Counter, "", "Requests counted at the ingress."),
    ("kube_deployment_status_replicas", MetricType::Gauge, "", "Replicas of a deployment, ready or not."),
    ("kube_pod_container_resource_requests", MetricType::Gauge, "", "Requested cores or bytes of a container."),
    ("kube_pod_container_status_restarts_total", MetricType::Counter, "", "Restarts of a container."),
    ("kube_pod_created", MetricType::Gauge, "seconds", "Unix time at which a pod was created."),
    ("kube_pod_status_ready_time", MetricType::Gauge, "seconds", "Unix time at which a pod became ready."),
    ("node_cpu_seconds_total", MetricType::Counter, "seconds", "CPU time by mode."),
    ("node_filesystem_avail_bytes", MetricType::Gauge, "bytes", "Free space of a file system."),
    ("node_filesystem_size_bytes", MetricType::Gauge, "bytes", "Size of a file system."),
    ("node_memory_MemAvailable_bytes", MetricType::Gauge, "bytes", "Memory that is free or can be freed."),
    ("node_memory_MemTotal_bytes", MetricType::Gauge, "bytes", "Memory of a machine."),
    ("orders_total", MetricType::Counter, "", "Orders placed, by region."),
    ("shop_build_info", MetricType::Gauge, "", "Always 1; the version that serves is a label."),
    ("up", MetricType::Gauge, "", "Whether the last scrape of a target succeeded."),
];

/// One entry a metric family, sorted by name.
pub(crate) fn metadata() -> Vec<Metadata> {
    let entry = |(metric, kind, unit, help): &(&str, MetricType, &str, &str)| Metadata {
        metric: (*metric).to_owned(),
        kind: *kind,
        help: (*help).to_owned(),
        unit: (*unit).to_owned(),
    };
    METRICS.iter().map(entry).collect()
}

//! The shop: which services there are and what each of them costs to run.

use crate::calendar::Season;

const MIB: f64 = 1_048_576.0;

/// One deployment. Loads are the truth that forecasts and sizings are held to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ServiceSpec {
    pub(crate) name: &'static str,
    pub(crate) season: Season,
    /// Expected load at the peak of an average day at the end of the trace, per second.
    pub(crate) peak_rps: f64,
    /// Linear growth a day, as a share of the load at the end.
    pub(crate) growth_per_day: f64,
    /// Replicas at least and at most; equal when nobody scales it.
    pub(crate) replicas: (u32, u32),
    /// Load at which one replica is saturated.
    pub(crate) rps_per_replica: f64,
    /// Utilisation the autoscaler aims at.
    pub(crate) target: f64,
    /// Seconds from a pod's creation to its first request.
    pub(crate) lead_time_s: f64,
    pub(crate) cpu_per_request_s: f64,
    pub(crate) cpu_idle: f64,
    pub(crate) cpu_request: f64,
    pub(crate) memory: MemorySpec,
    /// Version before the first release of the trace.
    pub(crate) version: &'static str,
    /// `None` for workers without requests of their own.
    pub(crate) http: Option<HttpSpec>,
}

/// Bytes of one pod.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct MemorySpec {
    pub(crate) request: f64,
    /// The container is killed and restarted beyond this.
    pub(crate) limit: f64,
    pub(crate) base: f64,
    pub(crate) per_rps: f64,
    pub(crate) leak_per_hour: f64,
}

/// Requests of one service.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct HttpSpec {
    /// Median duration without load, seconds.
    pub(crate) median_s: f64,
    /// Share of requests that fail on a good day.
    pub(crate) error_ratio: f64,
    /// Method, code and share of the requests that do not fail; the first takes what rounding leaves.
    pub(crate) routes: &'static [(&'static str, &'static str, f64)],
    /// Method of the failing requests, which have code 500.
    pub(crate) error_method: &'static str,
}

/// The disks and machines beside the services.
pub(crate) const NODES: [&str; 2] = ["db-0", "db-1"];
/// Where orders come from, with their share.
pub(crate) const REGIONS: [(&str, f64); 3] = [("eu", 0.55), ("us", 0.30), ("apac", 0.15)];
/// The ingress pods that count requests.
pub(crate) const INGRESSES: [&str; 2] = ["ingress-0:10254", "ingress-1:10254"];

/// MiB of request, limit, base, per request/s, leaked an hour.
const fn mib(request: f64, limit: f64, base: f64, per_rps: f64, leak_per_hour: f64) -> MemorySpec {
    MemorySpec {
        request: request * MIB,
        limit: limit * MIB,
        base: base * MIB,
        per_rps: per_rps * MIB,
        leak_per_hour: leak_per_hour * MIB,
    }
}

/// All deployments; the first eight serve HTTP.
pub(crate) fn services() -> Vec<ServiceSpec> {
    [shop_floor(), shelves(), till(), visitors(), workers()].concat()
}

/// What shoppers see first and last.
fn shop_floor() -> Vec<ServiceSpec> {
    vec![
        ServiceSpec {
            name: "frontend",
            season: Season::Evening,
            peak_rps: 9200.0,
            growth_per_day: 0.006,
            replicas: (3, 8),
            rps_per_replica: 2600.0,
            target: 0.75,
            lead_time_s: 45.0,
            cpu_per_request_s: 0.0006,
            cpu_idle: 0.05,
            cpu_request: 1.5,
            memory: mib(2048.0, 2560.0, 420.0, 0.06, 0.0),
            version: "7.3.1",
            http: Some(HttpSpec {
                median_s: 0.045,
                error_ratio: 0.0006,
                routes: &[("GET", "200", 0.93), ("POST", "200", 0.05), ("GET", "404", 0.02)],
                error_method: "GET",
            }),
        },
        ServiceSpec {
            name: "checkout",
            season: Season::Evening,
            peak_rps: 4800.0,
            growth_per_day: 0.009,
            replicas: (3, 16),
            rps_per_replica: 650.0,
            target: 0.75,
            lead_time_s: 95.0,
            cpu_per_request_s: 0.00125,
            cpu_idle: 0.06,
            cpu_request: 0.8,
            memory: mib(640.0, 1024.0, 380.0, 0.12, 0.0),
            version: "1.13.2",
            http: Some(HttpSpec {
                median_s: 0.062,
                error_ratio: 0.0009,
                routes: &[("GET", "200", 0.55), ("POST", "200", 0.45)],
                error_method: "POST",
            }),
        },
    ]
}

/// Looking for things.
fn shelves() -> Vec<ServiceSpec> {
    vec![
        ServiceSpec {
            name: "search",
            season: Season::Browsing,
            peak_rps: 2600.0,
            growth_per_day: 0.004,
            replicas: (2, 8),
            rps_per_replica: 1100.0,
            target: 0.8,
            lead_time_s: 70.0,
            cpu_per_request_s: 0.0011,
            cpu_idle: 0.08,
            cpu_request: 0.4,
            memory: mib(1536.0, 2048.0, 1020.0, 0.15, 0.0),
            version: "5.8.4",
            http: Some(HttpSpec {
                median_s: 0.09,
                error_ratio: 0.0008,
                routes: &[("GET", "200", 0.99), ("GET", "400", 0.01)],
                error_method: "GET",
            }),
        },
        ServiceSpec {
            name: "catalog",
            season: Season::Browsing,
            peak_rps: 5200.0,
            growth_per_day: 0.004,
            replicas: (2, 2),
            rps_per_replica: 4200.0,
            target: 0.75,
            lead_time_s: 40.0,
            cpu_per_request_s: 0.0003,
            cpu_idle: 0.04,
            cpu_request: 1.0,
            memory: mib(512.0, 768.0, 300.0, 0.02, 0.0),
            version: "2.2.9",
            http: Some(HttpSpec {
                median_s: 0.03,
                error_ratio: 0.0004,
                routes: &[("GET", "200", 0.98), ("GET", "404", 0.02)],
                error_method: "GET",
            }),
        },
    ]
}

/// Buying them.
fn till() -> Vec<ServiceSpec> {
    vec![
        ServiceSpec {
            name: "payments",
            season: Season::Evening,
            peak_rps: 1500.0,
            growth_per_day: 0.008,
            replicas: (3, 3),
            rps_per_replica: 900.0,
            target: 0.75,
            lead_time_s: 60.0,
            cpu_per_request_s: 0.0012,
            cpu_idle: 0.05,
            cpu_request: 0.8,
            memory: mib(768.0, 1024.0, 450.0, 0.1, 0.0),
            version: "3.1.7",
            http: Some(HttpSpec {
                median_s: 0.078,
                error_ratio: 0.0012,
                routes: &[("POST", "200", 0.97), ("POST", "402", 0.03)],
                error_method: "POST",
            }),
        },
        ServiceSpec {
            name: "cart",
            season: Season::Evening,
            peak_rps: 2100.0,
            growth_per_day: 0.007,
            replicas: (2, 2),
            rps_per_replica: 2200.0,
            target: 0.75,
            lead_time_s: 35.0,
            cpu_per_request_s: 0.0004,
            cpu_idle: 0.03,
            cpu_request: 0.6,
            memory: mib(256.0, 512.0, 228.0, 0.12, 0.0),
            version: "4.0.3",
            http: Some(HttpSpec {
                median_s: 0.018,
                error_ratio: 0.0005,
                routes: &[("GET", "200", 0.6), ("POST", "200", 0.4)],
                error_method: "POST",
            }),
        },
    ]
}

/// Knowing who it is.
fn visitors() -> Vec<ServiceSpec> {
    vec![
        ServiceSpec {
            name: "recommendations",
            season: Season::Browsing,
            peak_rps: 1900.0,
            growth_per_day: 0.004,
            replicas: (2, 2),
            rps_per_replica: 2500.0,
            target: 0.75,
            lead_time_s: 120.0,
            cpu_per_request_s: 0.0002,
            cpu_idle: 0.04,
            cpu_request: 2.0,
            memory: mib(960.0, 1024.0, 380.0, 0.04, 17.0),
            version: "0.9.12",
            http: Some(HttpSpec {
                median_s: 0.055,
                error_ratio: 0.001,
                routes: &[("GET", "200", 1.0)],
                error_method: "GET",
            }),
        },
        ServiceSpec {
            name: "auth",
            season: Season::Logins,
            peak_rps: 800.0,
            growth_per_day: 0.005,
            replicas: (2, 2),
            rps_per_replica: 2000.0,
            target: 0.75,
            lead_time_s: 30.0,
            cpu_per_request_s: 0.0003,
            cpu_idle: 0.02,
            cpu_request: 1.0,
            memory: mib(1024.0, 1024.0, 170.0, 0.05, 0.0),
            version: "2.7.0",
            http: Some(HttpSpec {
                median_s: 0.012,
                error_ratio: 0.0003,
                routes: &[("POST", "200", 0.92), ("POST", "401", 0.08)],
                error_method: "POST",
            }),
        },
    ]
}

/// Work without requests of its own.
fn workers() -> Vec<ServiceSpec> {
    let worker = ServiceSpec {
        name: "emails",
        season: Season::Evening,
        peak_rps: 120.0,
        growth_per_day: 0.009,
        replicas: (1, 1),
        rps_per_replica: 400.0,
        target: 0.75,
        lead_time_s: 25.0,
        cpu_per_request_s: 0.001,
        cpu_idle: 0.02,
        cpu_request: 1.0,
        memory: mib(1024.0, 1024.0, 210.0, 0.3, 0.0),
        version: "1.2.0",
        http: None,
    };
    let reports = ServiceSpec {
        name: "reports",
        season: Season::Nightly,
        peak_rps: 10.0,
        growth_per_day: 0.002,
        rps_per_replica: 14.0,
        cpu_per_request_s: 0.17,
        cpu_request: 2.0,
        memory: mib(4096.0, 5120.0, 420.0, 280.0, 0.0),
        version: "0.31.0",
        ..worker.clone()
    };
    let cache = ServiceSpec {
        name: "cache",
        peak_rps: 9000.0,
        growth_per_day: 0.006,
        rps_per_replica: 20_000.0,
        cpu_per_request_s: 0.00004,
        cpu_request: 0.5,
        memory: mib(5632.0, 6144.0, 5000.0, 0.015, 0.0),
        version: "7.2.5",
        ..worker.clone()
    };
    vec![worker, reports, cache]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_routes_add_up_and_bounds_are_sane() {
        let services = services();
        assert_eq!(services.len(), 11);
        for service in services {
            let (low, high) = service.replicas;
            assert!(low >= 1 && low <= high && service.target < 1.0, "{}", service.name);
            assert!(service.memory.base < service.memory.limit, "{}", service.name);
            if let Some(http) = service.http {
                let shares: f64 = http.routes.iter().map(|route| route.2).sum();
                assert!((shares - 1.0).abs() < 1e-9, "{}", service.name);
            }
        }
    }
}

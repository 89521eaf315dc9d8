//! Runway: when disks, or whatever else the configuration names, are full.

use scale::{Reading, Recommendation, ResourceHistory, Runway, RunwayError, RunwayPolicy};
use series::{Labels, Millis, Step, Timestamp};

use super::Found;
use crate::engine::{Core, EngineError};
use crate::settings::CapacityResource;

/// Distance of samples of the past.
const STEP: Step = Step::from_secs(3600);
/// Runways beyond this are no advice yet.
const IN_SIGHT_DAYS: f64 = 365.0;
/// Runways below this are advice however uncertain they are.
const NEAR_DAYS: f64 = 60.0;
/// How long advice holds.
const VALID_FOR: Millis = Millis::from_days(1);

/// Runway of every resource.
pub(super) fn evaluate(core: &Core, now: Timestamp) -> Result<Found, EngineError> {
    let defaults = [file_systems()];
    let resources: &[CapacityResource] = match core.settings.capacity.resources.as_slice() {
        [] => &defaults,
        named => named,
    };
    let mut found = Found::default();
    for resource in resources {
        for history in histories(core, resource, now)? {
            let policy = RunwayPolicy {
                threshold: resource.threshold,
                window: core.settings.capacity.window.0,
                ..RunwayPolicy::default()
            };
            match scale::runway(now, &history, &policy, &core.settings.cost) {
                Ok(runway) => {
                    found.judged += 1;
                    // Nothing to do within a year: a longer look ahead is no advice.
                    if in_sight(&runway) {
                        found.advice.push(Recommendation::from_runway(&runway, &core.settings.cost, VALID_FOR));
                    }
                }
                Err(RunwayError::TooShort { .. }) => {} // Young resources are looked at again at every turn.
                Err(err) => tracing::warn!(resource = %history.resource, %err, "runway not computed"),
            }
        }
    }
    Ok(found)
}

/// Whether the threshold is likely to be met within a year. Unless it is near, a range without an end (in one of ten
/// futures it is never met) is no ground for a purchase.
fn in_sight(runway: &Runway) -> bool {
    let near = runway.days_p50.is_some_and(|days| days <= NEAR_DAYS);
    let sure = runway.days_p90.is_some() && runway.days_p50.is_some_and(|days| days <= IN_SIGHT_DAYS);
    runway.growth_per_day > 0.0 && (near || sure)
}

/// Every real file system that node_exporter reports.
fn file_systems() -> CapacityResource {
    let real = "fstype!~\"tmpfs|overlay|squashfs|ramfs|devtmpfs\"";
    CapacityResource {
        name: "disk".into(),
        used: format!("node_filesystem_size_bytes{{{real}}} - node_filesystem_avail_bytes{{{real}}}"),
        limit: format!("node_filesystem_size_bytes{{{real}}}"),
        bytes: true,
        threshold: 0.9,
    }
}

fn histories(core: &Core, resource: &CapacityResource, now: Timestamp) -> Result<Vec<ResourceHistory>, EngineError> {
    let limits = core.instant(&resource.limit, now)?;
    let start = (now - core.settings.capacity.window.0).floor(STEP);
    let mut found = Vec::new();
    for item in core.range(&resource.used, start, now.floor(STEP), STEP)? {
        let limit = limits.iter().find(|limit| same_place(&limit.labels, &item.labels));
        let Some(limit) = limit.and_then(|limit| limit.point.number()) else { continue };
        found.push(ResourceHistory {
            resource: name_of(&resource.name, &item.labels),
            used: item.points.iter().map(|&(at, value)| Reading { at, value }).collect(),
            limit,
            in_bytes: resource.bytes,
            evidence_query: narrowed(&resource.used, &item.labels),
        });
    }
    Ok(found)
}

/// Equal but for the metric's name, which arithmetic drops.
fn same_place(a: &Labels, b: &Labels) -> bool {
    let plain = |labels: &Labels| labels.to_builder().remove(series::METRIC_NAME).build();
    plain(a) == plain(b)
}

/// `db-0 disk`, with the mount point where it is not the root.
fn name_of(resource: &str, labels: &Labels) -> String {
    let place = ["node", "instance", "pod", "host"].iter().find_map(|name| labels.get(name)).unwrap_or("");
    let host = place.rsplit_once(':').map_or(place, |(host, _)| host);
    let mount = labels.get("mountpoint").filter(|mount| *mount != "/").map(|mount| format!(" {mount}"));
    format!("{host} {resource}{}", mount.unwrap_or_default()).trim().to_owned()
}

/// The query for one place: instance and mount point put into its selectors.
fn narrowed(query: &str, labels: &Labels) -> String {
    let pairs: Vec<String> = ["instance", "mountpoint"]
        .iter()
        .filter_map(|name| labels.get(name).map(|value| format!("{name}={value:?}")))
        .collect();
    if pairs.is_empty() { query.to_owned() } else { query.replace('{', &format!("{{{},", pairs.join(","))) }
}

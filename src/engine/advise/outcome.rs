//! Keeping advice: new advice in, advice that is no longer given out, each change audited and delivered.

use std::collections::BTreeMap;

use control::{AuditEntry, Change};
use scale::{Kind, Recommendation, Status};
use serde_json::json;
use series::{Millis, Timestamp};

use crate::engine::{Core, EngineError, deliver};

/// How long advice that is no longer given is kept.
const KEPT: Millis = Millis::from_days(30);

/// Makes `found` the advice of its kind; how many of it are open.
pub(super) fn replace_all(
    core: &Core,
    kind: Kind,
    found: Vec<Recommendation>,
    now: Timestamp,
) -> Result<usize, EngineError> {
    let known: BTreeMap<String, Recommendation> = recommendations(core)?
        .into_iter()
        .filter(|advice| advice.kind == kind)
        .map(|advice| (advice.id.clone(), advice))
        .collect();
    let (mut open, mut changes, mut fresh) = (0, Vec::new(), Vec::new());
    let mut given = std::collections::BTreeSet::new();
    for mut advice in found {
        given.insert(advice.id.clone());
        let before = known.get(&advice.id);
        if let Some(before) = before {
            // The same advice again: it keeps its birth, and a user's word on it stands.
            advice.created_at = before.created_at;
            if matches!(before.status, Status::Dismissed | Status::Applied) {
                advice.status = before.status;
            }
        }
        open += usize::from(advice.status == Status::Open && advice.changes());
        let is_new = before.is_none_or(|before| before.status == Status::Superseded) && advice.changes();
        if before != Some(&advice) {
            changes.push(put(&advice)?);
        }
        if is_new {
            fresh.push(advice);
        }
    }
    for before in known.into_values().filter(|before| !given.contains(&before.id)) {
        match before.status {
            Status::Open => changes.push(put(&Recommendation { status: Status::Superseded, ..before })?),
            _ if before.valid_until + KEPT < now => {
                changes.push(Change::delete(control::Kind::Recommendation, &before.id));
            }
            _ => {}
        }
    }
    if !changes.is_empty() {
        let audit = AuditEntry {
            at: now.0,
            actor: "engine".into(),
            tenant: "default".into(),
            verb: "recommend".into(),
            object: format!("{} new of kind {}", fresh.len(), kind_word(kind)),
            result: "ok".into(),
            ..AuditEntry::default()
        };
        core.control.apply(changes, fresh.first().map(|_| audit))?;
    }
    for advice in fresh {
        deliver::enqueue(core, &advice, now)?;
        core.tell(server::LiveKind::Advice, json!({"id": advice.id, "title": advice.title}));
    }
    Ok(open)
}

/// All advice that is kept.
pub(crate) fn recommendations(core: &Core) -> Result<Vec<Recommendation>, EngineError> {
    let range = control::ScanRange { limit: 100_000, ..control::ScanRange::default() };
    let rows = core.control.scan::<Recommendation>(control::Kind::Recommendation, &range)?;
    Ok(rows.into_iter().map(|(_, advice)| advice).collect())
}

fn put(advice: &Recommendation) -> Result<Change, EngineError> {
    Ok(Change::put(control::Kind::Recommendation, &advice.id, advice)?)
}

fn kind_word(kind: Kind) -> &'static str {
    match kind {
        Kind::Scale => "scale",
        Kind::Rightsize => "rightsize",
        Kind::Capacity => "capacity",
    }
}

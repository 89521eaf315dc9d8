//! Keeping advice: new advice in, advice that is no longer given out, each change audited and delivered.
//!
//! Advice is kept with the receivers it was queued for, and queuing it and noting that are one record of the control log.
//! So an evaluation after a crash, after a failed write or after a change of mode or receivers queues exactly what is
//! missing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;

use control::{AuditEntry, Change, ScanRange};
use scale::{Kind, Recommendation, Status};
use serde::{Deserialize, Serialize};
use serde_json::json;
use series::{Millis, Timestamp};
use server::{AdviceError, Verdict};

use crate::engine::{Core, EngineError, deliver};

/// How long advice that is no longer given is kept.
const KEPT: Millis = Millis::from_days(30);
/// Most pieces of one kind that are no longer open; the oldest go first.
const CLOSED_MAX: usize = 50_000;
/// Most pieces of one kind that an evaluation keeps; the most urgent and most saving ones stay.
const GIVEN_MAX: usize = 100_000;
/// Changes written in one record, a few kilobytes each.
const AT_ONCE: usize = 500;

/// Advice as it is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Kept {
    #[serde(flatten)]
    advice: Recommendation,
    /// Topics of the outbox that it was queued for.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    queued: BTreeSet<String>,
    /// When it was queued last, ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    told_at: Option<i64>,
}

/// What an evaluation changes.
#[derive(Debug, Default)]
struct Changes {
    /// Advice that is open afterwards and changes something.
    open: usize,
    /// `(id, title)` of advice that was not open before.
    fresh: Vec<(String, String)>,
    /// To be written.
    changed: Vec<Kept>,
    /// To be written together with messages for these topics.
    untold: Vec<(Kept, BTreeSet<String>)>,
    /// Ids to be forgotten.
    removed: Vec<String>,
}

/// Makes `found` the advice of its kind; how many of it are open.
pub(super) fn replace_all(
    core: &Core,
    kind: Kind,
    found: Vec<Recommendation>,
    now: Timestamp,
) -> Result<usize, EngineError> {
    // A word of a user between reading and writing would be lost.
    let _alone = core.advice.lock().unwrap_or_else(PoisonError::into_inner);
    let known = scan::<Kept>(core)?.into_iter().filter(|kept| kept.advice.kind == kind);
    let known = known.map(|kept| (kept.advice.id.clone(), kept)).collect();
    let Changes { open, fresh, mut changed, untold, removed } =
        reconcile(known, bounded(kind, found), &deliver::topics(&core.settings), now);
    if !fresh.is_empty() {
        core.control.apply(Vec::new(), Some(audit(kind, fresh.len(), now)))?;
    }
    let mut refused = None;
    for (kept, topics) in untold {
        if refused.is_none() {
            let mut told = kept.clone();
            told.queued.extend(topics.iter().cloned());
            told.told_at = Some(now.0);
            match deliver::enqueue(core, &told.advice, &topics, vec![put(&told)?], now) {
                Ok(()) => continue,
                Err(err) => refused = Some(err),
            }
        }
        // Kept without the mark, so the next evaluation tries again.
        changed.push(kept);
    }
    let puts = changed.iter().map(put).collect::<Result<Vec<_>, _>>()?;
    let deletions = removed.iter().map(|id| Change::delete(control::Kind::Recommendation, id));
    for part in puts.into_iter().chain(deletions).collect::<Vec<_>>().chunks(AT_ONCE) {
        core.control.apply(part.to_vec(), None)?;
    }
    for (id, title) in fresh {
        core.tell(server::LiveKind::Advice, json!({"id": id, "title": title}));
    }
    refused.map_or(Ok(open), Err)
}

/// Compares what is given now with what is known.
fn reconcile(
    mut known: BTreeMap<String, Kept>,
    found: Vec<Recommendation>,
    topics: &BTreeSet<String>,
    now: Timestamp,
) -> Changes {
    let mut changes = Changes::default();
    let mut given = BTreeSet::new();
    let mut last_told = BTreeMap::new();
    for kept in known.values() {
        let last = last_told.entry(deliver::subject(&kept.advice)).or_default();
        *last = kept.told_at.max(*last);
    }
    let lasts = |kept: &&Kept| kept.lasts(last_told.get(&deliver::subject(&kept.advice)).copied().flatten(), now);
    for advice in found {
        if !given.insert(advice.id.clone()) {
            continue;
        }
        let before = known.remove(&advice.id);
        let lasting = before.as_ref().filter(lasts);
        let kept = match lasting {
            Some(before) => before.given_again(advice),
            None => Kept { advice, queued: BTreeSet::new(), told_at: None },
        };
        let is_open = kept.advice.status == Status::Open && kept.advice.changes();
        changes.open += usize::from(is_open);
        if is_open && lasting.is_none() {
            changes.fresh.push((kept.advice.id.clone(), kept.advice.title.clone()));
        }
        let missing: BTreeSet<String> = topics.difference(&kept.queued).cloned().collect();
        if is_open && !missing.is_empty() {
            changes.untold.push((kept, missing));
        } else if before.as_ref() != Some(&kept) {
            changes.changed.push(kept);
        }
    }
    let mut closed = Vec::new();
    for mut before in known.into_values() {
        if before.advice.status == Status::Open {
            before.advice.status = Status::Superseded;
            changes.changed.push(before);
        } else if before.advice.valid_until + KEPT < now {
            changes.removed.push(before.advice.id);
        } else {
            closed.push((before.advice.valid_until, before.advice.id));
        }
    }
    closed.sort_unstable();
    let beyond = closed.len().saturating_sub(CLOSED_MAX);
    changes.removed.extend(closed.into_iter().take(beyond).map(|(_, id)| id));
    changes
}

impl Kept {
    /// Whether advice that is given again is still the same piece.
    ///
    /// Advice that was marked as applied ends with its validity: if it is given after that, it is needed anew. Superseded
    /// advice that is given again while it would have held (demand that wavers about a threshold) goes on, unless
    /// receivers were told something else about its subject since (`last_told`): then it has to be told again.
    fn lasts(&self, last_told: Option<i64>, now: Timestamp) -> bool {
        match self.advice.status {
            Status::Open | Status::Dismissed => true,
            Status::Applied => now <= self.advice.valid_until,
            Status::Superseded => now <= self.advice.valid_until && self.told_at >= last_told,
        }
    }

    /// With what is known now; birth, messages and a user's word stay.
    fn given_again(&self, advice: Recommendation) -> Self {
        let before = &self.advice;
        let (status, valid_until) = match before.status {
            Status::Open | Status::Superseded => (Status::Open, advice.valid_until),
            Status::Dismissed => (Status::Dismissed, advice.valid_until),
            Status::Applied => (Status::Applied, before.valid_until),
        };
        let advice = Recommendation { created_at: before.created_at, status, valid_until, ..advice };
        Self { advice, queued: self.queued.clone(), told_at: self.told_at }
    }
}

/// The most urgent, then the most saving, if there are too many.
fn bounded(kind: Kind, mut found: Vec<Recommendation>) -> Vec<Recommendation> {
    if found.len() > GIVEN_MAX {
        tracing::warn!(kind = kind.word(), found = found.len(), kept = GIVEN_MAX, "more advice than is kept");
        found.sort_by(|a, b| {
            let rank = |advice: &Recommendation| std::cmp::Reverse((advice.changes(), advice.severity));
            rank(a).cmp(&rank(b)).then_with(|| b.saving_monthly.total_cmp(&a.saving_monthly))
        });
        found.truncate(GIVEN_MAX);
    }
    found
}

/// Notes a person's verdict on advice that is given.
pub(crate) fn judge(core: &Core, id: &str, verdict: Verdict) -> Result<Recommendation, AdviceError> {
    let failed = |err: EngineError| AdviceError::Failed(err.to_string());
    let _alone = core.advice.lock().unwrap_or_else(PoisonError::into_inner);
    let found = core.control.get::<Kept>(control::Kind::Recommendation, id).map_err(|err| failed(err.into()))?;
    let mut kept = found.ok_or(AdviceError::Unknown)?;
    if kept.advice.status == Status::Superseded {
        let why = "this advice is no longer given; look at the open ones";
        return Err(AdviceError::Over(why.into()));
    }
    let (status, verb) = match verdict {
        Verdict::Applied => (Status::Applied, "apply"),
        Verdict::Dismissed => (Status::Dismissed, "dismiss"),
    };
    if kept.advice.status != status {
        kept.advice.status = status;
        let now = core.clock.now();
        let audit = AuditEntry {
            at: now.0,
            actor: "api".into(),
            tenant: "default".into(),
            verb: verb.into(),
            object: kept.advice.target.clone(),
            after: Some(id.to_owned()),
            result: "ok".into(),
            ..AuditEntry::default()
        };
        core.control.apply(vec![put(&kept).map_err(failed)?], Some(audit)).map_err(|err| failed(err.into()))?;
        let advice = &kept.advice;
        core.tell(server::LiveKind::Advice, json!({"id": id, "title": advice.title, "state": status.word()}));
    }
    Ok(kept.advice)
}

/// All advice that is kept.
pub(crate) fn recommendations(core: &Core) -> Result<Vec<Recommendation>, EngineError> {
    scan(core)
}

/// All rows, page by page.
fn scan<T: serde::de::DeserializeOwned>(core: &Core) -> Result<Vec<T>, EngineError> {
    let (mut all, mut from) = (Vec::new(), None);
    loop {
        let range = ScanRange { from, limit: 10_000, ..ScanRange::default() };
        let page = core.control.scan::<T>(control::Kind::Recommendation, &range)?;
        let Some((last, _)) = page.last() else { return Ok(all) };
        // Ids are hexadecimal digits, so this is the first key after the last.
        from = Some(format!("{last}0"));
        all.extend(page.into_iter().map(|(_, row)| row));
    }
}

fn put(kept: &Kept) -> Result<Change, EngineError> {
    Ok(Change::put(control::Kind::Recommendation, &kept.advice.id, kept)?)
}

fn audit(kind: Kind, n_fresh: usize, now: Timestamp) -> AuditEntry {
    AuditEntry {
        at: now.0,
        actor: "engine".into(),
        tenant: "default".into(),
        verb: "recommend".into(),
        object: format!("{n_fresh} new of kind {}", kind.word()),
        result: "ok".into(),
        ..AuditEntry::default()
    }
}

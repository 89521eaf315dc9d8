//! Random histories of submits, faults, power cuts, restarts and truncations, checked against a simple model.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::sim::{Faults, SimRandom};

/// What must be true of the log.
#[derive(Default)]
struct Model {
    /// Number of each entry that must be there, with its id: acknowledged, or shown by a replay.
    must: BTreeMap<u64, u64>,
    /// Ids that were submitted and not acknowledged: may be there or not.
    may: BTreeSet<u64>,
    /// What the caller holds elsewhere.
    safe: u64,
    next_id: u64,
}

impl Model {
    fn check_open(&mut self, opened: &Opened) {
        let mut seen = BTreeSet::new();
        let mut last = 0;
        for &(lsn, series, id) in &opened.replayed.entries {
            assert!(lsn > last, "out of order");
            last = lsn;
            if lsn <= self.safe {
                continue; // Delivered only for what later records need of it; whoever holds it elsewhere looks away.
            }
            assert!(seen.insert(id), "{id} twice");
            match self.must.get(&lsn) {
                Some(&acknowledged) => assert_eq!(acknowledged, id, "number {lsn} holds another entry"),
                None => assert!(self.may.contains(&id), "invented {id}"),
            }
            // Only an unacknowledged commit, torn in the middle, can have lost its definition.
            assert!(u64::from(series) == id % 5 || self.may.contains(&id), "its series is described before it");
        }
        for (&lsn, id) in self.must.range(self.safe + 1..) {
            assert!(seen.contains(id), "acknowledged {id} at {lsn} is lost");
        }
        for damage in &opened.report.damage {
            let gone = damage.first_missing..damage.first_missing + damage.missing;
            assert_eq!(self.must.range(gone).count(), 0, "reported as missing: {damage:?}");
        }
        assert_eq!(opened.report.chain_breaks, 0);
        assert!(opened.report.last_lsn >= self.must.keys().next_back().copied().unwrap_or(0));
        let sound =
            opened.replayed.entries.iter().filter(|&&(lsn, series, id)| lsn > self.safe && u64::from(series) == id % 5);
        self.must.extend(sound.map(|&(lsn, _, id)| (lsn, id)));
        self.may
            .retain(|id| opened.replayed.entries.iter().any(|&(_, series, seen)| seen == *id && series == u32::MAX));
    }

    fn submit(&mut self, opened: &Opened, count: usize) -> bool {
        let ids = self.next_id..self.next_id + count as u64;
        self.next_id = ids.end;
        let results = submit_together(&opened.log, ids.clone().map(entry).collect());
        let all_acknowledged = results.iter().all(Result::is_ok);
        for (id, result) in ids.zip(results) {
            match result {
                Ok(lsn) => assert!(self.must.insert(lsn, id).is_none(), "number {lsn} given twice"),
                Err(_) => drop(self.may.insert(id)),
            }
        }
        all_acknowledged
    }
}

/// Opens; if faults or a power cut prevent that, again without them.
fn open_somehow(storage: &SimStorage, model: &mut Model) -> Opened {
    let mut opened = open_with(storage, options(), model.safe);
    for _ in 0..2 {
        if opened.is_err() {
            if storage.is_off() {
                storage.crash();
            }
            storage.set_faults(Faults::default());
            opened = open_with(storage, options(), model.safe);
        }
    }
    let opened = opened.unwrap();
    model.check_open(&opened);
    opened
}

fn random_faults(random: &mut SimRandom) -> Faults {
    let mut rate = || if random.chance(0.5) { 0.0 } else { [0.05, 0.3, 1.0][random.below(3)] };
    Faults { append: rate(), sync: rate(), sync_dir: rate(), create: rate(), read: 0.0 }
}

fn run(seed: u64) {
    let mut random = SimRandom::new(seed);
    let storage = SimStorage::new(seed ^ 0xD15C);
    let mut model = Model::default();
    let mut opened = open_somehow(&storage, &mut model);
    for _ in 0..40 {
        match random.below(12) {
            0..=4 => drop(model.submit(&opened, 1 + random.below(12))),
            5 => storage.set_faults(random_faults(&mut random)),
            6 => storage.set_faults(Faults::default()),
            7 => storage.cut_power_after(random.below(30) as u64 + 1),
            8 => storage.set_capacity(random.chance(0.5).then(|| storage.used_bytes() + random.below(3000) as u64)),
            9 => {
                // A flush made everything up to here safe elsewhere.
                model.safe = model.safe.max(opened.log.last_lsn().saturating_sub(random.below(20) as u64));
                let _ = opened.log.truncate_below(model.safe);
            }
            10 => drop(opened.log.resume()),
            _ => {
                drop(opened);
                if storage.is_off() || random.chance(0.5) {
                    storage.crash();
                }
                opened = open_somehow(&storage, &mut model);
            }
        }
    }
    drop(opened);
    storage.crash();
    storage.set_faults(Faults::default());
    storage.set_capacity(None);
    opened = open_somehow(&storage, &mut model);
    assert!(model.submit(&opened, 3), "a healthy disk takes everything");
    assert_eq!(storage.counts().syncs_after_failure, 0, "a failed sync is never repeated");
}

/// Seeds of one run: 300, or as many as `WAL_SIM_SEEDS` says (the nightly run asks for 20,000).
fn seeds() -> u64 {
    std::env::var("WAL_SIM_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(300)
}

#[test]
fn no_history_loses_doubles_or_invents_an_entry() {
    let only = std::env::var("WAL_SIM_SEED").ok().and_then(|text| text.parse().ok());
    for seed in only.map_or(0..seeds(), |seed: u64| seed..seed + 1) {
        let outcome = std::panic::catch_unwind(|| run(seed));
        assert!(outcome.is_ok(), "seed {seed}");
    }
}

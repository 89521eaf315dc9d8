//! One connection that sends samples and writes down what was acknowledged.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use series::{Batch, Timestamp};

use super::values::{Random, value_at};
use crate::http::Connection;
use crate::remote_write;

/// Series of one sender.
pub const SERIES: u64 = 40;
/// Bytes of one entry of the ledger: series, milliseconds, bits of the value.
const ENTRY_BYTES: usize = 24;

/// A request: series with their times.
type Request = Vec<(u64, Vec<i64>)>;

/// One sender with its ledger.
pub struct Sender {
    seed: u64,
    id: u64,
    random: Random,
    /// Newest time of each series; no time comes twice but in repeats.
    clocks: Vec<i64>,
    ledger: PathBuf,
    /// Sent, but the answer never came.
    unclear: Option<Request>,
    /// Made, but sent after a later one.
    held: Option<Request>,
    /// A request acknowledged before.
    done: Option<Request>,
    /// Every time ever sent, by series, sorted.
    sent: BTreeMap<u64, Vec<i64>>,
}

/// An acknowledged sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Number of its series among those of the sender.
    pub series: u64,
    /// Milliseconds.
    pub at: i64,
    /// Bits of its value.
    pub bits: u64,
}

/// A file of acknowledged samples, each synced before it counts.
#[derive(Debug, Clone)]
pub struct Ledger(PathBuf);

impl Ledger {
    /// Leaves the first `n_entries` only.
    pub fn cut(&self, n_entries: usize) {
        if let Ok(file) = OpenOptions::new().write(true).open(&self.0) {
            file.set_len((n_entries * ENTRY_BYTES) as u64).expect("the ledger can be cut");
        }
    }

    /// Whole entries so far.
    pub fn entries(&self) -> Vec<Entry> {
        let mut bytes = Vec::new();
        if let Ok(mut file) = File::open(&self.0) {
            file.read_to_end(&mut bytes).expect("the ledger can be read");
        }
        let word =
            |entry: &[u8], i: usize| entry[i * 8..][..8].try_into().map(u64::from_le_bytes).expect("eight bytes");
        let entry = |entry: &[u8]| Entry { series: word(entry, 0), at: word(entry, 1) as i64, bits: word(entry, 2) };
        bytes.chunks_exact(ENTRY_BYTES).map(entry).collect()
    }
}

/// What came of a request.
enum Fate {
    Acknowledged,
    /// The server is busy; send it again.
    Refused,
    /// The connection broke.
    Unclear,
}

impl Sender {
    /// Sender number `id` of a run, whose ledger is the file `ledger`.
    pub fn new(seed: u64, id: u64, start: Timestamp, ledger: &Path) -> Self {
        Self {
            seed,
            id,
            random: Random::new(seed, &format!("sender {id}")),
            clocks: vec![start.0; SERIES as usize],
            ledger: ledger.to_owned(),
            unclear: None,
            held: None,
            done: None,
            sent: BTreeMap::new(),
        }
    }

    /// Name of the metric that this sender writes.
    pub fn metric(&self) -> String {
        format!("ledger_value_{}", self.id)
    }

    /// Its number.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Whether a sample was ever sent, acknowledged or not.
    pub fn has_sent(&self, series: u64, at: i64) -> bool {
        self.sent.get(&series).is_some_and(|times| times.binary_search(&at).is_ok())
    }

    /// Times ever sent, by series, sorted.
    pub fn sent(&self) -> &BTreeMap<u64, Vec<i64>> {
        &self.sent
    }

    /// Everything acknowledged, as the ledger's file has it.
    pub fn acknowledged(&self) -> Vec<Entry> {
        self.ledger().entries()
    }

    /// The ledger, for those who look while the sender is at work.
    pub fn ledger(&self) -> Ledger {
        Ledger(self.ledger.clone())
    }

    /// Sends until the connection breaks. What is unclear from the life before is sent first.
    pub fn send_until_cut(&mut self, address: &str) {
        let Ok(mut connection) = Connection::open(address) else { return };
        let mut ledger = OpenOptions::new().create(true).append(true).open(&self.ledger).expect("the ledger opens");
        loop {
            let request = self.next();
            match self.send(&mut connection, &request) {
                Fate::Acknowledged => {
                    self.write_down(&mut ledger, &request);
                    self.done = Some(request);
                }
                Fate::Refused => self.unclear = Some(request),
                Fate::Unclear => {
                    self.unclear = Some(request);
                    return;
                }
            }
            std::thread::sleep(self.random.millis(0, 8));
        }
    }

    fn next(&mut self) -> Request {
        if let Some(request) = self.unclear.take() {
            return request;
        }
        if self.random.one_in(8)
            && let Some(request) = self.done.take()
        {
            return request;
        }
        if self.random.one_in(3)
            && let Some(request) = self.held.take()
        {
            return request;
        }
        let request = self.make();
        if self.held.is_none() && self.random.one_in(6) {
            self.held = Some(request);
            return self.make();
        }
        request
    }

    fn make(&mut self) -> Request {
        let mut request = BTreeMap::new();
        for _ in 0..self.random.between(1, 8) {
            let series = self.random.between(0, SERIES - 1);
            let n_samples = self.random.between(1, 8);
            let times: &mut Vec<i64> = request.entry(series).or_default();
            for _ in 0..n_samples {
                self.clocks[series as usize] += self.random.between(1, 900) as i64;
                times.push(self.clocks[series as usize]);
            }
        }
        request.into_iter().collect()
    }

    fn send(&mut self, connection: &mut Connection, request: &Request) -> Fate {
        for (series, times) in request {
            let sent = self.sent.entry(*series).or_default();
            let is_new = sent.binary_search(&times[0]).is_err();
            if is_new {
                sent.extend(times);
                sent.sort_unstable();
            }
        }
        let Ok(answer) = remote_write::send(connection, &self.batch(request)) else { return Fate::Unclear };
        match answer.status {
            204 => Fate::Acknowledged,
            429 | 500..=599 => Fate::Refused,
            status => panic!("a good request was answered {status}: {}", answer.text()),
        }
    }

    fn batch(&self, request: &Request) -> Batch {
        let (mut batch, metric) = (Batch::default(), self.metric());
        for (series, times) in request {
            let samples: Vec<_> = times.iter().map(|&at| (at, value_at(self.seed, self.global(*series), at))).collect();
            remote_write::put(&mut batch, &[("__name__", &metric), ("s", &series.to_string())], &samples);
        }
        batch
    }

    /// Number of one of its series among the series of all senders.
    pub fn global(&self, series: u64) -> u64 {
        self.id * SERIES + series
    }

    /// Only what is on the disk counts as acknowledged.
    fn write_down(&self, ledger: &mut File, request: &Request) {
        let mut bytes = Vec::new();
        for (series, times) in request {
            for &at in times {
                let bits = value_at(self.seed, self.global(*series), at).to_bits();
                for word in [*series, at as u64, bits] {
                    bytes.extend_from_slice(&word.to_le_bytes());
                }
            }
        }
        ledger.write_all(&bytes).and_then(|()| ledger.sync_data()).expect("the ledger can be written");
    }
}

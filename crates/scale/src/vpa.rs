//! The Vertical Pod Autoscaler's recommender, as a baseline to be measured against.
//!
//! Source: kubernetes/autoscaler `vertical-pod-autoscaler/pkg/recommender` (decaying histogram, percentile estimators,
//! confidence multiplier, minimal resources). Differences: one container, no checkpoints, no LimitRange.

use series::{Millis, Timestamp};

const RATIO: f64 = 1.05;
const EMPTY: f64 = 1e-4;
const HALF_LIFE: Millis = Millis::from_hours(24);
const SAFETY: f64 = 1.15;
const MIB: f64 = 1_048_576.0;
const MIN_CPU_CORES: f64 = 0.025;
const MIN_MEMORY_BYTES: f64 = 250.0 * MIB;
const CPU_WEIGHT: f64 = 0.1;
const SAMPLES_PER_DAY: f64 = 1440.0;

/// Exponential buckets, start(n) = first · (1.05ⁿ − 1) / 0.05, whose weights halve every 24 hours.
#[derive(Debug, Clone)]
pub struct DecayingHistogram {
    first: f64,
    weights: Vec<f64>,
    reference: Option<Timestamp>,
}

impl DecayingHistogram {
    /// For CPU: first bucket 0.01 core, up to 1,000 cores.
    pub fn cpu() -> Self {
        Self::new(0.01, 1000.0)
    }

    /// For memory: first bucket 10 MB, up to 1 TB.
    pub fn memory() -> Self {
        Self::new(1e7, 1e12)
    }

    fn new(first: f64, max: f64) -> Self {
        let buckets = ((max * (RATIO - 1.0) / first + 1.0).ln() / RATIO.ln()).ceil() as usize + 1;
        Self { first, weights: vec![0.0; buckets], reference: None }
    }

    fn index(&self, value: f64) -> usize {
        if value < self.first {
            return 0;
        }
        let place = ((value * (RATIO - 1.0) / self.first + 1.0).ln() / RATIO.ln()).floor();
        (place as usize).min(self.weights.len() - 1)
    }

    fn start(&self, index: usize) -> f64 {
        self.first * (RATIO.powi(i32::try_from(index).unwrap_or(i32::MAX)) - 1.0) / (RATIO - 1.0)
    }

    /// Adds `value` with `weight` (negative takes a sample back) at `at`; values that are not finite are ignored.
    pub fn add(&mut self, value: f64, weight: f64, at: Timestamp) {
        if !value.is_finite() || value < 0.0 || !weight.is_finite() {
            return;
        }
        let decayed = weight * self.decay(at);
        let index = self.index(value);
        self.weights[index] = (self.weights[index] + decayed).max(0.0);
    }

    /// Newer samples weigh more than old ones lose; the reference moves before the powers of two overflow.
    fn decay(&mut self, at: Timestamp) -> f64 {
        let half_life = HALF_LIFE.0 as f64;
        let reference = *self.reference.get_or_insert(Timestamp(round_to(at.0, HALF_LIFE.0)));
        let ahead = (at - reference).0 as f64 / half_life;
        if ahead <= 100.0 {
            return ahead.exp2();
        }
        let moved = Timestamp(round_to(at.0, HALF_LIFE.0));
        let scale = (-((moved - reference).0 as f64) / half_life).exp2();
        self.weights.iter_mut().for_each(|weight| *weight *= scale);
        self.reference = Some(moved);
        ((at - moved).0 as f64 / half_life).exp2()
    }

    /// The end of the bucket where the running weight reaches `p` of the total; 0 when empty.
    pub fn percentile(&self, p: f64) -> f64 {
        let filled = |weight: &f64| *weight >= EMPTY;
        let (Some(first), Some(last)) = (self.weights.iter().position(filled), self.weights.iter().rposition(filled))
        else {
            return 0.0;
        };
        let threshold = p * self.weights.iter().sum::<f64>();
        let mut running = 0.0;
        let mut bucket = first;
        while bucket < last {
            running += self.weights[bucket];
            if running >= threshold {
                break;
            }
            bucket += 1;
        }
        if bucket + 1 < self.weights.len() { self.start(bucket + 1) } else { self.start(bucket) }
    }
}

fn round_to(at: i64, unit: i64) -> i64 {
    at.saturating_add(unit / 2).div_euclid(unit).saturating_mul(unit)
}

/// One resource of a recommendation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VpaEstimate {
    /// Below it the updater acts.
    pub lower: f64,
    /// What to request.
    pub target: f64,
    /// Above it the updater acts; infinite without history.
    pub upper: f64,
}

/// Cores and bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VpaRecommendation {
    /// Cores.
    pub cpu_cores: VpaEstimate,
    /// Bytes.
    pub memory_bytes: VpaEstimate,
}

/// State of one container of a pod with one container.
#[derive(Debug, Clone)]
pub struct VpaRecommender {
    cpu: DecayingHistogram,
    memory: DecayingHistogram,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
    samples: u64,
    peak: Option<MemoryPeak>,
}

#[derive(Debug, Clone, Copy)]
struct MemoryPeak {
    window_end: Timestamp,
    bytes: f64,
}

impl Default for VpaRecommender {
    fn default() -> Self {
        let (cpu, memory) = (DecayingHistogram::cpu(), DecayingHistogram::memory());
        Self { cpu, memory, first: None, last: None, samples: 0, peak: None }
    }
}

impl VpaRecommender {
    /// Takes one CPU sample in cores; samples out of order or negative are dropped.
    pub fn add_cpu(&mut self, at: Timestamp, cores: f64) {
        if !cores.is_finite() || cores < 0.0 || self.last.is_some_and(|last| at <= last) {
            return;
        }
        self.cpu.add(cores, CPU_WEIGHT, at);
        self.first.get_or_insert(at);
        self.last = Some(at);
        self.samples += 1;
    }

    /// Takes one memory sample in bytes: the peak of each 24 h window enters once, at the window's end.
    pub fn add_memory(&mut self, at: Timestamp, bytes: f64) {
        if bytes.is_finite() && bytes >= 0.0 {
            self.enter_memory(at, bytes, false);
        }
    }

    /// Takes an out-of-memory kill: `max(used + 100 MiB, 1.2 · used)` enters as a memory sample.
    pub fn add_oom(&mut self, at: Timestamp, request_bytes: f64) {
        if !request_bytes.is_finite() || request_bytes < 0.0 {
            return;
        }
        let used = self.peak.map_or(request_bytes, |peak| peak.bytes.max(request_bytes));
        self.enter_memory(at, (used + 100.0 * MIB).max(used * 1.2), true);
    }

    fn enter_memory(&mut self, at: Timestamp, bytes: f64, oom: bool) {
        let window = HALF_LIFE;
        match self.peak {
            Some(peak) if at < peak.window_end => {
                if at < peak.window_end - Millis(2 * window.0) || (!oom && at < peak.window_end - window) {
                    return;
                }
                if bytes > peak.bytes {
                    self.memory.add(peak.bytes, -1.0, peak.window_end);
                    self.memory.add(bytes, 1.0, peak.window_end);
                    self.peak = Some(MemoryPeak { bytes, ..peak });
                }
            }
            earlier => {
                let end = match earlier {
                    Some(peak) => {
                        let windows = (at - peak.window_end).0.div_euclid(window.0) + 1;
                        peak.window_end + Millis(windows.saturating_mul(window.0))
                    }
                    None => at + window,
                };
                self.memory.add(bytes, 1.0, end);
                self.peak = Some(MemoryPeak { window_end: end, bytes });
            }
        }
    }

    /// The recommendation: P90, P50 and P95 with 15 % on top, widened while history is short.
    pub fn recommend(&self) -> VpaRecommendation {
        let days = match (self.first, self.last) {
            (Some(first), Some(last)) => (last - first).0 as f64 / 86_400_000.0,
            _ => 0.0,
        };
        let confidence = days.min(self.samples as f64 / SAMPLES_PER_DAY);
        let estimate = |histogram: &DecayingHistogram, least: f64| {
            let (lower, upper) = if confidence > 0.0 {
                ((1.0 + 0.001 / confidence).powi(-2), 1.0 + 1.0 / confidence)
            } else {
                (0.0, f64::INFINITY)
            };
            VpaEstimate {
                lower: (histogram.percentile(0.5) * SAFETY * lower).max(least),
                target: (histogram.percentile(0.9) * SAFETY).max(least),
                upper: if upper.is_finite() { (histogram.percentile(0.95) * SAFETY * upper).max(least) } else { upper },
            }
        };
        VpaRecommendation {
            cpu_cores: estimate(&self.cpu, MIN_CPU_CORES),
            memory_bytes: estimate(&self.memory, MIN_MEMORY_BYTES),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_buckets_are_the_published_ones() {
        assert_eq!(DecayingHistogram::cpu().weights.len(), 176);
        assert_eq!(DecayingHistogram::memory().weights.len(), 176);
        let cpu = DecayingHistogram::cpu();
        assert_eq!((cpu.start(0), cpu.index(0.009), cpu.index(1e9)), (0.0, 0, 175));
        assert!((cpu.start(1) - 0.01).abs() < 1e-12);
    }

    #[test]
    fn a_steady_container_gets_its_use_and_fifteen_percent() {
        let mut vpa = VpaRecommender::default();
        for minute in 0..8 * 1440_i64 {
            vpa.add_cpu(Timestamp(minute * 60_000), 1.0);
            vpa.add_memory(Timestamp(minute * 60_000), 1e9);
        }
        let got = vpa.recommend();
        // Bucket ends are at most 5 % above the value.
        assert!((1.15..1.15 * 1.06).contains(&got.cpu_cores.target), "{got:?}");
        assert!((1.15e9..1.15e9 * 1.06).contains(&got.memory_bytes.target), "{got:?}");
        assert!(got.cpu_cores.lower <= got.cpu_cores.target && got.cpu_cores.target < got.cpu_cores.upper);
        assert!((got.cpu_cores.upper / got.cpu_cores.target - 1.125).abs() < 0.01, "eight days widen by an eighth");
    }

    #[test]
    fn old_load_is_forgotten_and_no_history_is_no_bound() {
        let mut vpa = VpaRecommender::default();
        assert_eq!(vpa.recommend().cpu_cores.upper, f64::INFINITY);
        for minute in 0..200 * 1440_i64 {
            vpa.add_cpu(Timestamp(minute * 60_000), if minute < 1440 { 50.0 } else { 0.5 });
        }
        assert!(vpa.recommend().cpu_cores.upper < 0.7, "{:?}", vpa.recommend());
    }

    #[test]
    fn a_kill_raises_the_memory() {
        let mut vpa = VpaRecommender::default();
        for minute in 0..3 * 1440_i64 {
            vpa.add_memory(Timestamp(minute * 60_000), 1e9);
        }
        let before = vpa.recommend().memory_bytes.target;
        vpa.add_oom(Timestamp(3 * 86_400_000), 1e9);
        assert!(vpa.recommend().memory_bytes.target > before * 1.1);
    }
}

//! The last `n` values of a series, the state of every model that looks a fixed way back.

/// A bounded window over the end of a series. Index 1 is the newest value.
#[derive(Debug, Clone)]
pub(crate) struct Ring {
    values: Vec<f64>,
    /// Where the next value goes once the window is full.
    next: usize,
    capacity: usize,
}

impl Ring {
    /// The last `capacity` values of `y` (`capacity` ≥ 1).
    pub(crate) fn of(y: &[f64], capacity: usize) -> Self {
        let capacity = capacity.max(1);
        let kept = &y[y.len().saturating_sub(capacity)..];
        Self { values: kept.to_vec(), next: 0, capacity }
    }

    pub(crate) fn push(&mut self, value: f64) {
        if self.values.len() < self.capacity {
            self.values.push(value);
        } else {
            self.values[self.next] = value;
            self.next = (self.next + 1) % self.capacity;
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    /// The value `lag` cells back, 1 being the newest; callers keep `lag` within `1..=len`.
    #[inline]
    pub(crate) fn back(&self, lag: usize) -> f64 {
        let n = self.values.len();
        // Oldest first, the window starts at `next` once full and at 0 before (then `next` is 0 as well).
        let index = self.next + n - lag;
        self.values[if index >= n { index - n } else { index }]
    }

    /// Oldest first.
    pub(crate) fn to_vec(&self) -> Vec<f64> {
        (1..=self.len()).rev().map(|lag| self.back(lag)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_newest_values_in_order() {
        let mut ring = Ring::of(&[1.0, 2.0], 3);
        assert_eq!(ring.to_vec(), [1.0, 2.0]);
        for v in 3..9 {
            ring.push(f64::from(v));
        }
        assert_eq!(ring.to_vec(), [6.0, 7.0, 8.0]);
        assert_eq!((ring.back(1), ring.back(3)), (8.0, 6.0));
    }
}

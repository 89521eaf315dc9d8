//! Ridge-penalised normal equations, solved by Cholesky: for the small systems that are solved many times a forecast.
//!
//! Larger regressions with a design matrix of their own go through linfa ([`crate::family::Fourier`]).

/// Normal equations of a least-squares problem with `p` features, built row by row.
#[derive(Debug, Clone)]
pub(crate) struct Normal {
    /// Lower triangle of XᵀX, row by row in a p × p array.
    gram: Vec<f64>,
    moments: Vec<f64>,
    p: usize,
}

impl Normal {
    pub(crate) fn new(p: usize) -> Self {
        Self { gram: vec![0.0; p * p], moments: vec![0.0; p], p }
    }

    /// Adds one observation.
    #[inline]
    pub(crate) fn add(&mut self, row: &[f64], target: f64, weight: f64) {
        for i in 0..self.p {
            let x = weight * row[i];
            self.moments[i] += x * target;
            let line = &mut self.gram[i * self.p..=i * self.p + i];
            for (g, other) in line.iter_mut().zip(row) {
                *g += x * other;
            }
        }
    }

    /// Coefficients that minimise squared error plus `penalty[i]` times their own square; `None` when singular.
    pub(crate) fn solve(&self, penalty: &[f64]) -> Option<Vec<f64>> {
        let p = self.p;
        let mut factor = self.gram.clone();
        for i in 0..p {
            factor[i * p + i] += penalty[i];
        }
        for i in 0..p {
            for j in 0..=i {
                let dot: f64 = (0..j).map(|k| factor[i * p + k] * factor[j * p + k]).sum();
                let rest = factor[i * p + j] - dot;
                if i == j {
                    if rest.is_nan() || rest <= 0.0 {
                        return None;
                    }
                    factor[i * p + i] = rest.sqrt();
                } else {
                    factor[i * p + j] = rest / factor[j * p + j];
                }
            }
        }
        let mut x = self.moments.clone();
        for i in 0..p {
            let dot: f64 = (0..i).map(|k| factor[i * p + k] * x[k]).sum();
            x[i] = (x[i] - dot) / factor[i * p + i];
        }
        for i in (0..p).rev() {
            let dot: f64 = (i + 1..p).map(|k| factor[k * p + i] * x[k]).sum();
            x[i] = (x[i] - dot) / factor[i * p + i];
        }
        x.iter().all(|v| v.is_finite()).then_some(x)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn solves_an_exact_system_and_shrinks_under_penalty() {
        let mut normal = Normal::new(2);
        for (a, b) in [(1.0, 0.0), (0.0, 1.0), (1.0, 1.0), (2.0, -1.0)] {
            normal.add(&[a, b], 3.0 * a - 2.0 * b, 1.0);
        }
        let x = normal.solve(&[0.0, 0.0]).unwrap();
        assert!((x[0] - 3.0).abs() < 1e-12 && (x[1] + 2.0).abs() < 1e-12, "{x:?}");
        let shrunk = normal.solve(&[1e6, 1e6]).unwrap();
        assert!(shrunk[0].abs() < 1e-3);
        assert_eq!(Normal::new(2).solve(&[0.0, 0.0]), None);
    }
}

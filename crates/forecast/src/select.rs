//! From back-test errors to weights: shrink, cut, combine.
//!
//! Picking the single best candidate of a few origins overfits them; equal weights waste what they show. In between:
//! every error is pulled towards the mean of all by some pseudo-origins, what is far behind the best stays out, and
//! the rest is weighted by a power of the inverse error (Bates & Granger, 1969).

use crate::policy::Policy;

/// Weights of the candidates, adding up to 1, from their mean errors (NaN: could not be scored, weight 0).
///
/// `origins` is the number of independent origins behind each error.
pub(crate) fn weights(errors: &[f64], origins: f64, policy: &Policy) -> Vec<f64> {
    let mut weights = vec![0.0; errors.len()];
    let mut order: Vec<usize> = (0..errors.len()).filter(|i| errors[*i].is_finite()).collect();
    order.sort_by(|a, b| errors[*a].total_cmp(&errors[*b]));
    let Some(&best) = order.first() else { return weights };
    if errors[best] <= 0.0 {
        weights[best] = 1.0;
        return weights;
    }
    // The better half sets the centre, so that a hopeless candidate does not pull everybody together.
    let half = &order[..order.len().div_ceil(2)];
    let centre = half.iter().map(|i| errors[*i]).sum::<f64>() / half.len() as f64;
    let shrunk = |i: usize| (origins * errors[i] + policy.shrinkage * centre) / (origins + policy.shrinkage);
    let least = shrunk(best);
    for &i in order.iter().take(policy.members) {
        let relative = shrunk(i) / least;
        if relative <= policy.keep {
            weights[i] = relative.powf(-policy.sharpness);
        }
    }
    let total: f64 = weights.iter().sum();
    weights.iter_mut().for_each(|w| *w /= total);
    weights
}

/// The weighted mean of several candidates' paths from every origin.
pub(crate) fn combine(runs: &[(f64, &[Vec<f64>])]) -> Vec<Vec<f64>> {
    let Some((_, first)) = runs.first() else { return Vec::new() };
    let mut combined: Vec<Vec<f64>> = first.iter().map(|path| vec![0.0; path.len()]).collect();
    for (weight, paths) in runs {
        for (sum, path) in combined.iter_mut().zip(paths.iter()) {
            for (s, v) in sum.iter_mut().zip(path) {
                *s += weight * v;
            }
        }
    }
    combined
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> Policy {
        Policy { members: 3, keep: 1.5, sharpness: 2.0, shrinkage: 0.0, ..Policy::shipped().unwrap().clone() }
    }

    #[test]
    fn weights_follow_inverse_errors_and_leave_out_the_hopeless() {
        let weights = weights(&[1.0, 2f64.sqrt(), f64::NAN, 9.0], 5.0, &policy());
        assert!((weights[0] - 2.0 / 3.0).abs() < 1e-12 && (weights[1] - 1.0 / 3.0).abs() < 1e-12);
        assert_eq!(weights[2..], [0.0, 0.0]);
    }

    #[test]
    fn a_perfect_candidate_takes_all_and_none_takes_nothing() {
        assert_eq!(weights(&[0.5, 0.0, 0.0], 5.0, &policy()), [0.0, 1.0, 0.0]);
        assert_eq!(weights(&[f64::NAN], 5.0, &policy()), [0.0]);
    }

    #[test]
    fn combining_is_a_weighted_mean() {
        let (a, b) = (vec![vec![1.0, 2.0]], vec![vec![3.0, 6.0]]);
        assert_eq!(combine(&[(0.5, &a), (0.5, &b)]), [[2.0, 4.0]]);
    }
}

//! The simplex search of Nelder & Mead (1965), bounded in evaluations and deterministic.
//!
//! Constraints are expressed by the objective returning infinity (or NaN, read as infinity) outside.

/// Limits of one search.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Most evaluations of the objective.
    pub(crate) evaluations: usize,
    /// Stop when the objective's spread over the simplex falls below this share of its magnitude.
    pub(crate) tolerance: f64,
}

/// Minimises `objective` from `start`, with a first simplex of `step` along each axis.
///
/// Returns the best point and its value; `start` itself when nothing better was found.
pub(crate) fn minimize(
    mut objective: impl FnMut(&[f64]) -> f64,
    start: &[f64],
    step: &[f64],
    limits: Limits,
) -> (Vec<f64>, f64) {
    let n = start.len();
    let mut spent = 0;
    let mut evaluate = |x: &[f64]| {
        spent += 1;
        let value = objective(x);
        (if value.is_nan() { f64::INFINITY } else { value }, spent)
    };
    let mut simplex: Vec<(Vec<f64>, f64)> = Vec::with_capacity(n + 1);
    simplex.push((start.to_vec(), evaluate(start).0));
    for axis in 0..n {
        let mut corner = start.to_vec();
        corner[axis] += step[axis];
        let value = evaluate(&corner).0;
        simplex.push((corner, value));
    }
    let mut spent_so_far = n + 1;
    while spent_so_far < limits.evaluations && n > 0 {
        simplex.sort_by(|a, b| a.1.total_cmp(&b.1));
        let (best, worst) = (simplex[0].1, simplex[n].1);
        if worst - best <= limits.tolerance * (best.abs() + limits.tolerance) {
            break;
        }
        spent_so_far = improve(&mut simplex, &mut evaluate);
    }
    simplex.sort_by(|a, b| a.1.total_cmp(&b.1));
    simplex.swap_remove(0)
}

/// One round: reflect, then expand, contract or shrink. The simplex comes in sorted.
fn improve(simplex: &mut [(Vec<f64>, f64)], evaluate: &mut impl FnMut(&[f64]) -> (f64, usize)) -> usize {
    let n = simplex.len() - 1;
    let mut centre = vec![0.0; n];
    for (corner, _) in &simplex[..n] {
        for (c, x) in centre.iter_mut().zip(corner) {
            *c += x / n as f64;
        }
    }
    let worst = simplex[n].clone();
    let along = |t: f64| -> Vec<f64> { centre.iter().zip(&worst.0).map(|(c, w)| c + t * (w - c)).collect() };
    let reflected = along(-1.0);
    let (value, mut spent) = evaluate(&reflected);
    if value < simplex[0].1 {
        let expanded = along(-2.0);
        let (further, now) = evaluate(&expanded);
        spent = now;
        simplex[n] = if further < value { (expanded, further) } else { (reflected, value) };
    } else if value < simplex[n - 1].1 {
        simplex[n] = (reflected, value);
    } else {
        let outside = value < worst.1;
        let contracted = along(if outside { -0.5 } else { 0.5 });
        let (closer, now) = evaluate(&contracted);
        spent = now;
        if closer < value.min(worst.1) {
            simplex[n] = (contracted, closer);
        } else {
            spent = shrink(simplex, evaluate);
        }
    }
    spent
}

fn shrink(simplex: &mut [(Vec<f64>, f64)], evaluate: &mut impl FnMut(&[f64]) -> (f64, usize)) -> usize {
    let best = simplex[0].0.clone();
    let mut spent = 0;
    for (corner, value) in &mut simplex[1..] {
        for (x, b) in corner.iter_mut().zip(&best) {
            *x = b + 0.5 * (*x - b);
        }
        (*value, spent) = evaluate(corner);
    }
    spent
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { evaluations: 2_000, tolerance: 1e-12 };

    #[test]
    fn finds_the_bottom_of_rosenbrocks_valley() {
        let rosenbrock = |x: &[f64]| (1.0 - x[0]).powi(2) + 100.0 * (x[1] - x[0] * x[0]).powi(2);
        let (x, value) = minimize(rosenbrock, &[-1.2, 1.0], &[0.5, 0.5], LIMITS);
        assert!(value < 1e-8, "{value}");
        assert!((x[0] - 1.0).abs() < 1e-3 && (x[1] - 1.0).abs() < 1e-3, "{x:?}");
    }

    #[test]
    fn respects_the_budget_and_survives_nan() {
        let mut calls = 0;
        let limits = Limits { evaluations: 50, tolerance: 0.0 };
        let (x, value) = minimize(
            |_| {
                calls += 1;
                f64::NAN
            },
            &[1.0, 2.0],
            &[0.1, 0.1],
            limits,
        );
        assert_eq!((x, value), (vec![1.0, 2.0], f64::INFINITY));
        assert!(calls <= 50 + 4, "{calls}");
    }
}

//! What has to hold for every request: no panic, finite ordered answers inside the bounds, equivariance, determinism.

use forecast::{Bounds, ModelChoice, Request, Seasons, forecast, models};
use proptest::prelude::*;

/// Values a store can hand out, the hostile ones included.
fn hostile() -> impl Strategy<Value = f64> {
    prop_oneof![
        6 => -1e3..1e3f64,
        2 => (0..5i32).prop_map(f64::from),
        1 => Just(f64::NAN),
        1 => prop_oneof![Just(f64::INFINITY), Just(f64::NEG_INFINITY), Just(f64::MAX), Just(-f64::MAX), Just(5e-324)],
    ]
}

/// A season, a trend and some noise, all positive.
fn seasonal(n: usize, seed: u64) -> Vec<f64> {
    let mut state = seed.wrapping_add(1);
    let mut noise = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as f64 / f64::from(1u32 << 31)
    };
    (0..n).map(|t| 100.0 + 0.1 * t as f64 + 20.0 * ((t % 12) as f64 / 12.0 * 6.3).sin() + 5.0 * noise()).collect()
}

fn names() -> Vec<String> {
    let expression = |name: &str| match name {
        "log" => "log(mstl)".to_owned(),
        "mean" => "mean(ets,theta)".to_owned(),
        other => other.to_owned(),
    };
    models().iter().map(|m| expression(m.name)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn nothing_panics_and_every_answer_is_sane(
        y in prop::collection::vec(hostile(), 0..120),
        step_ms in prop_oneof![Just(0i64), Just(-5), Just(1), Just(60_000), Just(3_600_000), Just(i64::MAX)],
        horizon in 0usize..40,
        quantiles in prop::collection::vec(prop_oneof![8 => 0.001..0.999f64, 1 => Just(1.5), 1 => Just(f64::NAN)], 0..5),
        seasons in prop_oneof![Just(Seasons::Auto), prop::collection::vec(0usize..60, 0..4).prop_map(Seasons::Given)],
        folds in 0usize..8,
        which in 0usize..40,
        lower in prop_oneof![Just(None), (-2e3..2e3f64).prop_map(Some)],
    ) {
        let names = names();
        let model = ModelChoice::Named(names[which % names.len()].clone());
        let bounds = Bounds { lower, upper: None };
        let request = Request { y: &y, step_ms, seasons, horizon, quantiles: &quantiles, model, bounds, folds };
        let Ok(answer) = forecast(&request) else { return Ok(()) };
        prop_assert_eq!(answer.mean.len(), horizon);
        prop_assert!(answer.mean.iter().all(|v| v.is_finite() && lower.is_none_or(|l| *v >= l)));
        for pair in answer.quantiles.windows(2) {
            prop_assert!(pair[0].level < pair[1].level);
            prop_assert!(pair[0].values.iter().zip(&pair[1].values).all(|(a, b)| a <= b), "quantiles cross");
        }
        for path in &answer.quantiles {
            prop_assert_eq!(path.values.len(), horizon);
            prop_assert!(path.values.iter().all(|v| v.is_finite() && lower.is_none_or(|l| *v >= l)));
        }
        let total: f64 = answer.backtest.candidates.iter().map(|c| c.weight).sum();
        prop_assert!(answer.backtest.candidates.is_empty() || (total - 1.0).abs() < 1e-9, "weights add up to {}", total);
    }

}

proptest! {
    // A competition runs in each of these; a few dozen cases keep the unoptimised build quick.
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn scaling_by_a_power_of_two_scales_the_answer_exactly(seed in 0u64..1_000, power in -40i32..40) {
        let y = seasonal(120, seed);
        let factor = 2f64.powi(power);
        let scaled: Vec<f64> = y.iter().map(|v| v * factor).collect();
        let seasons = Seasons::Given(vec![12]);
        let plain = forecast(&Request { seasons: seasons.clone(), ..Request::new(&y, 1_000, 12) }).unwrap();
        let large = forecast(&Request { seasons, ..Request::new(&scaled, 1_000, 12) }).unwrap();
        prop_assert_eq!(&plain.model, &large.model);
        let expected: Vec<f64> = plain.mean.iter().map(|v| v * factor).collect();
        prop_assert_eq!(expected, large.mean);
        prop_assert_eq!(plain.backtest.coverage, large.backtest.coverage);
    }

    #[test]
    fn additive_models_follow_a_shift(seed in 0u64..1_000, shift in -50.0..500.0f64) {
        let y = seasonal(96, seed);
        let moved: Vec<f64> = y.iter().map(|v| v + shift).collect();
        let spread = 60.0;
        for name in ["naive", "drift", "seasonal-naive", "window-average", "seasonal-average", "profile", "sar"] {
            let ask = |y: &[f64]| {
                let model = ModelChoice::Named(name.into());
                forecast(&Request { seasons: Seasons::Given(vec![12]), model, ..Request::new(y, 1_000, 12) }).unwrap()
            };
            let (a, b) = (ask(&y), ask(&moved));
            for (v, w) in a.mean.iter().zip(&b.mean) {
                prop_assert!((v + shift - w).abs() < 1e-6 * spread, "{name}: {v} + {shift} against {w}");
            }
        }
    }

    #[test]
    fn the_same_request_gives_the_same_bits(seed in 0u64..100) {
        let y = seasonal(150, seed);
        let request = Request::new(&y, 3_600_000, 24);
        prop_assert_eq!(forecast(&request).unwrap(), forecast(&request).unwrap());
    }
}

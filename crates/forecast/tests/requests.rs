//! The front door: what is refused, what falls back, what is noted.

use forecast::{Bounds, ForecastError, ModelChoice, Note, Request, Seasons, Spec, forecast, track};

const HOUR: i64 = 3_600_000;

/// Four weeks of hours with a day and a weekend.
fn weeks() -> Vec<f64> {
    (0..24 * 28)
        .map(|t| {
            let day = ((t % 24) as f64 / 24.0 * std::f64::consts::TAU).sin();
            let weekend = if t / 24 % 7 > 4 { 0.5 } else { 1.0 };
            100.0 * weekend * (1.5 + day) + f64::from(t * 7919 % 13)
        })
        .collect()
}

fn fault(request: &Request<'_>) -> ForecastError {
    forecast(request).expect_err("a fault")
}

#[test]
fn bad_requests_are_named() {
    let y = weeks();
    let good = Request::new(&y, HOUR, 24);
    assert_eq!(fault(&Request { y: &[], ..good.clone() }), ForecastError::Empty { needed: 4 });
    assert_eq!(fault(&Request { y: &[f64::NAN; 9], ..good.clone() }), ForecastError::AllGaps { cells: 9 });
    let few = [1.0, f64::NAN, 2.0, 3.0];
    assert!(matches!(fault(&Request { y: &few, ..good.clone() }), ForecastError::TooShort { observed: 3, .. }));
    assert!(matches!(fault(&Request { horizon: 0, ..good.clone() }), ForecastError::HorizonZero { .. }));
    assert!(matches!(fault(&Request { horizon: 1_000_000, ..good.clone() }), ForecastError::HorizonTooLong { .. }));
    assert_eq!(fault(&Request { step_ms: 0, ..good.clone() }), ForecastError::Step { step_ms: 0 });
    assert_eq!(fault(&Request { quantiles: &[0.5, 95.0], ..good.clone() }), ForecastError::Quantile { value: 95.0 });
    let absurd = Seasons::Given(vec![24, usize::MAX]);
    assert!(matches!(fault(&Request { seasons: absurd, ..good.clone() }), ForecastError::Season { .. }));
    let bounds = Bounds { lower: Some(2.0), upper: Some(1.0) };
    assert!(matches!(fault(&Request { bounds, ..good.clone() }), ForecastError::Bounds { .. }));
    assert!(matches!(fault(&Request { folds: 0, ..good.clone() }), ForecastError::Folds { .. }));
    let model = ModelChoice::Named("crystal-ball".into());
    assert!(matches!(fault(&Request { model, ..good.clone() }), ForecastError::UnknownModel { .. }));
    let negative: Vec<f64> = y.iter().map(|v| -v).collect();
    let model = ModelChoice::Named("log(mstl)".into());
    assert!(matches!(fault(&Request { y: &negative, model, ..good }), ForecastError::Fit { .. }));
}

#[test]
fn a_seasonal_history_is_forecast_better_than_by_its_last_season() {
    let y = weeks();
    let answer = forecast(&Request::new(&y[..24 * 27], HOUR, 24)).unwrap();
    assert_eq!(answer.seasons, [24, 168]);
    assert!(answer.backtest.chosen_rel < 0.6, "{:?}", answer.backtest);
    assert_eq!(answer.backtest.folds, 5);
    assert_eq!(answer.backtest.residuals_by_horizon.len(), 24);
    assert!(answer.backtest.mae_at(0).is_some());
    let accuracy = track(&answer.mean, &answer.quantiles, &y[24 * 27..]);
    assert_eq!(accuracy.cells, 24);
    assert!(accuracy.mae < 15.0, "{accuracy:?}");
    assert_eq!(accuracy.coverage.len(), 2);
}

#[test]
fn every_shipped_name_answers() {
    let y = weeks();
    for name in ["auto", "dot", "ets", "fourier", "harmonic", "mstl", "profile", "sar", "seasonal-naive", "theta"] {
        let model = ModelChoice::Named(name.into());
        let answer = forecast(&Request { model, ..Request::new(&y, HOUR, 24) }).unwrap();
        assert!(answer.backtest.chosen_rel.is_finite(), "{name}");
    }
}

#[test]
fn a_custom_specification_decides_model_and_season() {
    let text = "name = \"mine\"\nfamily = \"mean\"\nseason = [24]\n[parameters]\nmembers = [\"mstl\", \"sar\"]\n";
    let model = ModelChoice::Custom(Box::new(Spec::parse(text).unwrap()));
    let y = weeks();
    let answer = forecast(&Request { model, ..Request::new(&y, HOUR, 24) }).unwrap();
    assert_eq!(answer.seasons, [24]);
    assert!(answer.model.starts_with("mean(mstl(24)+ets("), "{}", answer.model);
}

#[test]
fn parameters_an_expression_cannot_state_reach_the_model() {
    let y = weeks();
    let ask = |form: &str| {
        let text = format!("name = \"m\"\nfamily = \"mstl\"\n[parameters]\nremainder = \"{form}\"\n");
        let model = ModelChoice::Custom(Box::new(Spec::parse(&text).unwrap()));
        forecast(&Request { model, ..Request::new(&y, HOUR, 24) }).unwrap().model
    };
    assert!(ask("A,A,N").ends_with("ets(A,A,N)"));
    assert!(ask("A,Ad,N").ends_with("ets(A,Ad,N)"));
}

#[test]
fn fallbacks_are_noted() {
    let constant = forecast(&Request::new(&[7.0; 50], HOUR, 3)).unwrap();
    assert_eq!((constant.mean, constant.notes), (vec![7.0; 3], vec![Note::Constant]));
    let short = forecast(&Request::new(&[1.0, 2.0, 4.0, 3.0, 5.0], HOUR, 30)).unwrap();
    assert!(short.notes.contains(&Note::ShortHistory { cells: 5 }), "{:?}", short.notes);
    assert!(short.quantile(0.9).unwrap()[29] > short.quantile(0.1).unwrap()[29]);
    let mut y = weeks();
    y[300..310].fill(f64::NAN);
    let gaps = forecast(&Request::new(&y, HOUR, 24)).unwrap();
    assert!(gaps.notes.contains(&Note::GapsFilled(10)));
    let steps: Vec<f64> = weeks().iter().enumerate().map(|(t, v)| v + if t > 300 { 900.0 } else { 0.0 }).collect();
    let shifted = forecast(&Request::new(&steps, HOUR, 24)).unwrap();
    let at = shifted.notes.iter().find_map(|n| if let Note::LevelShiftAt(at) = n { Some(*at) } else { None });
    assert!(at.is_some_and(|at| at.abs_diff(301) < 24), "{:?}", shifted.notes);
}

#[test]
fn bounds_hold_for_every_path() {
    let y: Vec<f64> = weeks().iter().map(|v| (v - 120.0).max(0.0)).collect();
    let bounds = Bounds { lower: Some(0.0), upper: Some(90.0) };
    let answer = forecast(&Request { bounds, ..Request::new(&y, HOUR, 48) }).unwrap();
    let paths = answer.quantiles.iter().map(|q| &q.values).chain([&answer.mean]);
    assert!(paths.flatten().all(|v| (0.0..=90.0).contains(v)));
}

#[test]
fn a_week_of_minutes_does_not_explode() {
    let y: Vec<f64> = (0..10_080 * 3)
        .map(|t| 50.0 + 20.0 * (t as f64 / 1_440.0 * std::f64::consts::TAU).sin() + f64::from(t * 31 % 17))
        .collect();
    let seasons = Seasons::Given(vec![1_440, 10_080]);
    let answer = forecast(&Request { seasons, ..Request::new(&y, 60_000, 1_440) }).unwrap();
    assert_eq!(answer.seasons, [1_440, 10_080]);
    assert!(answer.backtest.chosen_rel < 1.0);
}

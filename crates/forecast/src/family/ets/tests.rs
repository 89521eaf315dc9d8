//! Forms, recursion by hand, and agreement of fit and update.

use super::*;

const CONTEXT: Context<'_> = Context { step_ms: 1, seasons: &[4], main: 4, horizon: 4 };

#[test]
fn forms_read_back() {
    for text in ["A,N,N", "M,Ad,M", "A,Md,A", "M,M,N"] {
        assert_eq!(text.parse::<EtsForm>().unwrap().to_string(), text);
    }
    for text in ["N,N,N", "A,Nd,N", "A,N", "A,N,N,N", "Z,N,N"] {
        assert!(text.parse::<EtsForm>().is_err(), "{text}");
    }
}

#[test]
fn admissible_forms_are_the_fifteen_of_the_book() {
    assert_eq!(EtsForm::admissible(true, true).len(), 15);
    assert_eq!(EtsForm::admissible(true, false).len(), 6);
    assert_eq!(EtsForm::admissible(false, true).len(), 6);
}

#[test]
fn one_step_of_holt_winters_by_hand() {
    let form: EtsForm = "A,A,A".parse().unwrap();
    let p = Smoothing { alpha: 0.5, beta: 0.25, gamma: 0.1, phi: 1.0 };
    let mut state = State { level: 10.0, trend: 2.0, season: vec![1.0, -1.0], phase: 0 };
    assert_eq!(filter::step(form, &p, &mut state, 15.0), 13.0);
    assert_eq!((state.level, state.trend), (13.0, 2.5));
    assert!((state.season[0] - 1.2).abs() < 1e-12);
    assert_eq!(filter::extrapolate(form, 1.0, &state, 2), [13.0 + 2.5 - 1.0, 13.0 + 5.0 + 1.2]);
}

#[test]
fn an_exact_trend_and_season_is_continued() {
    let y: Vec<f64> = (0..60).map(|t| 20.0 + 0.5 * f64::from(t) + [0.0, 3.0, -2.0, -1.0][t as usize % 4]).collect();
    let path = Ets::of("A,A,A".parse().unwrap()).fit(&y, &CONTEXT).unwrap().predict(4);
    for (h, v) in path.iter().enumerate() {
        let truth = 20.0 + 0.5 * (60 + h) as f64 + [0.0, 3.0, -2.0, -1.0][h % 4];
        assert!((v - truth).abs() < 0.05, "{h}: {v} against {truth}");
    }
}

#[test]
fn multiplicative_forms_refuse_what_is_not_positive() {
    let y: Vec<f64> = (0..40).map(|t| f64::from(t % 4)).collect();
    let fault = Ets::of("M,N,M".parse().unwrap()).fit(&y, &CONTEXT).err();
    assert_eq!(fault, Some(FitError::NotPositive { index: 0 }));
    assert!(Ets::auto().fit(&y, &CONTEXT).is_ok());
}

#[test]
fn every_form_fits_positive_data_and_stays_finite() {
    let y: Vec<f64> = (0..60).map(|t| 30.0 + f64::from(t * 7 % 13) + f64::from(t % 4)).collect();
    for error in ["A", "M"] {
        for trend in ["N", "A", "Ad", "M", "Md"] {
            for season in ["N", "A", "M"] {
                let form: EtsForm = format!("{error},{trend},{season}").parse().unwrap();
                let mut fitted = Ets::of(form).fit(&y, &CONTEXT).unwrap();
                fitted.update(&[0.0, 5.0, 1e6, -3.0]);
                assert!(fitted.predict(50).iter().all(|v| v.is_finite()), "{form}");
            }
        }
    }
}

#[test]
fn short_histories_are_refused_with_the_number_needed() {
    let fault = Ets::of("A,A,A".parse().unwrap()).fit(&[1.0, 2.0, 3.0, 4.0, 5.0, 1.0, 2.0, 3.0], &CONTEXT).err();
    assert_eq!(fault, Some(FitError::TooShort { cells: 8, needed: 12 }));
}

//! Agreement with published and reference numbers.
//!
//! The reference is statsforecast 2.1.1 (`AutoETS(model=…)`, `Theta`, `DynamicOptimizedTheta`, season 12 for the
//! passengers, none for the Nile) and, for the passengers' AICc, R's `forecast::ets`. Point forecasts have to agree
//! within the stated share; a criterion may only be lower (a better optimum), not higher by more than one unit.

use super::ets::{self, EtsForm};
use super::{Theta, ThetaKind};
use crate::model::{Context, Fitted, Model};

/// Box & Jenkins: monthly international airline passengers, thousands, 1949 to 1960.
pub(crate) const PASSENGERS: [f64; 144] = [
    112., 118., 132., 129., 121., 135., 148., 148., 136., 119., 104., 118., 115., 126., 141., 135., 125., 149., 170.,
    170., 158., 133., 114., 140., 145., 150., 178., 163., 172., 178., 199., 199., 184., 162., 146., 166., 171., 180.,
    193., 181., 183., 218., 230., 242., 209., 191., 172., 194., 196., 196., 236., 235., 229., 243., 264., 272., 237.,
    211., 180., 201., 204., 188., 235., 227., 234., 264., 302., 293., 259., 229., 203., 229., 242., 233., 267., 269.,
    270., 315., 364., 347., 312., 274., 237., 278., 284., 277., 317., 313., 318., 374., 413., 405., 355., 306., 271.,
    306., 315., 301., 356., 348., 355., 422., 465., 467., 404., 347., 305., 336., 340., 318., 362., 348., 363., 435.,
    491., 505., 404., 359., 310., 337., 360., 342., 406., 396., 420., 472., 548., 559., 463., 407., 362., 405., 417.,
    391., 419., 461., 472., 535., 622., 606., 508., 461., 390., 432.,
];

/// Cobb (1978): annual flow of the Nile at Aswan, 10⁸ m³, 1871 to 1970.
const NILE: [f64; 100] = [
    1120., 1160., 963., 1210., 1160., 1160., 813., 1230., 1370., 1140., 995., 935., 1110., 994., 1020., 960., 1180.,
    799., 958., 1140., 1100., 1210., 1150., 1250., 1260., 1220., 1030., 1100., 774., 840., 874., 694., 940., 833.,
    701., 916., 692., 1020., 1050., 969., 831., 726., 456., 824., 702., 1120., 1100., 832., 764., 821., 768., 845.,
    864., 862., 698., 845., 744., 796., 1040., 759., 781., 865., 845., 944., 984., 897., 822., 1010., 771., 676., 649.,
    846., 812., 742., 801., 1040., 860., 874., 848., 890., 744., 749., 838., 1050., 918., 986., 797., 923., 975., 815.,
    1020., 906., 901., 1170., 912., 746., 919., 718., 714., 740.,
];

const MONTHS: Context<'_> = Context { step_ms: 2_592_000_000, seasons: &[12], main: 12, horizon: 12 };
const YEARS: Context<'_> = Context { step_ms: 31_536_000_000, seasons: &[], main: 1, horizon: 3 };

/// Every value within `share` of the reference.
fn agrees(path: &[f64], reference: &[f64], share: f64) {
    assert_eq!(path.len(), reference.len());
    for (v, r) in path.iter().zip(reference) {
        assert!((v - r).abs() <= share * r.abs(), "{path:.2?} against {reference:?}");
    }
}

#[test]
fn simple_smoothing_of_the_nile() {
    let fitted = ets::fit(Some(EtsForm::SIMPLE), 1, &NILE).unwrap();
    agrees(&fitted.predict(3), &[805.48, 805.48, 805.48], 0.002);
    assert!((fitted.aicc - 1459.03).abs() < 0.2, "{}", fitted.aicc);
    let trended = ets::fit(Some("A,A,N".parse().unwrap()), 1, &NILE).unwrap();
    assert!(trended.aicc < 1462.55 + 1.0, "{}", trended.aicc);
}

#[test]
fn the_passengers_get_a_multiplicative_season() {
    let best = ets::fit(None, 12, &PASSENGERS).unwrap();
    // R's forecast::ets(AirPassengers): ETS(M,Ad,M) with AICc 1400.6.
    assert!(best.aicc < 1400.64 + 1.0, "{} {}", best.name(), best.aicc);
    assert!(best.name().ends_with(",M)"), "{}", best.name());
    let additive = ets::fit(Some("A,A,A".parse().unwrap()), 12, &PASSENGERS).unwrap();
    assert!(additive.aicc < 1518.69 + 1.0, "{}", additive.aicc);
    let plain = ets::fit(Some(EtsForm::SIMPLE), 12, &PASSENGERS).unwrap();
    agrees(&plain.predict(2), &[432.0, 432.0], 0.001);
    assert!((plain.aicc - 1733.96).abs() < 0.2, "{}", plain.aicc);
}

#[test]
fn the_passengers_trend_is_carried_on() {
    // The mean of the next twelve months by ETS(M,Ad,M) in R, and by Theta in statsforecast, lies between 475 and 490.
    let fitted = ets::fit(Some("M,Ad,M".parse().unwrap()), 12, &PASSENGERS).unwrap();
    let mean = fitted.predict(12).iter().sum::<f64>() / 12.0;
    assert!((470.0..500.0).contains(&mean), "{mean}");
}

#[test]
fn standard_theta() {
    let reference = [440.97, 429.25, 490.69, 476.66, 480.63, 546.46, 603.95, 602.29, 524.99, 457.53, 398.74, 448.52];
    let theta = Theta { kind: ThetaKind::Standard, season: None };
    agrees(&theta.fit(&PASSENGERS, &MONTHS).unwrap().predict(12), &reference, 0.005);
    agrees(&theta.fit(&NILE, &YEARS).unwrap().predict(3), &[800.88, 799.53, 798.17], 0.005);
}

#[test]
fn optimised_theta() {
    let reference = [442.94, 432.23, 495.31, 482.31, 487.49, 555.58, 615.49, 615.24, 537.52, 469.54, 410.14, 462.4];
    let theta = Theta { kind: ThetaKind::Optimised, season: None };
    agrees(&theta.fit(&PASSENGERS, &MONTHS).unwrap().predict(12), &reference, 0.01);
}

#[test]
fn dynamic_optimised_theta() {
    let reference = [442.93, 432.3, 495.48, 482.58, 487.87, 556.12, 616.22, 616.11, 538.4, 470.41, 411.0, 463.48];
    let theta = Theta { kind: ThetaKind::DynamicOptimised, season: None };
    agrees(&theta.fit(&PASSENGERS, &MONTHS).unwrap().predict(12), &reference, 0.01);
    agrees(&theta.fit(&NILE, &YEARS).unwrap().predict(3), &[798.23; 3], 0.01);
}

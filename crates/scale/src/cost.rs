//! What resources cost.

use serde::{Deserialize, Serialize};

/// Hours of a month as clouds bill it (365.25 days / 12).
pub(crate) const HOURS_PER_MONTH: f64 = 730.5;

const GIB: f64 = (1_u64 << 30) as f64;

/// Prices of one unit for one hour, in one currency.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Prices {
    /// One core for an hour.
    #[serde(alias = "cpuHour")]
    pub cpu_hour: f64,
    /// One GiB of memory for an hour.
    #[serde(alias = "gibHour")]
    pub gib_hour: f64,
    /// One GiB of disk for a month.
    #[serde(alias = "diskGibMonth")]
    pub disk_gib_month: f64,
    /// ISO 4217 code.
    pub currency: String,
}

impl Default for Prices {
    fn default() -> Self {
        Self { cpu_hour: 0.031, gib_hour: 0.004, disk_gib_month: 0.08, currency: "USD".into() }
    }
}

impl Prices {
    /// Cost of `cores` and `memory_bytes` for one hour.
    pub fn hourly(&self, cores: f64, memory_bytes: f64) -> f64 {
        cores * self.cpu_hour + memory_bytes / GIB * self.gib_hour
    }

    /// Cost of `cores` and `memory_bytes` for one month of 730.5 hours.
    pub fn monthly(&self, cores: f64, memory_bytes: f64) -> f64 {
        self.hourly(cores, memory_bytes) * HOURS_PER_MONTH
    }

    /// Cost of `bytes` of disk for one month.
    pub fn disk_monthly(&self, bytes: f64) -> f64 {
        bytes / GIB * self.disk_gib_month
    }

    /// `$58`, `€3.20`, `58 CHF`: whole units from ten on, cents below.
    pub fn money(&self, amount: f64) -> String {
        money(amount, &self.currency)
    }
}

/// An amount with its currency, as tables show it.
pub(crate) fn money(amount: f64, currency: &str) -> String {
    let sign = if amount < 0.0 { "-" } else { "" };
    let amount = amount.abs();
    let digits = if amount >= 10.0 || amount == 0.0 { format!("{amount:.0}") } else { format!("{amount:.2}") };
    match currency {
        "USD" => format!("{sign}${digits}"),
        "EUR" => format!("{sign}€{digits}"),
        "GBP" => format!("{sign}£{digits}"),
        other => format!("{sign}{digits} {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_short_and_signed() {
        assert_eq!(money(58.4, "USD"), "$58");
        assert_eq!(money(-3.2, "EUR"), "-€3.20");
        assert_eq!(money(12.0, "CHF"), "12 CHF");
    }

    #[test]
    fn a_core_and_a_gib_for_a_month() {
        let prices = Prices::default();
        assert!((prices.monthly(1.0, GIB) - 0.035 * 730.5).abs() < 1e-9);
    }
}

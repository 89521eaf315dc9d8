//! How long data is kept: `retention: {raw: 30d, rollup_5m: 400d, rollup_1h: unlimited, rules: […]}`.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use series::Millis;

/// Keep times of samples and roll-ups.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetentionSettings {
    /// Samples.
    pub raw: Keeping,
    /// Roll-ups of five minutes.
    pub rollup_5m: Keeping,
    /// Roll-ups of an hour.
    pub rollup_1h: Keeping,
    /// When roll-ups are written.
    pub rollups: RollupTime,
    /// For chosen series; the first that matches speaks.
    pub rules: Vec<RetentionRule>,
}

/// When the roll-ups of a closed day are written; until then they are worked out from its samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RollupTime {
    /// Before its samples expire.
    #[default]
    BeforeExpiry,
    /// As soon as it is closed.
    Daily,
}

/// Keep times of the series that a selector matches; what is left out is as above.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetentionRule {
    /// A selector, such as `{env="dev"}`.
    #[serde(rename = "match")]
    pub selector: String,
    /// Samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw: Option<Keeping>,
    /// Roll-ups of five minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollup_5m: Option<Keeping>,
    /// Roll-ups of an hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollup_1h: Option<Keeping>,
}

/// A keep time: a duration of an hour or more, `unlimited`, or `off` for roll-ups that are not wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keeping(pub store::Keep);

const UNLIMITED: &str = "unlimited";
const OFF: &str = "off";
/// Shorter ones are more likely a slip than a wish, and days go as a whole anyway.
const SHORTEST: Millis = Millis::from_hours(1);

impl Default for RetentionSettings {
    fn default() -> Self {
        // Nothing is forgotten, and no import refused for its age, unless somebody says so.
        let forever = Keeping(store::Keep::Forever);
        Self { raw: forever, rollup_5m: forever, rollup_1h: forever, rollups: RollupTime::default(), rules: Vec::new() }
    }
}

impl From<RollupTime> for store::RollupTime {
    fn from(time: RollupTime) -> Self {
        match time {
            RollupTime::BeforeExpiry => Self::BeforeExpiry,
            RollupTime::Daily => Self::Daily,
        }
    }
}

impl RetentionSettings {
    /// As the store takes it.
    ///
    /// # Errors
    /// The rule and what is wrong with its selector; samples that are not kept at all.
    pub fn resolve(&self) -> Result<store::Retention, String> {
        let raws = std::iter::once(Some(self.raw)).chain(self.rules.iter().map(|rule| rule.raw)).flatten();
        if raws.into_iter().any(|raw| raw.0 == store::Keep::Never) {
            return Err("raw cannot be `off`: roll-ups are made from samples".into());
        }
        let (raw, rollup_5m, rollup_1h) = (self.raw.0, self.rollup_5m.0, self.rollup_1h.0);
        let times = store::KeepTimes { raw, rollup_5m, rollup_1h };
        let rule = |rule: &RetentionRule| {
            let or = |own: Option<Keeping>, all: store::Keep| own.map_or(all, |keeping| keeping.0);
            let times = store::KeepTimes {
                raw: or(rule.raw, raw),
                rollup_5m: or(rule.rollup_5m, rollup_5m),
                rollup_1h: or(rule.rollup_1h, rollup_1h),
            };
            matchers(&rule.selector).map(|matchers| store::RetentionRule { matchers, times })
        };
        Ok(store::Retention { times, rules: self.rules.iter().map(rule).collect::<Result<_, _>>()? })
    }
}

fn matchers(text: &str) -> Result<Vec<series::Matcher>, String> {
    let expr = promql::parse(text).map_err(|err| format!("match `{text}`: {err}"))?;
    match expr.kind {
        promql::ExprKind::Vector(promql::VectorSelector { matchers, offset: None, at: None, extension: None }) => {
            Ok(matchers)
        }
        _ => Err(format!("match `{text}` is more than a selector; write for instance {{env=\"dev\"}}")),
    }
}

impl Serialize for Keeping {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            store::Keep::Forever => out.serialize_str(UNLIMITED),
            store::Keep::Never => out.serialize_str(OFF),
            store::Keep::For(span) => out.collect_str(&span),
        }
    }
}

impl<'de> Deserialize<'de> for Keeping {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = String::deserialize(input)?;
        if text == UNLIMITED {
            return Ok(Self(store::Keep::Forever));
        }
        if text == OFF {
            return Ok(Self(store::Keep::Never));
        }
        match Millis::parse(&text) {
            Ok(span) if span >= SHORTEST => Ok(Self(store::Keep::For(span))),
            Ok(_) => Err(serde::de::Error::custom(format!("`{text}` is shorter than {SHORTEST}"))),
            Err(err) => Err(serde::de::Error::custom(format!("{err}, or `{UNLIMITED}`"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    #[test]
    fn rules_take_the_rest_from_the_default() {
        let text = "retention:\n  raw: 7d\n  rules:\n    - {match: '{env=~\"dev|ci\"}', rollup_5m: 1d}\n";
        let settings = Settings::parse(text, "test").expect("valid");
        let retention = settings.retention.resolve().expect("valid");
        let days = |n| store::Keep::For(Millis::from_days(n));
        assert_eq!(retention.times.raw, days(7));
        assert_eq!(retention.rules[0].times.raw, days(7));
        assert_eq!(retention.rules[0].times.rollup_5m, days(1));
        assert_eq!(retention.rules[0].times.rollup_1h, store::Keep::Forever);
        let yaml = settings.to_yaml().expect("writes");
        assert_eq!(Settings::parse(&yaml, "again").expect("valid"), settings);
    }

    #[test]
    fn odd_keep_times_and_selectors_are_named() {
        for (text, words) in [("5s", "shorter than 1h"), ("soon", "unlimited")] {
            let err = Settings::parse(&format!("retention: {{raw: {text}}}\n"), "test").expect_err("refused");
            assert!(err.to_string().contains(words), "{err}");
        }
        let rule = RetentionRule { selector: "sum(up)".into(), raw: None, rollup_5m: None, rollup_1h: None };
        let settings = RetentionSettings { rules: vec![rule], ..RetentionSettings::default() };
        assert!(settings.resolve().expect_err("refused").contains("more than a selector"));
        let off = Settings::parse("retention: {raw: off}\n", "test");
        assert!(off.is_err() || off.is_ok_and(|settings| settings.retention.resolve().is_err()));
        let fine = Settings::parse("retention: {rollup_5m: 'off'}\n", "test").expect("valid");
        assert_eq!(fine.retention.resolve().expect("valid").times.rollup_5m, store::Keep::Never);
    }
}

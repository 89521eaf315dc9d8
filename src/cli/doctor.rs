//! `foretide doctor`: what is wrong, and what to do about each.

mod checks;

use std::path::PathBuf;

use serde_json::json;

use super::args::{Common, DoctorArgs, ReportFormat};
use super::client::Client;
use super::{CliError, output};
use crate::settings::Settings;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    Ok,
    Warn,
    Fail,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Finding {
    verdict: Verdict,
    /// What was looked at, one word or two.
    check: &'static str,
    /// What was found.
    found: String,
    /// What to do; empty when all is well.
    cure: String,
}

impl Finding {
    fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self { verdict: Verdict::Ok, check, found: found.into(), cure: String::new() }
    }

    fn warn(check: &'static str, found: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { verdict: Verdict::Warn, check, found: found.into(), cure: cure.into() }
    }

    fn fail(check: &'static str, found: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { verdict: Verdict::Fail, check, found: found.into(), cure: cure.into() }
    }
}

pub(super) fn run(common: &Common, args: &DoctorArgs) -> Result<(), CliError> {
    let findings = match &common.url {
        Some(url) => checks::server(&Client::new(url))?,
        None => local(common, args.verify),
    };
    print(&findings, args.format)?;
    let failed = findings.iter().filter(|finding| finding.verdict == Verdict::Fail).count();
    match failed {
        0 => Ok(()),
        1 => Err(CliError::Failed("1 check failed".into())),
        n => Err(CliError::Failed(format!("{n} checks failed"))),
    }
}

/// A doctor looks at a patient who cannot answer: nothing here needs the folder to open.
fn local(common: &Common, verify: bool) -> Vec<Finding> {
    let (settings, configuration) = checks::configuration(common);
    let data: PathBuf = common.data.clone().unwrap_or_else(|| settings.data.clone());
    let mut findings = vec![configuration];
    findings.extend(checks::folder(&data));
    findings.extend(checks::disk(&data, &settings));
    findings.extend(checks::clock(&data));
    findings.extend(checks::limits(&settings));
    findings.extend(checks::quarantine(&data));
    if verify {
        findings.push(checks::every_byte(&data));
    }
    findings
}

fn print(findings: &[Finding], format: ReportFormat) -> Result<(), CliError> {
    let word = |verdict| match verdict {
        Verdict::Ok => "ok",
        Verdict::Warn => "warn",
        Verdict::Fail => "FAIL",
    };
    if format == ReportFormat::Json {
        let item = |f: &Finding| json!({"verdict": word(f.verdict).to_lowercase(), "check": f.check, "found": f.found, "cure": f.cure});
        return output::line(&json!({"findings": findings.iter().map(item).collect::<Vec<_>>()}).to_string());
    }
    let mut text = String::new();
    for finding in findings {
        text.push_str(&format!("{:<5} {:<14} {}\n", word(finding.verdict), finding.check, finding.found));
        if !finding.cure.is_empty() {
            text.push_str(&format!("{:<20} → {}\n", "", finding.cure));
        }
    }
    output::put(text.as_bytes(), None)
}

/// Settings in force, or the defaults where they cannot be read.
fn settings_of(common: &Common) -> Result<Settings, crate::settings::SettingsError> {
    Settings::load(common.config.as_deref(), std::env::vars_os())
}

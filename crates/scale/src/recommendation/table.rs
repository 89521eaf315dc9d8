//! Recommendations as rows for a terminal.

use series::Timestamp;

use super::{Confidence, Details, Kind, Recommendation};
use crate::cost::money;
use crate::decision::{Decision, short};
use crate::quantity::{format_bytes, format_cpu, human_bytes};
use crate::rightsize::{Advice, Sizing};
use crate::runway::Runway;

/// A table whose drawing is left to the terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Column titles.
    pub header: Vec<String>,
    /// As many cells a row as there are titles. Control characters are replaced.
    pub rows: Vec<Vec<String>>,
    /// One line below: totals and the next step.
    pub footer: Option<String>,
}

/// The table of one kind; other kinds in the list are left out.
pub fn table(kind: Kind, recommendations: &[Recommendation]) -> Table {
    let of_kind: Vec<&Recommendation> = recommendations.iter().filter(|one| one.kind == kind).collect();
    let rows = of_kind.iter().map(|one| row(one).into_iter().map(printable).collect()).collect();
    let (titles, footer): (&[&str], _) = match kind {
        Kind::Scale => (&["TARGET", "REPLICAS", "AT", "BAND (p10–p90)", "WHY", "LIMITED BY", "CONF", "COST/MO"], None),
        Kind::Rightsize => (
            &["WORKLOAD", "CONTAINER", "CPU REQUEST", "MEMORY REQUEST", "WHY", "CONF", "SAVES/MO"],
            rightsize_footer(&of_kind),
        ),
        Kind::Capacity => (&["RESOURCE", "NOW", "LIMIT", "FULL ON", "RANGE (p10–p90)", "GROWTH", "ACTION"], None),
    };
    Table { header: titles.iter().map(|&title| title.to_owned()).collect(), rows, footer }
}

fn printable(cell: String) -> String {
    cell.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn row(one: &Recommendation) -> Vec<String> {
    match &one.details {
        Details::Scale(decision) => scale_row(one, decision),
        Details::Rightsize(sizing) => rightsize_row(one, sizing),
        Details::Capacity(runway) => capacity_row(runway),
    }
}

fn scale_row(one: &Recommendation, decision: &Decision) -> Vec<String> {
    let (to, at) = match decision.upcoming.filter(|_| decision.from == decision.to) {
        Some(upcoming) => (upcoming.to, upcoming.when),
        None => (decision.to, decision.at),
    };
    vec![
        decision.target.short(),
        format!("{} → {to}", decision.from),
        minute(at),
        decision.band.map_or("–".into(), |band| format!("{}–{}", short(band.p10), short(band.p90))),
        decision.reasons.first().map_or_else(String::new, |reason| reason.text.clone()),
        decision.constraint.map_or("–".into(), |constraint| format!("{constraint:?}").to_lowercase()),
        one.confidence_word.word().into(),
        money(one.cost_delta_monthly, &one.currency),
    ]
}

fn rightsize_row(one: &Recommendation, sizing: &Sizing) -> Vec<String> {
    let cell = |advice: Advice, before: Option<f64>, after: Option<f64>, show: fn(f64) -> String, risky: bool| {
        let before = before.map_or("unset".to_owned(), show);
        match advice {
            Advice::None => "–".into(),
            Advice::Keep => format!("{before} → (same)"),
            Advice::Lower | Advice::Raise => {
                let mark = if risky && advice == Advice::Raise { " (!)" } else { "" };
                format!("{before} → {}{mark}", after.map_or("unset".to_owned(), show))
            }
        }
    };
    let (current, proposed) = (&sizing.current, &sizing.proposed);
    let saves = match sizing.confidence {
        Confidence::None => "–".into(),
        _ => money(sizing.saving_monthly, &one.currency),
    };
    vec![
        sizing.target.short(),
        sizing.container.clone(),
        cell(sizing.cpu, current.cpu_request_cores, proposed.cpu_request_cores, format_cpu, false),
        cell(sizing.memory, current.memory_request_bytes, proposed.memory_request_bytes, human_bytes, true),
        sizing.why.clone(),
        one.confidence_word.word().into(),
        saves,
    ]
}

fn capacity_row(runway: &Runway) -> Vec<String> {
    let show = |value: f64| if runway.in_bytes { human_bytes(value) } else { short(value) };
    let on = |days: Option<f64>| {
        days.map_or("not in sight".to_owned(), |days| {
            day(Timestamp(runway.at.0.saturating_add((days * 86_400_000.0) as i64)))
        })
    };
    let range = match (runway.days_p10, runway.days_p90) {
        (None, None) => "–".into(),
        (early, late) => format!("{} – {}", on(early), on(late)),
    };
    let action = match (runway.add, runway.add_before) {
        (Some(add), Some(before)) => {
            let add = if runway.in_bytes { format_bytes(add) } else { short(add) };
            format!("+{add} before {}", day(before))
        }
        _ if runway.days_p50.is_none() => "never at this trend".into(),
        _ => "none".into(),
    };
    vec![
        runway.resource.clone(),
        format!("{:.0} %", 100.0 * runway.used / runway.limit),
        show(runway.limit),
        format!("{:.0} %: {}", 100.0 * runway.threshold, on(runway.days_p50)),
        range,
        format!("{:+.1} %/day", 100.0 * runway.growth_per_day / runway.limit),
        action,
    ]
}

/// `3 workloads · CPU −19 % · memory −14 % · saves $89/month · 1 raise first (!)`.
fn rightsize_footer(of_kind: &[&Recommendation]) -> Option<String> {
    let sizings: Vec<&Sizing> = of_kind
        .iter()
        .filter_map(|one| if let Details::Rightsize(sizing) = &one.details { Some(&**sizing) } else { None })
        .collect();
    let currency = &of_kind.first()?.currency;
    let change = |get: fn(&Sizing) -> (Option<f64>, Option<f64>)| {
        let (mut before, mut after) = (0.0, 0.0);
        for sizing in &sizings {
            if let (Some(current), Some(proposed)) = get(sizing) {
                before += current * f64::from(sizing.replicas);
                after += proposed * f64::from(sizing.replicas);
            }
        }
        if before > 0.0 { 100.0 * (after - before) / before } else { 0.0 }
    };
    let cpu = change(|s| (s.current.cpu_request_cores, s.proposed.cpu_request_cores));
    let memory = change(|s| (s.current.memory_request_bytes, s.proposed.memory_request_bytes));
    let saving: f64 = sizings.iter().map(|sizing| sizing.saving_monthly).sum();
    let raises = sizings.iter().filter(|sizing| sizing.memory == Advice::Raise).count();
    let first = if raises > 0 { format!(" · {raises} raise first (!)") } else { String::new() };
    Some(format!(
        "{} workloads · CPU {cpu:+.0} % · memory {memory:+.0} % · saves {}/month{first}",
        sizings.len(),
        money(saving, currency)
    ))
}

/// `14 Dec`, from the RFC 3339 form.
fn day(at: Timestamp) -> String {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let text = at.to_string();
    let month =
        text.get(5..7).and_then(|month| month.parse::<usize>().ok()).and_then(|m| MONTHS.get(m.wrapping_sub(1)));
    match (text.get(8..10), month) {
        (Some(day), Some(month)) => format!("{day} {month}"),
        _ => text,
    }
}

/// `14 Dec 19:20`.
fn minute(at: Timestamp) -> String {
    let text = at.to_string();
    text.get(11..16).map_or_else(|| text.clone(), |clock| format!("{} {clock}", day(at)))
}

//! Recommendations as Markdown, for reports and tickets.

use super::csv::fields;
use super::{Kind, Recommendation};
use crate::cost::money;

/// A heading and a table a kind, then one section for each recommendation that changes something. Names and reasons
/// are escaped: nothing in them is read as Markdown or HTML.
pub fn to_markdown(recommendations: &[Recommendation]) -> String {
    let mut out = String::from("# Recommendations\n");
    if recommendations.is_empty() {
        out.push_str("\nNothing to advise.\n");
    }
    for (kind, title) in [(Kind::Scale, "Scaling"), (Kind::Rightsize, "Right-sizing"), (Kind::Capacity, "Capacity")] {
        let mut of_kind = recommendations.iter().filter(|one| one.kind == kind).peekable();
        if of_kind.peek().is_none() {
            continue;
        }
        out.push_str(&format!("\n## {title}\n\n"));
        out.push_str("| target | now | proposed | why | confidence | cost a month |\n|---|---|---|---|---|---|\n");
        for one in of_kind {
            let cells = [
                escape(&one.target),
                escape(&fields(&one.current)),
                if one.changes() { escape(&fields(&one.proposed)) } else { "(same)".into() },
                escape(&one.reason),
                one.confidence_word.word().to_owned(),
                escape(&money(one.cost_delta_monthly, &one.currency)),
            ];
            out.push_str(&format!("| {} |\n", cells.join(" | ")));
        }
    }
    for one in recommendations.iter().filter(|one| one.changes()) {
        section(&mut out, one);
    }
    out
}

fn section(out: &mut String, one: &Recommendation) {
    out.push_str(&format!("\n### {}\n\n", escape(&one.title)));
    let lines = [
        ("severity", one.severity.word().to_owned()),
        ("risk", escape(&one.risk)),
        ("undo", escape(&one.undo)),
        ("evidence", code(&one.evidence_query)),
        ("valid until", one.valid_until.to_string()),
        ("id", code(&one.id)),
    ];
    for (name, value) in lines {
        out.push_str(&format!("- **{name}**: {value}\n"));
    }
}

/// Text that stays text inside a table cell.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\r' | '\t' => out.push(' '),
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '~' | '!' => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// A code span that its content cannot close: one more backtick than its longest run.
fn code(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    format!("{fence} {text} {fence}")
}

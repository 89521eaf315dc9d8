//! Recommendations as CSV (RFC 4180), safe to open in a spreadsheet.

use super::{Field, Recommendation};

const HEADER: [&str; 18] = [
    "id",
    "kind",
    "target",
    "severity",
    "status",
    "title",
    "current",
    "proposed",
    "reason",
    "confidence",
    "confidence_word",
    "cost_delta_monthly",
    "saving_monthly",
    "currency",
    "risk",
    "undo",
    "created_at",
    "valid_until",
];

/// One header line and one line a recommendation, CRLF. Cells that a spreadsheet would run as a formula (first
/// character `=`, `+`, `-`, `@`, tab or carriage return) get a leading apostrophe; numbers of ours stay numbers.
pub fn to_csv(recommendations: &[Recommendation]) -> String {
    let mut out = HEADER.join(",");
    out.push_str("\r\n");
    for one in recommendations {
        let cells = [
            text(&one.id),
            text(one.kind.word()),
            text(&one.target),
            text(one.severity.word()),
            text(one.status.word()),
            text(&one.title),
            text(&fields(&one.current)),
            text(&fields(&one.proposed)),
            text(&one.reason),
            number(one.confidence),
            text(one.confidence_word.word()),
            number(one.cost_delta_monthly),
            number(one.saving_monthly),
            text(&one.currency),
            text(&one.risk),
            text(&one.undo),
            text(&one.created_at.to_string()),
            text(&one.valid_until.to_string()),
        ];
        out.push_str(&cells.join(","));
        out.push_str("\r\n");
    }
    out
}

/// `cpu_request=420m memory_request=1Gi`.
pub(super) fn fields(fields: &std::collections::BTreeMap<String, Field>) -> String {
    let shown = fields.iter().map(|(name, field)| match field {
        Field::Count(count) => format!("{name}={count}"),
        Field::Number(number) => format!("{name}={number}"),
        Field::Text(text) => format!("{name}={text}"),
    });
    shown.collect::<Vec<_>>().join(" ")
}

fn number(value: f64) -> String {
    if value.is_finite() { format!("{value:.4}") } else { String::new() }
}

pub(super) fn text(cell: &str) -> String {
    let guarded = if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{cell}") } else { cell.to_owned() };
    if guarded.contains([',', '"', '\n', '\r']) { format!("\"{}\"", guarded.replace('"', "\"\"")) } else { guarded }
}

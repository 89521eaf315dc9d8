//! `foretide recommend`.

use scale::{Kind, Recommendation, Status};
use serde_json::Value;

use super::args::{AdviceKind, Common, Format, RecommendArgs};
use super::{CliError, output, sql_query};

pub(super) fn run(common: &Common, args: &RecommendArgs) -> Result<(), CliError> {
    if matches!(args.format, Format::Parquet | Format::Arrow) {
        let bytes = sql_query::answer(common, &statement(args, "*"), args.format)?;
        return output::put(&bytes, args.output.as_deref());
    }
    let mut advice = fetch(common, args)?;
    advice.retain(|advice| args.all || advice.changes());
    let text = if args.patches { scale::plan_yaml(&advice) } else { render(args, &advice)? };
    output::put(text.as_bytes(), args.output.as_deref())
}

fn render(args: &RecommendArgs, advice: &[Recommendation]) -> Result<String, CliError> {
    let fault = |err: serde_json::Error| CliError::Failed(format!("write JSON: {err}"));
    Ok(match args.format {
        Format::Json => serde_json::to_string_pretty(advice).map_err(fault)? + "\n",
        Format::Jsonl => {
            let lines = advice.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>().map_err(fault)?;
            lines.into_iter().map(|line| line + "\n").collect()
        }
        Format::Csv => scale::to_csv(advice),
        Format::Md => scale::to_markdown(advice),
        _ => tables(advice),
    })
}

/// One table a kind.
fn tables(advice: &[Recommendation]) -> String {
    let mut text = String::new();
    for kind in [Kind::Scale, Kind::Rightsize, Kind::Capacity] {
        let own: Vec<_> = advice.iter().filter(|advice| advice.kind == kind).cloned().collect();
        if own.is_empty() {
            continue;
        }
        let table = scale::table(kind, &own);
        text.push_str(&output::table(&table.header, &table.rows));
        if let Some(footer) = table.footer {
            text.push_str(&footer);
            text.push('\n');
        }
        text.push('\n');
    }
    if text.is_empty() {
        return "no open recommendations; they appear once a job has forecast and a minute has passed\n".into();
    }
    text
}

fn statement(args: &RecommendArgs, columns: &str) -> String {
    let mut conditions = vec!["status = 'open'".to_owned()];
    if let Some(kind) = args.kind {
        let word = match kind {
            AdviceKind::Scale => "scale",
            AdviceKind::Rightsize => "rightsize",
            AdviceKind::Capacity => "capacity",
        };
        conditions.push(format!("kind = '{word}'"));
    }
    if let Some(namespace) = &args.namespace {
        conditions.push(format!("target LIKE '%/{}/%'", namespace.replace('\'', "''")));
    }
    format!("SELECT {columns} FROM recommendations WHERE {} ORDER BY kind, target", conditions.join(" AND "))
}

fn fetch(common: &Common, args: &RecommendArgs) -> Result<Vec<Recommendation>, CliError> {
    let bytes = sql_query::answer(common, &statement(args, "record"), Format::Jsonl)?;
    let fault = |err: serde_json::Error| CliError::Failed(format!("read a recommendation: {err}"));
    let mut found = Vec::new();
    for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let row: Value = serde_json::from_slice(line).map_err(fault)?;
        let advice: Recommendation = serde_json::from_str(row["record"].as_str().unwrap_or_default()).map_err(fault)?;
        if advice.status == Status::Open {
            found.push(advice);
        }
    }
    Ok(found)
}

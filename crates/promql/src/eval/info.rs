//! `info(v, {…})`: series enriched with the labels of info metrics that share `instance` and `job`.

use std::collections::HashMap;

use series::{Labels, METRIC_NAME, MatchOp, Matcher};

use super::context::{Context, Steps};
use super::error::EvalError;
use super::rows::{ABSENT, Row, is_absent, join_equal};
use super::selector::Pick;
use crate::ast::{Expr, ExprKind, VectorSelector};

/// Labels by which a series finds its info series.
const IDENTIFYING: [&str; 2] = ["instance", "job"];

/// The info metric where the selector names none.
const INFO_METRIC: &str = "target_info";

struct Wanted {
    names: Vec<Matcher>,
    labels: Vec<Matcher>,
}

impl Context<'_> {
    pub(crate) fn info(&self, args: &[Expr], steps: &Steps) -> Result<Vec<Row>, EvalError> {
        let wanted = wanted(args.get(1));
        let base = self.rows(&args[0], steps)?;
        let matchers: Vec<Matcher> = wanted.names.iter().chain(&wanted.labels).cloned().collect();
        let selector = VectorSelector { matchers, offset: None, at: None, extension: None };
        let infos = if base.is_empty() { Vec::new() } else { self.vector(&selector, steps, Pick::Value)? };
        let mut partners: HashMap<Labels, Vec<&Row>> = HashMap::new();
        for info in &infos {
            partners.entry(identity(&info.labels)).or_default().push(info);
        }
        let mut out = Vec::new();
        for row in base {
            if wanted.names.iter().all(|matcher| matcher.matches_labels(row.labels.as_ref())) {
                // An info series itself stays as it is.
                out.push(row);
                continue;
            }
            let found = partners.get(&identity(&row.labels)).map_or(&[][..], Vec::as_slice);
            self.enrich(&row, found, &wanted, steps, &mut out)?;
        }
        join_equal(out)
    }

    /// The info series present may differ from step to step, so one series can become several.
    fn enrich(
        &self,
        row: &Row,
        found: &[&Row],
        wanted: &Wanted,
        steps: &Steps,
        out: &mut Vec<Row>,
    ) -> Result<(), EvalError> {
        let mut made: HashMap<Labels, Row> = HashMap::new();
        // Info series rarely come and go, so the labels of the step before mostly fit again.
        let mut before: Option<(Vec<usize>, Labels)> = None;
        for i in (0..steps.n).filter(|&i| row.is_present(i)) {
            let present: Vec<usize> = (0..found.len()).filter(|&f| !is_absent(found[f].values[i])).collect();
            let missing = present.is_empty() && wanted.labels.iter().any(|matcher| !matcher.matches_absent());
            if missing {
                continue;
            }
            let labels = match &before {
                Some((same, labels)) if *same == present => labels.clone(),
                _ => {
                    let infos: Vec<&Row> = present.iter().map(|&f| found[f]).collect();
                    combined(&row.labels, &infos, wanted)?
                }
            };
            before = Some((present, labels.clone()));
            let target =
                made.entry(labels.clone()).or_insert_with(|| Row::floats(labels, row.drop_name, vec![ABSENT; steps.n]));
            target.copy(i, row);
        }
        let mut made: Vec<Row> = made.into_values().collect();
        made.sort_by(|a, b| a.labels.cmp(&b.labels));
        out.extend(made);
        Ok(())
    }
}

fn wanted(selector: Option<&Expr>) -> Wanted {
    let matchers = match selector.map(|expr| &expr.kind) {
        Some(ExprKind::Vector(selector)) => selector.matchers.as_slice(),
        _ => &[],
    };
    let (mut names, labels): (Vec<Matcher>, Vec<Matcher>) =
        matchers.iter().cloned().partition(|matcher| matcher.name == METRIC_NAME);
    if names.is_empty() {
        names.push(Matcher::equal(METRIC_NAME, INFO_METRIC));
    }
    if names.iter().all(|matcher| matches!(matcher.op, MatchOp::NotEqual | MatchOp::NotRegex)) {
        names.extend(Matcher::new(METRIC_NAME, MatchOp::Regex, ".+_info"));
    }
    Wanted { names, labels }
}

fn identity(labels: &Labels) -> Labels {
    labels.project(&IDENTIFYING.map(str::to_owned), true)
}

/// The series' own labels win; info series must not contradict each other.
fn combined(own: &Labels, infos: &[&Row], wanted: &Wanted) -> Result<Labels, EvalError> {
    let mut added: HashMap<&str, &str> = HashMap::new();
    for (name, value) in infos.iter().flat_map(|info| info.labels.iter()) {
        let asked = wanted.labels.is_empty() || wanted.labels.iter().any(|matcher| matcher.name == name);
        if name == METRIC_NAME || own.get(name).is_some() || !asked {
            continue;
        }
        if added.insert(name, value).is_some_and(|before| before != value) {
            return Err(EvalError::InfoConflict { labels: own.clone(), name: name.to_owned() });
        }
    }
    let mut builder = own.to_builder();
    for (name, value) in added {
        builder.set(name, value);
    }
    Ok(builder.build())
}

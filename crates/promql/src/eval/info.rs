//! `info(v, {…})`: series enriched with the labels of info metrics that share `instance` and `job`.

use std::collections::{BTreeMap, BTreeSet, HashMap};

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

/// What the second argument asks for.
struct Wanted {
    /// Matchers of the info metrics' names.
    names: Vec<Matcher>,
    /// Whether series of such names stay as they are: not if the selector leaves the name open.
    spares_infos: bool,
    /// Matchers of the labels to be added; all labels without any.
    labels: Vec<Matcher>,
}

/// Info series of one identity by metric name. Their values are the times of the samples behind each step.
type Partners<'r> = BTreeMap<&'r str, Vec<&'r Row>>;

impl Context<'_> {
    pub(crate) fn info(&self, args: &[Expr], steps: &Steps) -> Result<Vec<Row>, EvalError> {
        let wanted = wanted(args.get(1));
        let base = self.rows(&args[0], steps)?;
        let is_info =
            |row: &Row| wanted.spares_infos && wanted.names.iter().all(|matcher| matcher.matches(row.labels.metric()));
        let infos = self.info_rows(&wanted, base.iter().filter(|row| !is_info(row)), steps)?;
        let mut partners: HashMap<Labels, Partners<'_>> = HashMap::new();
        for info in &infos {
            let named = partners.entry(identity(&info.labels)).or_default();
            named.entry(info.labels.metric()).or_default().push(info);
        }
        let mut out = Vec::new();
        for row in base {
            if is_info(&row) {
                // An info series itself stays as it is.
                out.push(row);
            } else {
                self.enrich(&row, partners.get(&identity(&row.labels)), &wanted, steps, &mut out)?;
            }
        }
        join_equal(out)
    }

    /// The info series that may belong to one of `base`, with the times of their samples as values.
    fn info_rows<'r>(
        &self,
        wanted: &Wanted,
        base: impl Iterator<Item = &'r Row>,
        steps: &Steps,
    ) -> Result<Vec<Row>, EvalError> {
        let mut values: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for row in base {
            for name in IDENTIFYING {
                values.entry(name).or_default().extend(row.labels.get(name));
            }
        }
        values.retain(|_, values| !values.is_empty());
        if values.is_empty() {
            return Ok(Vec::new());
        }
        let matchers: Vec<Matcher> = wanted.names.iter().chain(&wanted.labels).cloned().collect();
        let selector = VectorSelector { matchers, offset: None, at: None, extension: None };
        let mut infos = self.vector(&selector, steps, Pick::Time)?;
        infos.retain(|info| {
            values.iter().all(|(name, values)| info.labels.get(name).is_some_and(|value| values.contains(value)))
        });
        Ok(infos)
    }

    /// The info series present may differ from step to step, so one series can become several.
    fn enrich(
        &self,
        row: &Row,
        found: Option<&Partners<'_>>,
        wanted: &Wanted,
        steps: &Steps,
        out: &mut Vec<Row>,
    ) -> Result<(), EvalError> {
        let mut made: BTreeMap<Labels, Row> = BTreeMap::new();
        // Info series rarely come and go, so the labels of the step before mostly fit again.
        let mut before: Option<(Vec<&Row>, Labels)> = None;
        for i in (0..steps.n).filter(|&i| row.is_present(i)) {
            let mut present: Vec<&Row> = Vec::new();
            for rows in found.into_iter().flat_map(BTreeMap::values) {
                present.extend(newest(rows, i, &row.labels)?);
            }
            if present.is_empty() && wanted.labels.iter().any(|matcher| !matcher.matches_absent()) {
                continue;
            }
            let is_same = |others: &[&Row]| {
                others.len() == present.len() && others.iter().zip(&present).all(|(a, b)| std::ptr::eq(*a, *b))
            };
            let labels = match &before {
                Some((others, labels)) if is_same(others) => labels.clone(),
                _ => combined(&row.labels, &present, wanted)?,
            };
            before = Some((present, labels.clone()));
            let target =
                made.entry(labels.clone()).or_insert_with(|| Row::floats(labels, row.drop_name, vec![ABSENT; steps.n]));
            target.copy(i, row);
        }
        out.extend(made.into_values());
        Ok(())
    }
}

/// The info series of one metric that was sampled last; two sampled at the same time contradict each other.
fn newest<'r>(rows: &[&'r Row], i: usize, base: &Labels) -> Result<Option<&'r Row>, EvalError> {
    let mut newest: Option<&'r Row> = None;
    for row in rows.iter().copied().filter(|row| !is_absent(row.values[i])) {
        match newest {
            Some(other) if other.values[i] == row.values[i] => {
                let name = row.labels.metric().to_owned();
                return Err(EvalError::InfoTwice { labels: base.clone(), name });
            }
            Some(other) if other.values[i] > row.values[i] => {}
            _ => newest = Some(row),
        }
    }
    Ok(newest)
}

fn wanted(selector: Option<&Expr>) -> Wanted {
    let matchers = match selector.map(|expr| &expr.kind) {
        Some(ExprKind::Vector(selector)) => selector.matchers.as_slice(),
        _ => &[],
    };
    let (mut names, labels): (Vec<Matcher>, Vec<Matcher>) =
        matchers.iter().cloned().partition(|matcher| matcher.name == METRIC_NAME);
    let spares_infos = selector.is_none() || !names.is_empty();
    if names.is_empty() {
        names.push(Matcher::equal(METRIC_NAME, INFO_METRIC));
    }
    if names.iter().all(|matcher| matches!(matcher.op, MatchOp::NotEqual | MatchOp::NotRegex)) {
        // Names that are only excluded leave all other info metrics, not all other metrics.
        names.extend(Matcher::new(METRIC_NAME, MatchOp::Regex, ".+_info"));
    }
    Wanted { names, spares_infos, labels }
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

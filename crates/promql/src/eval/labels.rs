//! `label_replace` and `label_join`.

use regex::RegexBuilder;
use series::METRIC_NAME;

use super::context::{Context, Steps};
use super::error::EvalError;
use super::rows::{Row, join_equal};
use crate::ast::Expr;

/// Longest pattern in bytes, and largest compiled one.
const PATTERN_BYTES_MAX: usize = 4096;
const PROGRAM_BYTES_MAX: usize = 1 << 20;

impl Context<'_> {
    pub(crate) fn label_replace(&self, args: &[Expr], steps: &Steps) -> Result<Vec<Row>, EvalError> {
        let [_, target, replacement, source, pattern] = args else {
            return Err(EvalError::Unsupported { feature: "label_replace with other than 5 arguments".into() });
        };
        let (target, replacement) = (label_name(self.text(target)?)?, self.text(replacement)?);
        let (source, pattern) = (self.text(source)?, self.text(pattern)?);
        let fault = |why: String| EvalError::BadPattern { pattern: pattern.clone(), why };
        if pattern.len() > PATTERN_BYTES_MAX {
            return Err(fault(format!("{} bytes long; at most {PATTERN_BYTES_MAX} are taken", pattern.len())));
        }
        let regex = RegexBuilder::new(&format!("^(?s:{pattern})$"))
            .size_limit(PROGRAM_BYTES_MAX)
            .nest_limit(50)
            .build()
            .map_err(|why| fault(why.to_string()))?;
        let mut rows = self.rows(&args[0], steps)?;
        for row in &mut rows {
            let Some(found) = regex.captures(row.labels.get(&source).unwrap_or("")) else { continue };
            let mut value = String::new();
            found.expand(&replacement, &mut value);
            set(row, &target, &value);
        }
        join_equal(rows)
    }

    pub(crate) fn label_join(&self, args: &[Expr], steps: &Steps) -> Result<Vec<Row>, EvalError> {
        let (target, separator) = (label_name(self.text(&args[1])?)?, self.text(&args[2])?);
        let sources = args[3..].iter().map(|arg| label_name(self.text(arg)?)).collect::<Result<Vec<_>, _>>()?;
        let mut rows = self.rows(&args[0], steps)?;
        for row in &mut rows {
            let values: Vec<&str> = sources.iter().map(|name| row.labels.get(name).unwrap_or("")).collect();
            let value = values.join(&separator);
            set(row, &target, &value);
        }
        join_equal(rows)
    }
}

fn set(row: &mut Row, target: &str, value: &str) {
    row.labels = row.labels.to_builder().set(target, value).build();
    // A name given on purpose stays.
    row.drop_name &= target != METRIC_NAME;
}

/// Since UTF-8 names, every text but the empty one is a label name.
fn label_name(found: String) -> Result<String, EvalError> {
    if found.is_empty() { Err(EvalError::BadLabelName { found }) } else { Ok(found) }
}

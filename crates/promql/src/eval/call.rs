//! Function calls: which argument means what.

use series::{Columns, SeriesOrder};

use super::context::{Context, Steps};
use super::error::EvalError;
use super::native_windows::{self, Mixed, rule};
use super::notes::Seen;
use super::over_time::kernel;
use super::rows::{Natives, Row, is_absent};
use super::selector::{Pick, RowSink, all_rows, blocks};
use super::{Operand, extended, instants};
use crate::ast::{Call, Expr, ExprKind, Extension, Span, ValueType};

/// Endings that say "counter" in the field's naming rules.
const COUNTER_ENDINGS: [&str; 4] = ["_total", "_sum", "_count", "_bucket"];

impl Context<'_> {
    pub(crate) fn call(&self, call: &Call, steps: &Steps) -> Result<Operand, EvalError> {
        let (name, args) = (call.function.name, call.args.as_slice());
        if let Some(numbers) = self.grid_function(name, steps) {
            return Ok(Operand::Scalar(numbers));
        }
        if call.function.args.contains(&ValueType::Matrix) {
            let rows = self.over_windows(name, args, steps)?;
            return Ok(Operand::Rows(if name == "absent_over_time" {
                self.absent_rows(&args[0], rows, steps)
            } else {
                rows
            }));
        }
        let rows = match name {
            "scalar" => return Ok(Operand::Scalar(self.to_scalar(&args[0], steps)?)),
            "vector" => vec![instants::constant(self.scalar(&args[0], steps)?)],
            "timestamp" => self.timestamps(&args[0], steps)?,
            "absent" => {
                let rows = self.rows(&args[0], steps)?;
                self.absent_rows(&args[0], rows, steps)
            }
            "label_replace" => self.label_replace(args, steps)?,
            "label_join" => self.label_join(args, steps)?,
            "sort" | "sort_desc" | "sort_by_label" | "sort_by_label_desc" => self.sort(name, args, steps)?,
            "histogram_quantile" => self.histogram_quantile(args, steps)?,
            "histogram_quantiles" => self.histogram_quantiles(args, steps)?,
            "histogram_fraction" => self.histogram_fraction(args, steps)?,
            "histogram_count" | "histogram_sum" | "histogram_avg" | "histogram_stddev" | "histogram_stdvar" => {
                self.histogram_figures(name, &args[0], steps)?
            }
            "info" => self.info(args, steps)?,
            _ => self.pointwise(name, args, steps)?,
        };
        Ok(Operand::Rows(rows))
    }

    /// Functions of the grid alone.
    fn grid_function(&self, name: &str, steps: &Steps) -> Option<Vec<f64>> {
        let constant = match name {
            "time" => return Some((0..steps.n).map(|i| steps.time(i) as f64 / 1000.0).collect()),
            "pi" => std::f64::consts::PI,
            "step" => self.step.as_secs_f64(),
            "range" => self.range.as_secs_f64(),
            "start" => self.query.start as f64 / 1000.0,
            "end" => self.query.start.saturating_add(self.range.0) as f64 / 1000.0,
            _ => return None,
        };
        Some(vec![constant; steps.n])
    }

    /// Functions of a range vector: every series is read once, then the window slides over all steps.
    fn over_windows(&self, name: &'static str, args: &[Expr], steps: &Steps) -> Result<Vec<Row>, EvalError> {
        all_rows(|sink| self.windows_blocks(name, args, steps, SeriesOrder::Labels, sink))
    }

    /// As [`Context::over_windows`], a block of series at a time and in any order.
    pub(crate) fn windows_blocks(
        &self,
        name: &'static str,
        args: &[Expr],
        steps: &Steps,
        order: SeriesOrder,
        sink: &mut RowSink<'_>,
    ) -> Result<(), EvalError> {
        let Some(kernel) = kernel(name) else {
            return Err(EvalError::Unsupported { feature: format!("function {name}") });
        };
        let mut params: Vec<Vec<f64>> = Vec::new();
        for arg in args.iter().filter(|arg| arg.value_type() == ValueType::Scalar) {
            params.push(self.scalar(arg, steps)?);
        }
        let Some(window) = args.iter().find(|arg| arg.value_type() == ValueType::Matrix) else {
            return Err(EvalError::WrongType { found: ValueType::Vector });
        };
        let source = self.source(window, steps, order)?;
        if let Some(extension) = source.extension.filter(|extension| !extended::allows(name, *extension)) {
            let extension = if extension == Extension::Anchored { "anchored" } else { "smoothed" };
            return Err(EvalError::BadExtension { function: name, extension });
        }
        let param = |i: usize| params.get(i).map_or(&[][..], Vec::as_slice);
        let keeps_name = matches!(name, "last_over_time" | "first_over_time");
        let rule = rule(name);
        let work = |i: usize, columns: &mut Columns| {
            self.columns(&source, i, columns)?;
            let mut histograms = self.natives(&source, i)?;
            let (labels, dropped) = source.labels(i);
            let (values, natives) = if histograms.is_empty() {
                (source.slide(columns, steps, [param(0), param(1)], kernel), Natives::default())
            } else {
                if rule.asks_for_resets() {
                    native_windows::mark_resets(&mut histograms);
                }
                let seen = Seen::default();
                let mixed = |mixed: &Mixed<'_>| rule.apply(mixed, kernel, &seen);
                let slots = source.slide_mixed((columns, &histograms), steps, [param(0), param(1)], kernel, mixed);
                self.tell(&seen, labels.metric(), window.span);
                slots
            };
            let row = Row { labels, drop_name: dropped || !keeps_name, values, natives };
            if row.is_empty() {
                return Ok(None);
            }
            self.charge_held(row.weight())?;
            Ok(Some(row))
        };
        let mut are_checked = false;
        for block in blocks(source.len(), steps.n) {
            let rows: Vec<Row> = self.each_of(block, steps.n, work)?.into_iter().flatten().collect();
            // Parameters are judged only where there is something to use them for.
            if !rows.is_empty() && !std::mem::replace(&mut are_checked, true) {
                self.check_params(name, &params, args[0].span)?;
            }
            if matches!(name, "rate" | "increase") {
                self.doubt_counters(&rows, window.span);
            }
            sink(rows)?;
        }
        Ok(())
    }

    fn check_params(&self, name: &str, params: &[Vec<f64>], span: Span) -> Result<(), EvalError> {
        match name {
            "double_exponential_smoothing" => {
                let places = ["smoothing factor", "trend factor"];
                for (param, place) in params.iter().zip(places) {
                    if let Some(found) = param.iter().copied().find(|v| !(*v > 0.0 && *v < 1.0)) {
                        return Err(EvalError::BadParameter { place, wanted: "between 0 and 1", found });
                    }
                }
            }
            "quantile_over_time" => self.doubt_quantiles(params.first().map_or(&[], Vec::as_slice), span),
            _ => {}
        }
        Ok(())
    }

    pub(crate) fn doubt_quantiles(&self, phis: &[f64], span: Span) {
        for phi in phis.iter().filter(|phi| !(0.0..=1.0).contains(*phi)) {
            self.warn(span, format!("quantile value should be between 0 and 1, got {}", crate::format_number(*phi)));
        }
    }

    fn doubt_counters(&self, rows: &[Row], span: Span) {
        let mut last = "";
        for row in rows {
            let name = row.labels.metric();
            // Series of a metric are often neighbours, and one remark is made of it.
            if name == last || row.values.iter().all(|value| is_absent(*value)) {
                continue;
            }
            last = name;
            if !name.is_empty() && !COUNTER_ENDINGS.iter().any(|ending| name.ends_with(ending)) {
                let endings = COUNTER_ENDINGS.join("/");
                self.inform(span, format!("metric might not be a counter, name does not end in {endings}: {name:?}"));
            }
        }
    }

    /// The only float; NaN when there is none or several.
    fn to_scalar(&self, arg: &Expr, steps: &Steps) -> Result<Vec<f64>, EvalError> {
        let rows = self.rows(arg, steps)?;
        let only = |i: usize| {
            let mut present = rows.iter().map(|row| row.values[i]).filter(|value| !is_absent(*value));
            match (present.next(), present.next()) {
                (Some(value), None) => value,
                _ => f64::NAN,
            }
        };
        Ok((0..steps.n).map(only).collect())
    }

    /// Times of the samples where the argument is a selector, else the evaluation time.
    fn timestamps(&self, arg: &Expr, steps: &Steps) -> Result<Vec<Row>, EvalError> {
        let mut rows = match &arg.unparen().kind {
            ExprKind::Vector(selector) if selector.extension.is_none() => self.vector(selector, steps, Pick::Time)?,
            _ => {
                let mut rows = self.rows(arg, steps)?;
                for row in &mut rows {
                    for i in 0..steps.n {
                        if row.is_present(i) {
                            row.values[i] = steps.time(i) as f64 / 1000.0;
                        }
                    }
                    row.natives = Natives::default();
                }
                rows
            }
        };
        rows.iter_mut().for_each(|row| row.drop_name = true);
        Ok(rows)
    }
}

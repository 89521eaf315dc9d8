//! The forecast chart: measured past, what an earlier forecast had said of it, quantile bands as tints, the median dashed,
//! the now-line, limits, and anomalies as marks of different shapes.

use plotly::common::{Anchor, DashType, Fill, Font, HoverInfo, Line, LineShape, Marker, MarkerSymbol, Mode};
use plotly::layout::{Annotation, Layout, Shape, ShapeLine, ShapeType};
use plotly::{Plot, Scatter};
use series::Timestamp;

use super::Figure;
use super::style::Theme;
use super::words::{self, number, plain, quiet};
use crate::decimate::decimate;
use crate::parts::{AnomalyKind, ForecastChart, Threshold};

/// Bands drawn; more would not be told apart.
const BANDS_MAX: usize = 4;
/// Charts below this width have no room for a legend; the sentence below the chart says the same.
const NARROW_PX: usize = 520;
/// Longest unit beside the axis.
const UNIT_CHARS_MAX: usize = 16;
/// Marks and limits drawn.
const MARKS_MAX: usize = 200;
const THRESHOLDS_MAX: usize = 4;

/// The figure of `chart` for a plot of `width_px` columns.
pub(super) fn figure(chart: &ForecastChart, width_px: usize, theme: Theme) -> Figure {
    let mut plot = Plot::new();
    let shown = shown_indices(chart, width_px);
    bands(&mut plot, chart, &shown, theme);
    line(&mut plot, "earlier forecast", &decimate(&chart.earlier, width_px), earlier_line(theme));
    line(&mut plot, "measured", &decimate(&chart.past, width_px), Line::new().color(theme.ink()).width(1.6));
    median(&mut plot, chart, &shown, theme);
    marks(&mut plot, chart, theme);
    plot.set_layout(layout(chart, width_px, theme));
    Figure { plot, title: chart.summary.title.clone(), summary: summary(chart) }
}

fn earlier_line(theme: Theme) -> Line {
    Line::new().color(theme.tint(0.65)).width(1.2).dash(DashType::Dot)
}

/// Bands share the median's times, so they are thinned by index: few steps of a smooth curve need no extremes.
fn shown_indices(chart: &ForecastChart, width_px: usize) -> Vec<usize> {
    let n_points = chart.median.len();
    let every = n_points.div_ceil(width_px.max(1)).max(1);
    let mut shown: Vec<usize> = (0..n_points).step_by(every).collect();
    if n_points > 0 && shown.last() != Some(&(n_points - 1)) {
        shown.push(n_points - 1);
    }
    shown
}

fn bands(plot: &mut Plot, chart: &ForecastChart, shown: &[usize], theme: Theme) {
    let mut bands: Vec<_> = chart.bands.iter().collect();
    bands.sort_by(|a, b| b.level.ratio().total_cmp(&a.level.ratio()));
    bands.truncate(BANDS_MAX);
    for (i, band) in bands.into_iter().enumerate() {
        let edge = |values: &[f64]| -> (Vec<i64>, Vec<f64>) {
            let points = shown.iter().filter_map(|&at| Some((chart.median.get(at)?.0.0, *values.get(at)?)));
            points.unzip()
        };
        let percent = band.level.percent();
        let bare = |(x, y): (Vec<i64>, Vec<f64>)| {
            Scatter::new(x, y).mode(Mode::Lines).line(Line::new().width(0.0)).hover_info(HoverInfo::Skip)
        };
        let group = format!("band{percent}");
        plot.add_trace(bare(edge(&band.lower)).legend_group(&group).show_legend(false));
        // Wider bands lie below narrower ones, so that tints add up towards the median.
        let upper = bare(edge(&band.upper)).fill(Fill::ToNextY).fill_color(theme.tint(0.13 + 0.05 * i as f64));
        plot.add_trace(upper.legend_group(&group).name(format!("{percent} % band")));
    }
}

fn line(plot: &mut Plot, name: &str, points: &[(Timestamp, f64)], line: Line) {
    if points.is_empty() {
        return;
    }
    let (x, y): (Vec<i64>, Vec<f64>) = points.iter().map(|(at, value)| (at.0, *value)).unzip();
    let trace = Scatter::new(x, y).mode(Mode::Lines).name(name).line(line.shape(LineShape::Linear));
    plot.add_trace(trace.hover_template(format!("%{{y:.4s}}<extra>{name}</extra>")));
}

fn median(plot: &mut Plot, chart: &ForecastChart, shown: &[usize], theme: Theme) {
    let points: Vec<(i64, f64)> =
        shown.iter().filter_map(|&at| chart.median.get(at)).map(|(at, value)| (at.0, *value)).collect();
    let texts = shown.iter().map(|&at| bounds_text(chart, at)).collect();
    let (x, y): (Vec<i64>, Vec<f64>) = points.into_iter().unzip();
    let trace = Scatter::new(x, y).mode(Mode::Lines).name("forecast (median)").text_array(texts);
    let dashed = Line::new().color(theme.accent()).width(2.0).dash(DashType::Dash);
    plot.add_trace(trace.line(dashed).hover_template("%{y:.4s}%{text}<extra>forecast</extra>"));
}

/// ` (80 %: 3,900 – 5,240)` of the widest band.
fn bounds_text(chart: &ForecastChart, at: usize) -> String {
    let widest = chart.bands.iter().max_by(|a, b| a.level.ratio().total_cmp(&b.level.ratio()));
    let text = widest.and_then(|band| {
        let (lower, upper) = (band.lower.get(at)?, band.upper.get(at)?);
        Some(format!(" ({} %: {} – {})", band.level.percent(), number(*lower), number(*upper)))
    });
    text.unwrap_or_default()
}

fn marks(plot: &mut Plot, chart: &ForecastChart, theme: Theme) {
    for kind in AnomalyKind::ALL {
        let found: Vec<_> = chart.marks.iter().filter(|mark| mark.kind == kind).take(MARKS_MAX).collect();
        if found.is_empty() {
            continue;
        }
        let (x, y): (Vec<i64>, Vec<f64>) = found.iter().map(|mark| (mark.at.0, mark.value)).unzip();
        let texts = found.iter().map(|mark| plain(&mark.text)).collect();
        let (symbol, name) = symbol(kind);
        let edge = Line::new().color(theme.surface()).width(1.5);
        let marker = Marker::new().symbol(symbol).size(11).color(theme.mark(kind)).line(edge);
        let trace = Scatter::new(x, y).mode(Mode::Markers).name(name).marker(marker).text_array(texts);
        plot.add_trace(trace.hover_template(format!("%{{text}}<extra>{name}</extra>")));
    }
}

fn symbol(kind: AnomalyKind) -> (MarkerSymbol, &'static str) {
    match kind {
        AnomalyKind::Spike => (MarkerSymbol::Circle, "spike"),
        AnomalyKind::Drop => (MarkerSymbol::CircleOpen, "drop"),
        AnomalyKind::Burst => (MarkerSymbol::Square, "burst"),
        AnomalyKind::Trend => (MarkerSymbol::TriangleRight, "trend"),
        AnomalyKind::ShiftUp => (MarkerSymbol::TriangleUp, "shift up"),
        AnomalyKind::ShiftDown => (MarkerSymbol::TriangleDown, "shift down"),
        AnomalyKind::Regression => (MarkerSymbol::Diamond, "regression"),
    }
}

fn layout(chart: &ForecastChart, width_px: usize, theme: Theme) -> Layout {
    let origin = chart.summary.origin.0;
    let now = Shape::new()
        .shape_type(ShapeType::Line)
        .x_ref("x")
        .y_ref("paper")
        .x0(origin)
        .x1(origin)
        .y0(0.0)
        .y1(1.0)
        .line(ShapeLine::new().color(theme.muted()).width(1.0).dash(DashType::Dot));
    let label = Annotation::new()
        .x(origin)
        .x_ref("x")
        .y(1.0)
        .y_ref("paper")
        .y_anchor(Anchor::Bottom)
        .text("now")
        .show_arrow(false)
        .font(Font::new().size(11).color(theme.muted()));
    let (mut shapes, mut annotations) = (vec![now], vec![label]);
    for threshold in chart.thresholds.iter().filter(|line| line.value.is_finite()).take(THRESHOLDS_MAX) {
        let (shape, text) = limit(threshold, theme);
        shapes.push(shape);
        annotations.push(text);
    }
    let narrow = width_px < NARROW_PX;
    let unit: String = chart.summary.unit.chars().take(UNIT_CHARS_MAX).collect();
    theme
        .layout()
        .show_legend(!narrow)
        .x_axis(theme.time_axis().n_ticks(if narrow { 4 } else { 9 }))
        .y_axis(theme.value_axis(&plain(&unit)))
        .shapes(shapes)
        .annotations(annotations)
}

fn limit(threshold: &Threshold, theme: Theme) -> (Shape, Annotation) {
    let value = threshold.value;
    let line = ShapeLine::new().color(theme.limit()).width(1.2).dash(DashType::LongDash);
    let shape = Shape::new().shape_type(ShapeType::Line).x_ref("paper").y_ref("y").x0(0.0).x1(1.0).y0(value).y1(value);
    let text = Annotation::new()
        .x(0.0)
        .x_ref("paper")
        .x_anchor(Anchor::Left)
        .y(value)
        .y_ref("y")
        .y_anchor(Anchor::Bottom)
        .text(plain(&threshold.text))
        .show_arrow(false)
        .font(Font::new().size(11).color(theme.limit()));
    (shape.line(line), text)
}

/// What the chart shows, for those who do not see it. Plain text: the page sets it as text.
fn summary(chart: &ForecastChart) -> String {
    let about = &chart.summary;
    let (title, unit) = (quiet(&about.title), quiet(&about.unit));
    let mut text = match chart
        .median
        .iter()
        .enumerate()
        .filter(|(_, point)| point.1.is_finite())
        .max_by(|a, b| a.1.1.total_cmp(&b.1.1))
    {
        None => format!("{title}: no forecast points yet."),
        Some((at, &(when, peak))) => {
            let bounds = bounds_text(chart, at);
            format!("{title} is expected to peak at {}{bounds} on {}.", with_unit(peak, &unit), words::time(when))
        }
    };
    text.push_str(&format!(" Model {}", quiet(&about.model)));
    if let Some(error) = about.relative_error.filter(|error| error.is_finite()) {
        text.push_str(&format!(", error {} of seasonal-naive", number(error)));
    }
    if let Some(coverage) = about.coverage.filter(|coverage| coverage.is_finite()) {
        text.push_str(&format!(", band held {} % of the time", number((coverage * 100.0).round())));
    }
    text.push('.');
    if !chart.marks.is_empty() {
        let marked = match chart.marks.len() {
            1 => " 1 anomaly is marked.".to_owned(),
            n => format!(" {n} anomalies are marked."),
        };
        text.push_str(&marked);
    }
    text
}

fn with_unit(value: f64, unit: &str) -> String {
    if unit.is_empty() { number(value) } else { format!("{} {unit}", number(value)) }
}

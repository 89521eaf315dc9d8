//! Plain line charts: ingest rate, processor use, stored series.

use plotly::common::{Fill, Line, Mode};
use plotly::layout::{Axis, Margin, RangeMode};
use plotly::{Layout, Plot, Scatter};

use super::Figure;
use super::style::Theme;
use super::words::{number, plain};
use crate::chart_series::ChartLine;
use crate::pulse::Pulse;

/// Samples per second, one point a beat.
pub(super) fn ingest(history: &[Pulse], theme: Theme) -> Figure {
    let points: Vec<(i64, f64)> = history.iter().map(|pulse| (pulse.at.0, pulse.samples_per_second)).collect();
    let now = points.last().map_or(f64::NAN, |point| point.1);
    let mut plot = area("ingest", &points, "%{y:.3s} samples/s<extra></extra>", theme);
    plot.set_layout(small(theme, theme.value_axis("").range_mode(RangeMode::ToZero).n_ticks(3)));
    let summary = format!("{} samples per second arrive now; the chart shows the last ten minutes.", number(now));
    Figure { plot, title: "Ingest rate".to_owned(), summary }
}

/// Share of all cores in use.
pub(super) fn host(history: &[Pulse], theme: Theme) -> Figure {
    let points = history.iter().filter_map(|pulse| Some((pulse.at.0, pulse.host?.cpu)));
    let points: Vec<(i64, f64)> = points.collect();
    let mut plot = area("processor", &points, "%{y:.0%}<extra></extra>", theme);
    let axis = theme.value_axis("").tick_format(".0%").n_ticks(3).range(vec![0.0, 1.0]);
    plot.set_layout(small(theme, axis));
    let summary = match points.last() {
        Some((_, cpu)) => format!("{} % of the processor is in use now.", number((cpu * 100.0).round())),
        None => "This machine's load is not watched.".to_owned(),
    };
    Figure { plot, title: "Processor".to_owned(), summary }
}

/// Stored series, a line each.
pub(super) fn series(lines: &[ChartLine], n_matched: usize, theme: Theme) -> Figure {
    let mut plot = Plot::new();
    for (i, line) in lines.iter().enumerate() {
        let (x, y): (Vec<i64>, Vec<f64>) = line.points.iter().map(|(at, value)| (at.0, *value)).unzip();
        let drawn = Line::new().color(theme.line(i)).width(1.6);
        plot.add_trace(Scatter::new(x, y).mode(Mode::Lines).name(plain(&line.name)).line(drawn).connect_gaps(false));
    }
    plot.set_layout(theme.layout().x_axis(theme.time_axis()).y_axis(theme.value_axis("")));
    let summary = format!("{} of {n_matched} matching series are drawn.", lines.len());
    Figure { plot, title: "Series".to_owned(), summary }
}

fn area(name: &str, points: &[(i64, f64)], hover: &str, theme: Theme) -> Plot {
    let (x, y): (Vec<i64>, Vec<f64>) = points.iter().copied().unzip();
    let trace = Scatter::new(x, y)
        .mode(Mode::Lines)
        .name(name)
        .line(Line::new().color(theme.accent()).width(1.5))
        .fill(Fill::ToZeroY)
        .fill_color(theme.tint(0.12))
        .hover_template(hover);
    let mut plot = Plot::new();
    plot.add_trace(trace);
    plot
}

/// For a strip beside a number.
fn small(theme: Theme, value_axis: Axis) -> Layout {
    let time_axis =
        theme.time_axis().hover_format("%H:%M:%S").show_tick_labels(false).show_line(false).fixed_range(true);
    theme
        .layout()
        .show_legend(false)
        .margin(Margin::new().left(36).right(4).top(4).bottom(4))
        .x_axis(time_axis)
        .y_axis(value_axis.fixed_range(true))
}

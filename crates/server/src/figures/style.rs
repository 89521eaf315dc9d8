//! One look for all figures: two themes, colours that colour-blind readers can tell apart, and the bare layout.

use plotly::Layout;
use plotly::color::Rgba;
use plotly::common::{Anchor, Font, Label, Orientation, Title};
use plotly::layout::{Axis, AxisType, HoverMode, Legend, Margin, ModeBar};

use crate::parts::AnomalyKind;

/// Same stack as the page.
const FONT: &str = "Inter, system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'Liberation Sans', sans-serif";
const FONT_PX: usize = 12;

/// Light or dark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Theme {
    Light,
    Dark,
}

impl Theme {
    fn pick<T>(self, light: T, dark: T) -> T {
        match self {
            Self::Light => light,
            Self::Dark => dark,
        }
    }

    /// Text and measured values.
    pub(super) fn ink(self) -> &'static str {
        self.pick("#1c2733", "#dfe6ee")
    }

    /// Axis texts.
    pub(super) fn muted(self) -> &'static str {
        self.pick("#5a6775", "#93a1b0")
    }

    /// The product's colour: forecasts and the first line of a chart.
    pub(super) fn accent(self) -> &'static str {
        self.pick("#0b7285", "#4fc3d9")
    }

    /// The accent as a tint.
    pub(super) fn tint(self, alpha: f64) -> Rgba {
        let (r, g, b) = self.pick((11, 114, 133), (79, 195, 217));
        Rgba::new(r, g, b, alpha)
    }

    /// Limits.
    pub(super) fn limit(self) -> &'static str {
        self.pick("#b42318", "#ff8f85")
    }

    pub(super) fn surface(self) -> &'static str {
        self.pick("#ffffff", "#1a222c")
    }

    fn grid(self) -> Rgba {
        self.pick(Rgba::new(28, 39, 51, 0.08), Rgba::new(223, 230, 238, 0.09))
    }

    /// Colours of several lines, after Okabe and Ito ("Color Universal Design", 2008), adapted to each background.
    pub(super) fn line(self, i: usize) -> &'static str {
        const LIGHT: [&str; 6] = ["#0b7285", "#c2500a", "#6b4fbb", "#2b7a3d", "#a8327d", "#806a00"];
        const DARK: [&str; 6] = ["#4fc3d9", "#f29a5c", "#b6a3ff", "#7fcf8f", "#f08fc8", "#e0c84a"];
        self.pick(LIGHT, DARK)[i % LIGHT.len()]
    }

    /// Anomalies also differ in shape.
    pub(super) fn mark(self, kind: AnomalyKind) -> &'static str {
        match kind {
            AnomalyKind::Spike | AnomalyKind::Burst => self.pick("#c2410c", "#fb9a5c"),
            AnomalyKind::ShiftUp | AnomalyKind::Trend => self.pick("#a8327d", "#f08fc8"),
            AnomalyKind::ShiftDown | AnomalyKind::Drop => self.pick("#6b4fbb", "#b6a3ff"),
            AnomalyKind::Regression => self.pick("#b42318", "#ff8f85"),
        }
    }

    /// The layout all figures start from; the background is the page's.
    pub(super) fn layout(self) -> Layout {
        Layout::new()
            .auto_size(true)
            .font(Font::new().family(FONT).size(FONT_PX).color(self.muted()))
            .paper_background_color(Rgba::new(0, 0, 0, 0.0))
            .plot_background_color(Rgba::new(0, 0, 0, 0.0))
            .margin(Margin::new().left(52).right(12).top(20).bottom(36))
            .mode_bar(
                ModeBar::new()
                    .background_color(Rgba::new(0, 0, 0, 0.0))
                    .color(self.muted())
                    .active_color(self.accent()),
            )
            .hover_mode(HoverMode::XUnified)
            .hover_label(
                Label::new()
                    .background_color(self.surface())
                    .border_color(self.grid())
                    .font(Font::new().family(FONT).size(FONT_PX).color(self.ink())),
            )
            .legend(
                Legend::new()
                    .orientation(Orientation::Horizontal)
                    .x(0.0)
                    .x_anchor(Anchor::Left)
                    .y(-0.14)
                    .y_anchor(Anchor::Top)
                    .font(Font::new().family(FONT).size(FONT_PX).color(self.muted())),
            )
    }

    /// A time axis in UTC.
    pub(super) fn time_axis(self) -> Axis {
        Axis::new()
            .type_(AxisType::Date)
            .show_grid(false)
            .show_line(true)
            .line_color(self.grid())
            .zero_line(false)
            .tick_angle(0.0)
            .hover_format("%a %d %b %H:%M")
    }

    /// A value axis; `title` must be harmless already.
    pub(super) fn value_axis(self, title: &str) -> Axis {
        let axis = Axis::new()
            .show_grid(true)
            .grid_color(self.grid())
            .zero_line(false)
            .show_line(false)
            .auto_margin(true)
            .n_ticks(6)
            .tick_format("~s");
        if title.is_empty() { axis } else { axis.title(Title::with_text(title)) }
    }
}

//! The figures as a plot.

use std::ops::Range;
use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;

use super::report::{Outcome, SHARE, float};
use super::tally::Tally;

/// The policies in the order in which they are drawn, in colours that the
/// colour-blind can tell apart (Okabe and Ito 2008).
const POLICIES: [(&str, RGBColor); 9] = [
    ("nicban", RGBColor(213, 94, 0)),
    ("first-come", RGBColor(153, 153, 153)),
    ("lru", RGBColor(86, 180, 233)),
    ("loudest-now", RGBColor(0, 158, 115)),
    ("late-optimum", RGBColor(240, 228, 66)),
    ("late-causal", RGBColor(230, 159, 0)),
    ("causal-optimum", RGBColor(0, 114, 178)),
    ("optimum-budget", RGBColor(204, 121, 167)),
    ("optimum", RGBColor(0, 0, 0)),
];

/// A trace is as wide as its bars and a gap.
const WIDTH: f64 = 11.0;

/// What is left for the legend, in bars.
const LEGEND: f64 = 15.0;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// What a panel shows.
struct Panel<'a> {
    title: &'a str,
    range: Range<f64>,
    /// A line across.
    goal: Option<f64>,
    /// What a height stands for.
    label: &'a dyn Fn(&f64) -> String,
    height: &'a dyn Fn(&Outcome, Tally) -> f64,
}

/// Draws packets stopped and calls made, each by trace.
pub(super) fn draw(outcomes: &[Outcome], file: &Path) -> Result<()> {
    let failed = |error| anyhow!("cannot draw {}: {error}", file.display());
    let power = |calls: u64| float(calls.max(1)).log10();
    let all = outcomes.iter().flat_map(|outcome| &outcome.figures);
    let most = all.map(|it| power(it.tally.calls())).fold(1.0, f64::max);
    let shares = outcomes.iter().flat_map(|outcome| {
        let tallies = outcome.figures.iter().map(|it| it.tally);
        tallies.map(|tally| 100.0 * outcome.of_optimum(tally))
    });
    let highest = shares.fold(100.0, f64::max);
    let stopped = Panel {
        title: "Packets stopped in the slots, in % of the clairvoyant optimum's",
        range: 0.0..highest * 1.19,
        goal: Some(100.0 * SHARE),
        label: &|height| format!("{height:.0} %"),
        height: &|outcome, tally| 100.0 * outcome.of_optimum(tally),
    };
    let calls = Panel {
        title: "API calls",
        range: 0.0..most.ceil() * 1.2,
        goal: None,
        label: &|height| format!("{:.0}", 10.0_f64.powf(*height)),
        height: &|_, tally| power(tally.calls()),
    };
    let area = SVGBackend::new(file, (1_200, 720)).into_drawing_area();
    area.fill(&WHITE).map_err(failed)?;
    let (upper, lower) = area.split_vertically(360);
    stopped.draw(outcomes, &upper).map_err(failed)?;
    calls.draw(outcomes, &lower).map_err(failed)?;
    area.present().map_err(failed)
}

type Failure = DrawingAreaErrorKind<std::io::Error>;

impl Panel<'_> {
    fn draw(&self, outcomes: &[Outcome], area: &Area<'_>) -> Result<(), Failure> {
        let lefts = (0_u32..).map(|at| WIDTH * f64::from(at));
        let end = outcomes.iter().fold(LEGEND, |end, _| end + WIDTH);
        let mut chart = ChartBuilder::on(area)
            .caption(self.title, ("sans-serif", 17))
            .margin(8)
            .x_label_area_size(8)
            .y_label_area_size(56)
            .build_cartesian_2d(0.0..end, self.range.clone())?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .disable_x_axis()
            .light_line_style(TRANSPARENT)
            .y_labels(6)
            .y_label_formatter(self.label)
            .draw()?;
        for (at, (policy, colour)) in (0_u32..).zip(POLICIES) {
            let bars = lefts.clone().zip(outcomes).filter_map(|(left, outcome)| {
                let figure = outcome.figures.iter().find(|it| it.policy == policy)?;
                let left = left + 1.0 + f64::from(at);
                let height = (self.height)(outcome, figure.tally);
                let corners = [(left, 0.0), (left + 0.9, height)];
                Some(Rectangle::new(corners, colour.filled()))
            });
            chart
                .draw_series(bars)?
                .label(policy)
                .legend(move |(x, y)| {
                    Rectangle::new([(x, y - 4), (x + 10, y + 4)], colour.filled())
                });
        }
        let names = lefts.zip(outcomes).map(|(left, outcome)| {
            let at = (left + 1.0, self.range.end * 0.97);
            Text::new(outcome.trace, at, ("sans-serif", 13))
        });
        chart.draw_series(names)?;
        if let Some(goal) = self.goal {
            let line = [(0.0, goal), (end, goal)];
            chart.draw_series([PathElement::new(line, BLACK.stroke_width(1))])?;
        } else {
            chart
                .configure_series_labels()
                .position(SeriesLabelPosition::LowerRight)
                .background_style(WHITE.mix(0.85))
                .label_font(("sans-serif", 12))
                .draw()?;
        }
        Ok(())
    }
}

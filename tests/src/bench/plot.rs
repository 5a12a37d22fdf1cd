//! Curves of what grows, or does not, with the number of bans, sources or offenders.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::prelude::*;

use super::row::Row;

/// In colours that the colour-blind can tell apart (Okabe and Ito 2008).
const COLOURS: [RGBColor; 8] = [
    RGBColor(213, 94, 0),
    RGBColor(0, 114, 178),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    RGBColor(0, 0, 0),
    RGBColor(153, 153, 153),
];

/// A plot that was drawn.
#[derive(Debug)]
pub(super) struct Plot {
    /// The family that it belongs to.
    pub(super) family: &'static str,
    pub(super) title: String,
    /// Its name in the documents' folder.
    pub(super) file: String,
}

/// What is to be drawn.
struct Plan {
    family: &'static str,
    file: &'static str,
    title: &'static str,
    across: &'static str,
    /// Rows whose name begins so, and what their curve is called.
    rows: &'static [(&'static str, &'static str)],
    /// Peers are drawn as well, each as a curve of the first of the rows.
    peers: bool,
    /// The cost goes by powers of ten.
    powers: bool,
}

const PLANS: &[Plan] = &[
    Plan {
        family: "verdict",
        file: "benchmarks-verdict.svg",
        title: "Net cost of a verdict, ns per packet",
        across: "bans",
        rows: &[
            ("verdict-drop-ipv4-", "nicban, IPv4, drop"),
            ("verdict-pass-ipv4-", "nicban, IPv4, pass"),
            ("verdict-drop-ipv6-", "nicban, IPv6, drop"),
            ("verdict-pass-ipv6-", "nicban, IPv6, pass"),
        ],
        peers: true,
        powers: false,
    },
    Plan {
        family: "flood",
        file: "benchmarks-flood.svg",
        title: "Net cost of a dropped packet, ns",
        across: "banned sources that send",
        rows: &[("flood-drop-", "nicban")],
        peers: true,
        powers: true,
    },
    Plan {
        family: "daemon",
        file: "benchmarks-tick.svg",
        title: "Processor time of a ranking tick, ms",
        across: "active offenders",
        rows: &[
            ("daemon-tick-", "1,000,000 bans"),
            ("daemon-100k-tick-", "100,000 bans"),
        ],
        peers: false,
        powers: false,
    },
];

/// A curve's name and its points: size and median.
type Curves = BTreeMap<(usize, String), Vec<(f64, f64)>>;

/// Draws what there are rows for; files go into the folder.
pub(super) fn draw_all(rows: &[&Row], folder: &Path) -> Result<Vec<Plot>> {
    let mut plots = Vec::new();
    for plan in PLANS {
        let curves = curves(plan, rows);
        if curves.values().any(|points| points.len() > 1) {
            draw(plan, &curves, &folder.join(plan.file))?;
            plots.push(Plot {
                family: plan.family,
                title: format!("{}, by {}", plan.title, plan.across),
                file: plan.file.to_owned(),
            });
        }
    }
    Ok(plots)
}

fn curves(plan: &Plan, rows: &[&Row]) -> Curves {
    let mut curves = Curves::new();
    let mut put = |order: usize, name: &str, size: u32, cost: f64| {
        let points = curves.entry((order, name.to_owned())).or_default();
        let point = (f64::from(size.max(1)), cost);
        // Each peer's row has nicban's figure once more.
        if !points.contains(&point) {
            points.push(point);
        }
    };
    for (order, (prefix, name)) in plan.rows.iter().enumerate() {
        for row in rows.iter().filter(|row| row.name.starts_with(prefix)) {
            let Some(size) = row.size else { continue };
            if let Some(figure) = row.nicban {
                put(order, name, size, figure.median);
            }
            if let (true, 0, Some(figure), Some(peer)) =
                (plan.peers, order, row.peer, &row.peer_name)
            {
                put(plan.rows.len(), peer, size, figure.median);
            }
        }
    }
    for points in curves.values_mut() {
        points.sort_by(|one, other| one.0.total_cmp(&other.0));
    }
    curves
}

fn draw(plan: &Plan, curves: &Curves, file: &Path) -> Result<()> {
    let failed = |error| anyhow!("cannot draw {}: {error}", file.display());
    paint(plan, curves, file).map_err(failed)
}

fn paint(
    plan: &Plan,
    curves: &Curves,
    file: &Path,
) -> Result<(), DrawingAreaErrorKind<std::io::Error>> {
    // Powers of ten as numbers: then both kinds of axis are one.
    let height = |cost: f64| {
        if plan.powers {
            cost.max(1.0).log10()
        } else {
            cost
        }
    };
    let points = || curves.values().flatten();
    let widest = points().map(|point| point.0.log10()).fold(1.0, f64::max);
    let highest = points().map(|point| height(point.1)).fold(0.0, f64::max);
    let lowest = points().map(|point| height(point.1)).fold(0.0, f64::min);
    let area = SVGBackend::new(file, (900, 420)).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(plan.title, ("sans-serif", 17))
        .margin(10)
        .x_label_area_size(40)
        .y_label_area_size(60)
        // The legend's room.
        .build_cartesian_2d(0.0..widest * 1.5, lowest..highest * 1.1)?;
    let cost = |height: &f64| {
        let cost = if plan.powers {
            10.0_f64.powf(*height)
        } else {
            *height
        };
        format!("{cost:.0}")
    };
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .x_desc(plan.across)
        .x_label_formatter(&|power| power_of_ten(*power, widest))
        .x_labels(12)
        .y_labels(8)
        .y_label_formatter(&cost)
        .draw()?;
    for (at, ((_, name), points)) in curves.iter().enumerate() {
        let colour = COLOURS[at % COLOURS.len()];
        let line = points
            .iter()
            .map(|point| (point.0.log10(), height(point.1)));
        chart
            .draw_series(LineSeries::new(line.clone(), colour.stroke_width(2)).point_size(3))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::MiddleRight)
        .background_style(WHITE.mix(0.85))
        .label_font(("sans-serif", 13))
        .draw()?;
    area.present()
}

/// The axis's words at whole powers only, and none where nothing is drawn.
fn power_of_ten(power: f64, widest: f64) -> String {
    if (power - power.round()).abs() > 1e-6 || power > widest + 1e-6 {
        return String::new();
    }
    match 10.0_f64.powf(power).round() {
        millions if millions >= 1e6 => format!("{:.0} M", millions / 1e6),
        thousands if thousands >= 1e3 => format!("{:.0} k", thousands / 1e3),
        few => format!("{few:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, size: u32, nicban: f64, peer: &str) -> Row {
        Row::beside(name, "ns", &Ok(vec![nicban]), peer, &Ok(vec![2.0 * nicban])).size(size)
    }

    #[test]
    fn a_curve_goes_through_its_rows_by_size_and_has_each_once() {
        let rows = [
            row("verdict-drop-ipv4-1m", 1_000_000, 30.0, "lookup"),
            row("verdict-drop-ipv4-1", 1, 10.0, "lookup"),
            row("verdict-drop-ipv4-1", 1, 10.0, "xdp-filter"),
            row("verdict-pass-vlan-1", 1, 99.0, "lookup"),
        ];
        let curves = curves(&PLANS[0], &rows.iter().collect::<Vec<_>>());
        let names: Vec<_> = curves.keys().map(|(_, name)| name.as_str()).collect();
        assert_eq!(names, ["nicban, IPv4, drop", "lookup", "xdp-filter"]);
        let own = curves.values().next().unwrap();
        assert_eq!(own, &[(1.0, 10.0), (1_000_000.0, 30.0)]);
    }

    #[test]
    fn a_failed_peer_has_no_curve() {
        let failed = Row::beside(
            "verdict-drop-ipv4-1",
            "ns",
            &Ok(vec![1.0]),
            "peer",
            &Err("no".to_owned()),
        );
        let curves = curves(&PLANS[0], &[&failed.size(1)]);
        assert_eq!(curves.len(), 1);
    }

    #[test]
    fn a_plot_is_an_svg_with_the_names_of_its_curves() {
        let folder = tempfile::tempdir().unwrap();
        let rows = [
            row("verdict-drop-ipv4-1", 1, 10.0, "one hash lookup"),
            row("verdict-drop-ipv4-1k", 1_000, 12.0, "one hash lookup"),
        ];
        let plots = draw_all(&rows.iter().collect::<Vec<_>>(), folder.path()).unwrap();
        assert_eq!(plots.len(), 1);
        let svg = std::fs::read_to_string(folder.path().join(&plots[0].file)).unwrap();
        assert!(svg.contains("nicban, IPv4, drop") && svg.contains("one hash lookup"));
    }
}

//! The rows as a table, as JSON, and as docs/benchmarks.md.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use super::families::Family;
use super::figure::Figure;
use super::machine::Machine;
use super::plot::Plot;
use super::row::{Goal, JsonRow, Row};

/// All that was found.
pub(super) struct Report {
    pub(super) machine: Machine,
    pub(super) rounds: u32,
    pub(super) quick: bool,
    /// In the order in which they were measured.
    pub(super) families: Vec<(&'static Family, Vec<Row>)>,
}

#[derive(Debug, Serialize)]
struct Json<'a> {
    machine: &'a Machine,
    rounds: u32,
    quick: bool,
    rows: Vec<JsonRow<'a>>,
}

impl Report {
    pub(super) fn rows(&self) -> impl Iterator<Item = &Row> {
        self.families.iter().flat_map(|(_, rows)| rows)
    }

    /// For programs.
    pub(super) fn json(&self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec_pretty(&Json {
            machine: &self.machine,
            rounds: self.rounds,
            quick: self.quick,
            rows: self.rows().map(JsonRow::from).collect(),
        })
    }

    /// For the terminal.
    pub(super) fn text(&self) -> String {
        let mut text = format!(
            "{}\n{}\n{} rounds; median (least to most)\n",
            self.machine.line(),
            self.machine.peers(),
            self.rounds
        );
        for (family, rows) in &self.families {
            let mut table = Table::new();
            table.load_style(presets::UTF8_HORIZONTAL_ONLY).set_header([
                family.name,
                "nicban",
                "peer",
                "",
                "unit",
                "ratio",
                "goal",
                "",
            ]);
            for row in rows {
                table.add_row(cells(row));
            }
            for column in [1, 3, 5] {
                if let Some(column) = table.column_mut(column) {
                    column.set_cell_alignment(CellAlignment::Right);
                }
            }
            // Writing to a string can't fail.
            writeln!(text, "\n{}: {}\n{table}", family.name, family.about).ok();
            for (name, error) in errors(rows) {
                writeln!(text, "{name}: {error}").ok();
            }
        }
        text.push('\n');
        text.push_str(&self.verdict());
        text.push('\n');
        text
    }

    /// For readers of the documents. The plots lie beside it.
    pub(super) fn markdown(&self, plots: &[Plot]) -> String {
        let mut text = format!(
            "# Benchmarks\n\n\
             Written by `cargo xtask bench` ([CONTRIBUTING.md](../CONTRIBUTING.md#benchmarks)): nicban and \
             each peer were measured alternately, in {} rounds of one run. A figure is the median of the \
             rounds, with the least and the most in brackets; a ratio is nicban's median divided by the \
             peer's. A goal that is not met stays here as not met, and a peer that failed as failed. \
             [Performance](performance.md) says why, and what the rows do not show.\n\n\
             - Machine: {}\n\
             - Peers: {}\n\n{}\n",
            self.rounds,
            self.machine.line(),
            self.machine.peers(),
            self.verdict()
        );
        for (family, rows) in &self.families {
            writeln!(
                text,
                "\n## {}\n\n{}.\n",
                family.name,
                sentence(family.about)
            )
            .ok();
            for plot in plots.iter().filter(|plot| plot.family == family.name) {
                writeln!(text, "![{}]({})\n", plot.title, plot.file).ok();
            }
            text.push_str("| row | nicban | peer | its figure | unit | ratio | goal | |\n");
            text.push_str("|---|--:|---|--:|---|--:|---|---|\n");
            for row in rows {
                writeln!(text, "| {} |", cells(row).join(" | ")).ok();
            }
            for (name, error) in errors(rows) {
                writeln!(
                    text,
                    "\n`{name}`: {}",
                    error.lines().next().unwrap_or_default()
                )
                .ok();
            }
        }
        text
    }

    /// How many goals are met.
    fn verdict(&self) -> String {
        let count = |met| self.rows().filter(|row| row.met() == Some(met)).count();
        let open = self
            .rows()
            .filter(|row| row.goal.is_some() && row.met().is_none())
            .count();
        format!(
            "{} goals met, {} not met, {open} could not be judged.",
            count(true),
            count(false)
        )
    }
}

fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

/// Each error once, with the first row that has it.
fn errors(rows: &[Row]) -> Vec<(&str, &str)> {
    let mut errors: Vec<(&str, &str)> = Vec::new();
    for row in rows {
        if let Some(error) = &row.error
            && !errors.iter().any(|(_, known)| known == error)
        {
            errors.push((&row.name, error));
        }
    }
    errors
}

fn cells(row: &Row) -> [String; 8] {
    let failed = || "failed".to_owned();
    let peer = match (row.peer, &row.peer_name) {
        (Some(figure), _) if row.peer_unfinished => format!("more than {}", number(figure.median)),
        (Some(figure), _) => shown(figure),
        (None, Some(_)) => failed(),
        (None, None) => String::new(),
    };
    [
        row.name.clone(),
        row.nicban.map_or_else(failed, shown),
        row.peer_name.clone().unwrap_or_default(),
        peer,
        row.unit.to_owned(),
        row.ratio().map_or_else(String::new, ratio),
        row.goal.map_or_else(String::new, goal),
        match (row.goal, row.met()) {
            (None, _) => "",
            (Some(_), Some(true)) => "met",
            (Some(_), Some(false)) => "NOT MET",
            (Some(_), None) => "open",
        }
        .to_owned(),
    ]
}

fn goal(goal: Goal) -> String {
    match goal {
        Goal::RatioAtMost(most) => format!("≤ {} ×", ratio(most)),
        Goal::RatioAtLeast(least) => format!("≥ {} ×", ratio(least)),
        Goal::AtMost(most) => format!("≤ {}", number(most)),
        Goal::AtLeast(least) => format!("≥ {}", number(least)),
    }
}

fn shown(figure: Figure) -> String {
    format!(
        "{} ({} to {})",
        number(figure.median),
        number(figure.least),
        number(figure.most)
    )
}

/// Three digits that count.
fn number(number: f64) -> String {
    match number.abs() {
        large if large >= 99.95 => grouped(number),
        middle if middle >= 9.995 => format!("{number:.1}"),
        _ => format!("{number:.2}"),
    }
}

fn grouped(number: f64) -> String {
    let digits = format!("{:.0}", number.abs());
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    if number < 0.0 {
        text.insert(0, '-');
    }
    text
}

fn ratio(ratio: f64) -> String {
    if ratio.abs() < 0.0995 {
        format!("{ratio:.3}")
    } else {
        format!("{ratio:.2}")
    }
}

#[cfg(test)]
mod tests {
    use super::super::families;
    use super::*;

    fn report(rows: Vec<Row>) -> Report {
        Report {
            machine: Machine {
                cpu: "A processor".to_owned(),
                cores: 2,
                memory_gib: 24.0,
                kernel: "6.18".to_owned(),
                versions: vec![("nft", "1.0.6".to_owned())],
            },
            rounds: 7,
            quick: false,
            families: vec![(&families::ALL[0], rows)],
        }
    }

    fn rows() -> Vec<Row> {
        let ours = Ok(vec![10.0, 11.0, 12.0]);
        let error = Err("nft: not installed".to_owned());
        vec![
            Row::beside("a", "ns", &ours, "nft", &Ok(vec![1_234.0])).goal(Goal::RatioAtMost(0.8)),
            Row::beside("b", "ns", &ours, "nft", &Ok(vec![11.0])).goal(Goal::RatioAtMost(0.8)),
            Row::beside("c", "ns", &ours, "nft", &error).goal(Goal::RatioAtMost(0.8)),
            Row::alone("d", "MiB", &ours),
        ]
    }

    #[test]
    fn the_text_shows_what_is_met_what_is_not_and_what_failed() {
        let text = report(rows()).text();
        for part in [
            "A processor, 2 cores, 24 GiB, Linux 6.18",
            "nft 1.0.6",
            "7 rounds",
            "11.0 (10.0 to 12.0)",
            "1,234",
            "0.009",
            "NOT MET",
            "failed",
            "c: nft: not installed",
            "1 goals met, 1 not met, 1 could not be judged.",
        ] {
            assert!(text.contains(part), "{part:?} in\n{text}");
        }
    }

    #[test]
    fn the_document_has_a_line_for_each_row_and_its_plots() {
        let plot = Plot {
            family: "verdict",
            title: "Cost".to_owned(),
            file: "cost.svg".to_owned(),
        };
        let text = report(rows()).markdown(&[plot]);
        for part in [
            "| a | 11.0 (10.0 to 12.0) | nft | 1,234 (1,234 to 1,234) | ns | 0.009 | ≤ 0.80 × | met |",
            "| NOT MET |",
            "| failed |",
            "![Cost](cost.svg)",
            "Linux 6.18",
        ] {
            assert!(text.contains(part), "{part:?} in\n{text}");
        }
    }

    #[test]
    fn the_json_has_the_machine_and_every_row() {
        let json: serde_json::Value =
            serde_json::from_slice(&report(rows()).json().unwrap()).unwrap();
        assert_eq!(json["machine"]["kernel"], "6.18");
        assert_eq!(json["rounds"], 7);
        assert_eq!(json["rows"].as_array().unwrap().len(), 4);
        assert_eq!(json["rows"][2]["error"], "nft: not installed");
    }

    #[test]
    fn numbers_have_three_digits_that_count() {
        let shown = [0.034, 9.99, 12.34, 123.4, 1_234_567.0, -1_234.0].map(number);
        assert_eq!(
            shown,
            ["0.03", "9.99", "12.3", "123", "1,234,567", "-1,234"]
        );
    }
}

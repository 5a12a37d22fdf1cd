//! The figures as a table, with what they say of the goal.

use std::fmt;

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use super::tally::Tally;

/// The least part of the optimum's packets that nicban is to stop.
pub(super) const SHARE: f64 = 0.95;

/// The greatest part of the optimum's calls that it is to make.
pub(super) const CALLS: f64 = 0.10;

/// A policy's figures.
#[derive(Debug, Clone, Copy)]
pub(super) struct Figure {
    pub(super) policy: &'static str,
    pub(super) tally: Tally,
}

/// What came of a trace.
#[derive(Debug, Clone)]
pub(super) struct Outcome {
    pub(super) trace: &'static str,
    pub(super) seed: u64,
    /// Nicban first.
    pub(super) figures: Vec<Figure>,
    pub(super) optimum: Tally,
    /// Without so many calls nobody stops [`SHARE`] of what the optimum does.
    pub(super) calls_needed: f64,
    /// The least part of the optimum's packets below which nicban got worse.
    pub(super) floor: f64,
}

/// A row of `simulate.json`.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    trace: &'static str,
    policy: &'static str,
    stopped_share: f64,
    optimum_share: f64,
    api_calls: u64,
}

impl Outcome {
    pub(super) fn nicban(&self) -> Tally {
        self.figures
            .first()
            .map_or_else(Tally::default, |figure| figure.tally)
    }

    /// What a policy stopped, of what the optimum did.
    pub(super) fn of_optimum(&self, tally: Tally) -> f64 {
        if self.optimum.stopped > 0.0 {
            tally.stopped / self.optimum.stopped
        } else {
            1.0
        }
    }

    /// Its calls, in terms of the optimum's.
    pub(super) fn calls_of_optimum(&self, calls: u64) -> f64 {
        float(calls) / float(self.optimum.calls().max(1))
    }

    pub(super) fn stops_enough(&self) -> bool {
        self.of_optimum(self.nicban()) >= SHARE
    }

    pub(super) fn calls_seldom(&self) -> bool {
        self.calls_of_optimum(self.nicban().calls()) <= CALLS
    }

    /// Whether nobody could reach both, whatever it knows.
    pub(super) fn out_of_reach(&self) -> bool {
        self.calls_needed > CALLS * float(self.optimum.calls())
    }

    /// Whether nicban got worse than it was.
    pub(super) fn is_worse(&self) -> bool {
        self.of_optimum(self.nicban()) < self.floor
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = Row> {
        self.figures.iter().map(|figure| Row {
            trace: self.trace,
            policy: figure.policy,
            stopped_share: figure.tally.share(),
            optimum_share: self.optimum.share(),
            api_calls: figure.tally.calls(),
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "a count of calls")]
pub(super) fn float(calls: u64) -> f64 {
    calls as f64
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table.load_style(presets::UTF8_HORIZONTAL_ONLY).set_header([
            self.trace,
            "stopped",
            "of optimum",
            "calls",
            "of optimum",
            "changes",
            "looks",
        ]);
        for Figure { policy, tally } in &self.figures {
            table.add_row([
                (*policy).to_owned(),
                percent(tally.share()),
                percent(self.of_optimum(*tally)),
                tally.calls().to_string(),
                percent(self.calls_of_optimum(tally.calls())),
                tally.changes.to_string(),
                tally.looks.to_string(),
            ]);
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        writeln!(f, "{table}")?;
        let met = |yes| if yes { "met" } else { "missed" };
        write!(
            f,
            "seed {}; packets: {}, calls: {}",
            self.seed,
            met(self.stops_enough()),
            met(self.calls_seldom())
        )?;
        if self.out_of_reach() {
            write!(
                f,
                "; both together nobody can meet: {} of the optimum's packets take {:.0} calls at the least, which is {} of its {}",
                percent(SHARE),
                self.calls_needed.ceil(),
                percent(self.calls_needed / float(self.optimum.calls().max(1))),
                self.optimum.calls(),
            )?;
        }
        writeln!(f)
    }
}

fn percent(part: f64) -> String {
    format!("{:.1} %", 100.0 * part)
}

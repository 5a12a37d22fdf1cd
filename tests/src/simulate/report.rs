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
    /// None if it was recorded.
    pub(super) seed: Option<u64>,
    /// Nicban first.
    pub(super) figures: Vec<Figure>,
    pub(super) optimum: Tally,
    /// The optimum's, if its calls take the time that they take.
    pub(super) late: Tally,
    /// Without so many calls nobody stops [`SHARE`] of what the optimum does.
    pub(super) calls_needed: f64,
    /// With [`CALLS`] of the optimum's calls nobody stops more packets.
    pub(super) most_in_few_calls: f64,
    /// Without so many calls nobody keeps the slots full of those that are banned.
    pub(super) calls_of_full_slots: u64,
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

    /// Whether too many packets are over before a call works, even for who sees
    /// every rate at once.
    fn is_too_fast(&self) -> bool {
        self.of_optimum(self.late) < SHARE
    }

    /// Whether nicban stops more than the optimum, as only slots of whole networks can:
    /// the optimum's take a source each.
    fn exceeds_optimum(&self) -> bool {
        self.of_optimum(self.nicban()) > 1.0
    }

    /// Whether nobody could stop enough packets with so few calls, whatever it knows,
    /// with a source in each slot. Says nothing where slots of networks do better.
    fn takes_more_calls(&self) -> bool {
        self.calls_needed > CALLS * float(self.optimum.calls()) && !self.exceeds_optimum()
    }

    /// Whether nicban misses a half of the goal and nothing shows that it has to.
    pub(super) fn misses_what_can_be_met(&self) -> bool {
        let packets = !self.stops_enough() && !self.is_too_fast();
        let calls = !self.calls_seldom() && !self.takes_more_calls();
        // Packets missed for want of calls are no failing of their own.
        (packets && !(self.calls_seldom() && self.takes_more_calls())) || calls
    }

    /// Whether nicban got worse than it was.
    pub(super) fn is_worse(&self) -> bool {
        self.of_optimum(self.nicban()) < self.floor
    }

    /// The half of the goal that is about packets: met, or whether anyone could.
    fn verdict_on_packets(&self) -> String {
        let stopped = percent(self.of_optimum(self.nicban()));
        if self.exceeds_optimum() {
            return format!(
                "met, {stopped} of the optimum's: it has a source in each slot, nicban whole networks"
            );
        }
        if self.stops_enough() {
            return format!("met, {stopped} of the optimum's");
        }
        let late = percent(self.of_optimum(self.late));
        let goal = percent(SHARE);
        if self.is_too_fast() {
            format!(
                "missed, {stopped} of the optimum's; so would anyone who reacts: even who sees every rate at once stops only {late}, for a call works late"
            )
        } else {
            format!(
                "missed, {stopped} of the optimum's; who sees every rate at once stops {late}, so that it is not EC2's latency that keeps one below {goal}"
            )
        }
    }

    /// The half that is about calls: met, or whether anyone could.
    fn verdict_on_calls(&self) -> String {
        let optimum = self.optimum.calls();
        let made = percent(self.calls_of_optimum(self.nicban().calls()));
        let needed = percent(self.calls_needed / float(optimum.max(1)));
        let bound = format!(
            "{} of the optimum's packets take {:.0} calls at the least, {needed} of its {optimum}",
            percent(SHARE),
            self.calls_needed.ceil(),
        );
        match (self.calls_seldom(), self.takes_more_calls()) {
            (true, false) => format!("met, {made} of the optimum's"),
            (true, true) => {
                format!(
                    "met, {made} of the optimum's, but nobody can beside the packets, with a source in each slot: {bound}"
                )
            }
            (false, true) => {
                format!(
                    "missed, {made} of the optimum's; with a source in each slot nobody can meet it beside the packets: {bound}"
                )
            }
            (false, false) => {
                format!("missed, {made} of the optimum's; nothing shows that one has to: {bound}")
            }
        }
    }

    /// The goal as a whole: met, or whether anyone could.
    fn verdict(&self) -> String {
        let few = percent(CALLS);
        if self.stops_enough() && self.calls_seldom() {
            return "met".to_owned();
        }
        if self.takes_more_calls() {
            return format!(
                "out of reach with a source in each slot: with {few} of the optimum's calls nobody stops more than {} of its packets",
                percent(self.most_in_few_calls / self.optimum.stopped)
            );
        }
        let full = self.calls_of_full_slots;
        let of_optimum = self.calls_of_optimum(full);
        if of_optimum > CALLS {
            return format!(
                "out of reach for who leaves no slot free: that takes {full} calls at the least, {} of the optimum's",
                percent(of_optimum)
            );
        }
        "missed, and nothing shows that one has to".to_owned()
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
        match self.seed {
            Some(seed) => writeln!(f, "seed {seed}")?,
            None => writeln!(f, "recorded: no seed")?,
        }
        writeln!(f, "packets: {}", self.verdict_on_packets())?;
        writeln!(f, "calls: {}", self.verdict_on_calls())?;
        writeln!(f, "both: {}", self.verdict())
    }
}

fn percent(part: f64) -> String {
    format!("{:.1} %", 100.0 * part)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The optimum stops 1,000 packets with 1,000 calls; the others as given.
    fn outcome(stopped: f64, calls: u64, late: f64, calls_needed: f64) -> Outcome {
        let tally = |stopped, changes| Tally {
            sent: 2_000.0,
            stopped,
            changes,
            looks: 0,
        };
        Outcome {
            trace: "test",
            seed: None,
            figures: vec![Figure {
                policy: "nicban",
                tally: tally(stopped, calls),
            }],
            optimum: tally(1_000.0, 1_000),
            late: tally(late, 1_000),
            calls_needed,
            most_in_few_calls: 700.0,
            calls_of_full_slots: 50,
            floor: 0.0,
        }
    }

    #[test]
    fn each_half_of_the_goal_is_judged_and_what_nobody_can_meet_is_no_failing() {
        let cases = [
            (outcome(960.0, 90, 990.0, 50.0), "met", "met", false),
            (
                outcome(960.0, 300, 990.0, 50.0),
                "met",
                "nothing shows",
                true,
            ),
            (
                outcome(960.0, 300, 990.0, 200.0),
                "met",
                "nobody can meet",
                false,
            ),
            (
                outcome(500.0, 300, 940.0, 200.0),
                "even who sees",
                "nobody can meet",
                false,
            ),
            (
                outcome(500.0, 300, 990.0, 200.0),
                "it is not EC2",
                "nobody can meet",
                true,
            ),
            // It kept to the calls, with which nobody gets there.
            (
                outcome(500.0, 90, 990.0, 200.0),
                "it is not EC2",
                "but nobody can",
                false,
            ),
            (
                outcome(500.0, 90, 990.0, 50.0),
                "it is not EC2",
                "met",
                true,
            ),
        ];
        for (outcome, packets, calls, fails) in cases {
            let said = outcome.verdict_on_packets();
            assert!(said.contains(packets), "{said}");
            let said = outcome.verdict_on_calls();
            assert!(said.contains(calls), "{said}");
            assert_eq!(outcome.misses_what_can_be_met(), fails, "{outcome}");
        }
    }

    #[test]
    fn the_goal_is_out_of_reach_where_few_calls_stop_too_little_or_full_slots_take_more() {
        let full = |calls_of_full_slots, outcome| Outcome {
            calls_of_full_slots,
            ..outcome
        };
        let cases = [
            (outcome(960.0, 90, 990.0, 50.0), "met"),
            (outcome(960.0, 300, 990.0, 200.0), "more than 70.0 %"),
            (outcome(900.0, 90, 990.0, 200.0), "more than 70.0 %"),
            (full(101, outcome(960.0, 300, 990.0, 50.0)), "101 calls"),
            (full(100, outcome(960.0, 300, 990.0, 50.0)), "nothing shows"),
            (full(100, outcome(900.0, 90, 990.0, 50.0)), "nothing shows"),
        ];
        for (outcome, expected) in cases {
            let said = outcome.verdict();
            assert!(said.contains(expected), "{said}");
        }
    }
}

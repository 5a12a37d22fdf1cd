//! A line of the result: nicban, one peer, and what is to be reached.

use serde::Serialize;

use super::figure::{Figure, less};
use super::rounds::Samples;

/// What is to be reached.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Goal {
    /// nicban's figure, divided by the peer's, is no more than this.
    RatioAtMost(f64),
    /// It is no less than this.
    RatioAtLeast(f64),
    /// nicban's own figure is no more than this, in the row's unit.
    AtMost(f64),
    /// It is no less than this.
    AtLeast(f64),
}

impl Goal {
    fn number(self) -> f64 {
        let (Self::RatioAtMost(number)
        | Self::RatioAtLeast(number)
        | Self::AtMost(number)
        | Self::AtLeast(number)) = self;
        number
    }

    fn kind(self) -> &'static str {
        match self {
            Self::RatioAtMost(_) => "ratio at most",
            Self::RatioAtLeast(_) => "ratio at least",
            Self::AtMost(_) => "nicban at most",
            Self::AtLeast(_) => "nicban at least",
        }
    }
}

/// A line of the result.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    pub(super) name: String,
    /// What the figures are in.
    pub(super) unit: &'static str,
    /// None where nicban could not be measured.
    pub(super) nicban: Option<Figure>,
    /// None where nicban is measured alone.
    pub(super) peer_name: Option<String>,
    /// None where there is no peer, or where it could not be measured.
    pub(super) peer: Option<Figure>,
    /// The peer did not finish: its figure is what it took until it was given up.
    pub(super) peer_unfinished: bool,
    pub(super) goal: Option<Goal>,
    /// Why a figure is missing.
    pub(super) error: Option<String>,
    /// What the row is measured at, where there are rows that differ in it alone:
    /// bans, sources, offenders.
    pub(super) size: Option<u32>,
}

impl Row {
    /// nicban by itself.
    pub(super) fn alone(name: impl Into<String>, unit: &'static str, nicban: &Samples) -> Self {
        let (figure, error) = figure(nicban);
        Self {
            name: name.into(),
            unit,
            nicban: figure,
            peer_name: None,
            peer: None,
            peer_unfinished: false,
            goal: None,
            error,
            size: None,
        }
    }

    /// nicban beside a peer.
    pub(super) fn beside(
        name: impl Into<String>,
        unit: &'static str,
        nicban: &Samples,
        peer_name: &str,
        peer: &Samples,
    ) -> Self {
        let row = Self::alone(name, unit, nicban);
        let (peer, error) = figure(peer);
        Self {
            peer_name: Some(peer_name.to_owned()),
            peer,
            error: row.error.clone().or(error),
            ..row
        }
    }

    /// What could not be measured at all.
    pub(super) fn failed(name: impl Into<String>, unit: &'static str, error: &str) -> Self {
        Self::alone(name, unit, &Err(error.to_owned()))
    }

    /// With a goal.
    pub(super) fn goal(self, goal: Goal) -> Self {
        Self {
            goal: Some(goal),
            ..self
        }
    }

    /// With the size that it is measured at.
    pub(super) fn size(self, size: u32) -> Self {
        Self {
            size: Some(size),
            ..self
        }
    }

    /// nicban's median divided by the peer's. None where one is missing, and where
    /// the peer's is not above zero: what is lost in the noise divides nothing.
    pub(super) fn ratio(&self) -> Option<f64> {
        let (nicban, peer) = (self.nicban?.median, self.peer?.median);
        (peer > 0.0).then(|| nicban / peer)
    }

    /// Whether the goal is reached; None where there is none, or where it can't be
    /// told because the peer is missing or went on for an unknown time. A nicban that
    /// can't be measured reaches none.
    pub(super) fn met(&self) -> Option<bool> {
        let goal = self.goal?;
        let Some(nicban) = self.nicban else {
            return Some(false);
        };
        match goal {
            Goal::RatioAtMost(most) => match self.ratio()? <= most {
                // The real ratio is smaller still by an unknown part.
                false if self.peer_unfinished => None,
                reached => Some(reached),
            },
            Goal::RatioAtLeast(least) => self.ratio().map(|ratio| ratio >= least),
            Goal::AtMost(most) => Some(nicban.median <= most),
            Goal::AtLeast(least) => Some(nicban.median >= least),
        }
    }
}

fn figure(samples: &Samples) -> (Option<Figure>, Option<String>) {
    match samples {
        Ok(samples) => match Figure::of(samples) {
            Some(figure) => (Some(figure), None),
            None => (None, Some("not measured".to_owned())),
        },
        Err(error) => (None, Some(error.clone())),
    }
}

/// The samples less the baseline's, round by round; the error of either where one failed.
pub(super) fn net(samples: &Samples, baseline: &Samples) -> Samples {
    match (samples, baseline) {
        (Ok(samples), Ok(baseline)) => Ok(less(samples, baseline)),
        (Err(error), _) | (_, Err(error)) => Err(error.clone()),
    }
}

/// What two processors get done that work on one source, of the samples of nicban on one
/// and on two and of a program that only drops on one and on two. Where the machine's two
/// processors share a core, nothing doubles: the second row shows by how much that falls short.
pub(super) fn growth_rows(name: &str, samples: &[Samples]) -> Vec<Row> {
    let [one, two, bare_one, bare_two] = samples else {
        return vec![Row::failed(name, "drops/s", "not measured")];
    };
    let growth = |one: &Samples, two: &Samples| match (one, two) {
        (Ok(one), Ok(two)) => Ok(two.iter().zip(one).map(|(two, one)| two / one).collect()),
        (Err(error), _) | (_, Err(error)) => Err(error.clone()),
    };
    vec![
        Row::beside(name, "drops/s", two, "nicban on one processor", one)
            .goal(Goal::RatioAtLeast(1.8)),
        Row::beside(
            name,
            "times the drops of one",
            &growth(one, two),
            "bare XDP_DROP",
            &growth(bare_one, bare_two),
        ),
    ]
}

/// A row as `bench.json` has it.
#[derive(Debug, Serialize)]
pub(super) struct JsonRow<'a> {
    name: &'a str,
    nicban: Option<f64>,
    peer: Option<f64>,
    peer_name: Option<&'a str>,
    unit: &'a str,
    ratio: Option<f64>,
    goal: Option<f64>,
    met: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    goal_is: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u32>,
    nicban_spread: Option<[f64; 2]>,
    peer_spread: Option<[f64; 2]>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    peer_unfinished: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

impl<'a> From<&'a Row> for JsonRow<'a> {
    fn from(row: &'a Row) -> Self {
        let spread = |figure: Figure| [figure.least, figure.most];
        Self {
            name: &row.name,
            nicban: row.nicban.map(|figure| figure.median),
            peer: row.peer.map(|figure| figure.median),
            peer_name: row.peer_name.as_deref(),
            unit: row.unit,
            ratio: row.ratio(),
            goal: row.goal.map(Goal::number),
            met: row.met(),
            goal_is: row.goal.map(Goal::kind),
            size: row.size,
            nicban_spread: row.nicban.map(spread),
            peer_spread: row.peer.map(spread),
            peer_unfinished: row.peer_unfinished,
            error: row.error.as_deref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beside(nicban: f64, peer: f64, goal: Goal) -> Row {
        Row::beside("x", "ns", &Ok(vec![nicban]), "peer", &Ok(vec![peer])).goal(goal)
    }

    #[test]
    fn a_ratio_is_one_of_medians_and_a_goal_takes_its_own_number_in() {
        let row = Row::beside(
            "x",
            "ns",
            &Ok(vec![8.0, 7.0, 900.0]),
            "peer",
            &Ok(vec![10.0, 10.0, 1.0]),
        );
        assert_eq!(row.ratio(), Some(0.8));
        assert_eq!(row.clone().goal(Goal::RatioAtMost(0.8)).met(), Some(true));
        assert_eq!(row.goal(Goal::RatioAtMost(0.79)).met(), Some(false));
    }

    #[test]
    fn each_kind_of_goal_is_met_from_its_own_side() {
        for (goal, met) in [
            (Goal::RatioAtMost(2.0), false),
            (Goal::RatioAtMost(3.0), true),
            (Goal::RatioAtLeast(3.0), true),
            (Goal::RatioAtLeast(3.1), false),
            (Goal::AtMost(30.0), true),
            (Goal::AtMost(29.0), false),
            (Goal::AtLeast(30.0), true),
            (Goal::AtLeast(31.0), false),
        ] {
            assert_eq!(beside(30.0, 10.0, goal).met(), Some(met), "{goal:?}");
        }
    }

    #[test]
    fn a_peer_that_failed_is_never_a_win() {
        let row = Row::beside(
            "x",
            "ns",
            &Ok(vec![1.0]),
            "nft",
            &Err("nft: not installed".to_owned()),
        )
        .goal(Goal::RatioAtMost(0.5));
        assert_eq!((row.ratio(), row.met()), (None, None));
        let json = serde_json::to_value(JsonRow::from(&row)).unwrap();
        assert!(json["peer"].is_null() && json["met"].is_null() && json["ratio"].is_null());
        assert_eq!(json["peer_name"], "nft");
        assert_eq!(json["error"], "nft: not installed");
    }

    #[test]
    fn a_peer_lost_in_the_noise_is_no_win_either() {
        assert_eq!(beside(1.0, 0.0, Goal::RatioAtMost(0.5)).met(), None);
        assert_eq!(beside(1.0, -3.0, Goal::RatioAtMost(0.5)).met(), None);
    }

    #[test]
    fn a_peer_that_did_not_finish_can_lose_and_never_win() {
        let unfinished = |nicban| Row {
            peer_unfinished: true,
            ..beside(nicban, 100.0, Goal::RatioAtMost(0.1))
        };
        assert_eq!(unfinished(9.0).met(), Some(true));
        assert_eq!(unfinished(11.0).met(), None);
    }

    #[test]
    fn a_nicban_that_failed_misses_its_goal() {
        let failed: Samples = Err("it ended".to_owned());
        let row =
            Row::beside("x", "ns", &failed, "peer", &Ok(vec![1.0])).goal(Goal::RatioAtMost(0.5));
        assert_eq!(
            (row.met(), row.error.as_deref()),
            (Some(false), Some("it ended"))
        );
    }

    #[test]
    fn the_json_has_every_promised_key_and_null_where_there_is_nothing() {
        let row = Row::alone("x", "MiB", &Ok(vec![200.0, 210.0]));
        let json = serde_json::to_value(JsonRow::from(&row)).unwrap();
        let keys = [
            "name",
            "nicban",
            "peer",
            "peer_name",
            "unit",
            "ratio",
            "goal",
            "met",
        ];
        for key in keys {
            assert!(json.get(key).is_some(), "{key} in {json}");
        }
        assert_eq!(json["nicban"], 205.0);
        assert_eq!(json["nicban_spread"], serde_json::json!([200.0, 210.0]));
        for key in ["peer", "peer_name", "ratio", "goal", "met"] {
            assert!(json[key].is_null(), "{key} in {json}");
        }
    }

    #[test]
    fn a_failed_baseline_fails_the_net_cost() {
        assert_eq!(
            net(&Ok(vec![1.0]), &Err("no".to_owned())),
            Err("no".to_owned())
        );
        assert_eq!(net(&Ok(vec![3.0]), &Ok(vec![1.0])), Ok(vec![2.0]));
    }
}

//! The knobs of the slot market.

use std::time::Duration;

use super::{Measure, Worth};

/// The longest that a term, a half-life or a wait may be.
const LONGEST: Duration = Duration::from_hours(168);

const SECOND: Duration = Duration::from_secs(1);

/// The knobs of the slot market.
#[derive(Debug, Clone, PartialEq)]
pub struct MarketConfig {
    /// What slots go by. Where this says rate and packets/s, it is failures instead
    /// if those are the measure.
    pub measure: Measure,
    /// How long nobody can take an incumbent's slot; 1 s to `first_term`. Each
    /// swap costs a call to AWS, so longer is cheaper and slower to follow.
    pub minimum_term: Duration,
    /// An incumbent's term unless it came back from probation; up to
    /// `longest_term`.
    pub first_term: Duration,
    /// The longest that terms grow, and for how long a lost slot is
    /// remembered; up to a week.
    pub longest_term: Duration,
    /// How long one that lost its slot is counted before it may contest one
    /// again; 1 s to a week. At least the warm-up of the ranking and two of its
    /// ticks, or it is judged by too little.
    pub probation: Duration,
    /// After how long an incumbent's last measured rate counts half; 1 s to a
    /// week.
    pub blind_half_life: Duration,
    /// What a challenger's rate must be in terms of the incumbent's; 1 to 100.
    pub margin: f64,
    /// The least lead of a challenger in packets/s, and the rate below which
    /// none contests a slot; above 0.
    pub floor: f64,
    /// How many incumbents for each NACL and family may be on probation at once
    /// for the sake of a lesser challenger; 0 to 40. At 0 an incumbent stays
    /// until its remembered rate has faded.
    pub trials: usize,
}

impl Default for MarketConfig {
    fn default() -> Self {
        Self {
            measure: Measure::Rate,
            minimum_term: Duration::from_secs(15),
            first_term: Duration::from_mins(1),
            longest_term: Duration::from_hours(2),
            probation: Duration::from_secs(20),
            blind_half_life: Duration::from_mins(30),
            margin: 1.25,
            floor: 0.05,
            trials: 4,
        }
    }
}

impl MarketConfig {
    /// Fails with the first knob that is out of its range.
    pub fn check(&self) -> Result<(), ConfigError> {
        let durations = [
            ("minimum_term", self.minimum_term, SECOND, self.first_term),
            ("first_term", self.first_term, SECOND, self.longest_term),
            ("longest_term", self.longest_term, SECOND, LONGEST),
            ("probation", self.probation, SECOND, LONGEST),
            ("blind_half_life", self.blind_half_life, SECOND, LONGEST),
        ];
        for (knob, value, least, most) in durations {
            if value < least || value > most {
                return Err(ConfigError {
                    knob,
                    value: format!("{value:?}"),
                    allowed: format!("{least:?} to {most:?}"),
                });
            }
        }
        if !(1.0..=100.0).contains(&self.margin) {
            return Err(ConfigError {
                knob: "margin",
                value: self.margin.to_string(),
                allowed: "1 to 100".to_owned(),
            });
        }
        if !(self.floor > 0.0 && self.floor.is_finite()) {
            return Err(ConfigError {
                knob: "floor",
                value: self.floor.to_string(),
                allowed: "above 0".to_owned(),
            });
        }
        if self.trials > 40 {
            return Err(ConfigError {
                knob: "trials",
                value: self.trials.to_string(),
                allowed: "0 to 40".to_owned(),
            });
        }
        Ok(())
    }

    /// An amount in words.
    pub const fn worth(&self, amount: f64) -> Worth {
        Worth {
            amount,
            measure: self.measure,
        }
    }

    /// Whether a challenger's rate beats an incumbent's, both in packets/s.
    pub fn beats(&self, challenger: f64, incumbent: f64) -> bool {
        challenger >= incumbent * self.margin && challenger >= incumbent + self.floor
    }
}

/// A knob that is out of its range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{knob} is {value}; allowed is {allowed}")]
pub struct ConfigError {
    /// The knob's name.
    pub knob: &'static str,
    /// Its value.
    pub value: String,
    /// What it may be.
    pub allowed: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_in_range() {
        MarketConfig::default().check().unwrap();
    }

    #[test]
    fn each_knob_is_refused_by_name_outside_its_range() {
        type Bend = fn(&mut MarketConfig);
        let bends: [(&str, Bend); 8] = [
            ("minimum_term", |c| c.minimum_term = Duration::ZERO),
            ("minimum_term", |c| c.minimum_term = c.first_term * 2),
            ("first_term", |c| c.first_term = c.longest_term * 2),
            ("longest_term", |c| c.longest_term = LONGEST * 2),
            ("probation", |c| c.probation = Duration::ZERO),
            ("margin", |c| c.margin = f64::NAN),
            ("floor", |c| c.floor = 0.0),
            ("trials", |c| c.trials = 41),
        ];
        for (knob, bend) in bends {
            let mut config = MarketConfig::default();
            bend(&mut config);
            assert_eq!(config.check().unwrap_err().knob, knob);
        }
    }

    #[test]
    fn a_lead_needs_the_factor_and_the_floor() {
        let config = MarketConfig::default();
        assert!(config.beats(125.0, 100.0));
        assert!(!config.beats(124.0, 100.0));
        assert!(config.beats(0.05, 0.0));
        assert!(!config.beats(0.04, 0.0));
        assert!(!config.beats(0.15, 0.11), "the factor alone is not enough");
    }
}

//! What a ban is worth to a slot, as operators read it.

use std::fmt;

/// What the worth of a ban is measured in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Measure {
    /// Packets/s that the host drops of it.
    #[default]
    Rate,
    /// Failures that fail2ban has told of it, faded by their age.
    Failures,
}

impl Measure {
    /// Whether it can't see into a slot: what the NACL drops, the host does not
    /// count, while a log's failures stay known.
    pub const fn is_blinded(self) -> bool {
        matches!(self, Self::Rate)
    }
}

/// What a ban is worth, with no more digits than it deserves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Worth {
    /// Packets/s, or faded failures.
    pub amount: f64,
    /// Which of them.
    pub measure: Measure,
}

impl fmt::Display for Worth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.measure {
            Measure::Rate => "packets/s",
            Measure::Failures => "faded failures",
        };
        let digits = if self.amount == 0.0 || self.amount >= 10.0 {
            0
        } else if self.amount >= 0.1 {
            1
        } else {
            3
        };
        write!(f, "{:.digits$} {unit}", self.amount)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_no_packets() {
        let told = |amount, measure| Worth { amount, measure }.to_string();
        assert_eq!(told(812.4, Measure::Rate), "812 packets/s");
        assert_eq!(told(0.0, Measure::Rate), "0 packets/s");
        assert_eq!(told(9.14, Measure::Failures), "9.1 faded failures");
        assert_eq!(told(0.012, Measure::Failures), "0.012 faded failures");
    }
}

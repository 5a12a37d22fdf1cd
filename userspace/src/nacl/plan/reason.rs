//! Why a step is taken, in words for the operator.

use std::fmt;
use std::time::Duration;

use ipnet::IpNet;

use crate::nacl::acl::Direction;
use crate::nacl::market::Worth;

/// Why a step is taken. What is called a rate is what slots go by.
#[derive(Debug, Clone, PartialEq)]
pub enum Reason {
    /// A banned network gets a slot that nobody held.
    FreeSlot {
        /// How often the network has been banned.
        bancount: u32,
        /// Its rate.
        rate: Worth,
    },
    /// A challenger has a clear lead over the incumbent.
    Beats {
        /// The challenger's rate.
        rate: Worth,
        /// The incumbent.
        other: IpNet,
        /// Its remembered rate.
        other_rate: Worth,
        /// How long it held the slot.
        served: Duration,
    },
    /// The incumbent's term is over and the challenger is at least as loud.
    Succeeds {
        /// The challenger's rate.
        rate: Worth,
        /// The incumbent.
        other: IpNet,
        /// Its remembered rate.
        other_rate: Worth,
        /// Its term.
        term: Duration,
    },
    /// The incumbent's term is over and it has to show that it still sends.
    Trial {
        /// The challenger's rate.
        rate: Worth,
        /// The incumbent.
        other: IpNet,
        /// Its remembered rate, if one is known.
        other_rate: Option<Worth>,
        /// Its term.
        term: Duration,
    },
    /// It was on trial, still sends, and takes its slot back.
    Returns {
        /// Its rate.
        rate: Worth,
        /// The lesser one that had the slot meanwhile.
        other: IpNet,
        /// That one's remembered rate.
        other_rate: Worth,
        /// How long the trial took.
        tried: Duration,
    },
    /// Enough banned neighbours send, or have recent failures, that they share the slot
    /// of one of them.
    Widens {
        /// What they are worth together.
        rate: Worth,
        /// The one whose slot it was.
        other: IpNet,
    },
    /// The network's ban is over, or of those that share the slot too few are banned.
    BanEnded,
    /// A slot is shared by the network's neighbours and it.
    Covered {
        /// The network that denies them all.
        by: IpNet,
    },
    /// The network overlaps one that is allowed.
    NowAllowed {
        /// The allowed network.
        by: IpNet,
    },
    /// There are fewer slots than before.
    FewerSlots {
        /// How many there are.
        slots: usize,
    },
    /// An allow stands before the entry.
    Shadowed {
        /// The allow's rule number.
        allow: u16,
    },
    /// The network's slot has no entry in this direction, or none that works.
    Missing,
    /// Another entry of ours denies the same network.
    Duplicate,
    /// The direction is off.
    DirectionOff {
        /// The direction.
        direction: Direction,
    },
    /// One network goes, and another takes its place in the same call.
    InPlace {
        /// Why the new one comes.
        comes: Box<Reason>,
        /// The one that goes.
        other: IpNet,
        /// Why it goes.
        goes: Box<Reason>,
    },
    /// The operator takes all entries out.
    Released,
}

impl Reason {
    /// Whether the step lifts a deny that must not be.
    pub fn is_urgent(&self) -> bool {
        match self {
            Self::NowAllowed { .. } => true,
            Self::InPlace { goes, .. } => goes.is_urgent(),
            _ => false,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FreeSlot { bancount, rate } => write!(
                f,
                "fills a free slot: banned {}, {}",
                Times(*bancount),
                rate
            ),
            Self::Beats {
                rate,
                other,
                other_rate,
                served,
            } => write!(
                f,
                "{} beats {} of {other}, which served {}",
                rate,
                other_rate,
                humantime::format_duration(*served)
            ),
            Self::Succeeds {
                rate,
                other,
                other_rate,
                term,
            } => write!(
                f,
                "{} follows {} of {other}, whose term of {} is over",
                rate,
                other_rate,
                humantime::format_duration(*term)
            ),
            Self::Trial {
                rate,
                other,
                other_rate,
                term,
            } => {
                write!(
                    f,
                    "{} wants the slot of {other}, whose term of {} is over: on probation, ",
                    rate,
                    humantime::format_duration(*term)
                )?;
                match other_rate {
                    Some(other_rate) => write!(f, "last known at {other_rate}"),
                    None => f.write_str("its rate is not known"),
                }
            }
            Self::Returns {
                rate,
                other,
                other_rate,
                tried,
            } => write!(
                f,
                "{} after {} on probation: it still sends, and more than {} of {other}",
                rate,
                humantime::format_duration(*tried),
                other_rate
            ),
            Self::Widens { rate, other } => {
                write!(f, "shared by {other} and its neighbours, {rate} together")
            }
            Self::BanEnded => f.write_str("ban ended"),
            Self::Covered { by } => write!(f, "{by} denies it too"),
            Self::NowAllowed { by } => write!(f, "now allowed by {by}"),
            Self::FewerSlots { slots: 1 } => f.write_str("only 1 slot is left"),
            Self::FewerSlots { slots } => write!(f, "only {slots} slots are left"),
            Self::Shadowed { allow } => write!(f, "useless behind the allow at rule {allow}"),
            Self::Missing => f.write_str("holds a slot, but has no working entry here"),
            Self::Duplicate => f.write_str("denied by another entry already"),
            Self::DirectionOff { direction } => write!(f, "{direction} is off"),
            Self::InPlace { comes, other, goes } => write!(f, "{comes}; {other} goes: {goes}"),
            Self::Released => f.write_str("released by the operator"),
        }
    }
}

struct Times(u32);

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            1 => f.write_str("once"),
            2 => f.write_str("twice"),
            times => write!(f, "{times} times"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nacl::market::Measure;

    const fn packets(amount: f64) -> Worth {
        Worth {
            amount,
            measure: Measure::Rate,
        }
    }

    #[test]
    fn reasons_read_as_sentences() {
        let other = "198.51.100.7/32".parse().unwrap();
        let free = Reason::FreeSlot {
            bancount: 4,
            rate: packets(0.25),
        };
        let says = |reason: &Reason| reason.to_string();
        assert_eq!(
            says(&free),
            "fills a free slot: banned 4 times, 0.2 packets/s"
        );
        assert_eq!(
            says(&Reason::Beats {
                rate: packets(812.4),
                other,
                other_rate: packets(31.0),
                served: Duration::from_mins(5),
            }),
            "812 packets/s beats 31 packets/s of 198.51.100.7/32, which served 5m"
        );
        assert_eq!(
            says(&Reason::InPlace {
                comes: Box::new(free),
                other,
                goes: Box::new(Reason::BanEnded),
            }),
            "fills a free slot: banned 4 times, 0.2 packets/s; 198.51.100.7/32 goes: ban ended"
        );
    }
}

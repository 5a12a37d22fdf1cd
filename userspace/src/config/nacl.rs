//! `[nacl]`: the tier at the subnet.

use std::fmt;
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use super::reader::Section;
use super::{Bounded, Rank, values};
use crate::nacl::acl::{DEFAULT_QUOTA, Direction, HIGHEST_QUOTA, RULE_NUMBERS};
use crate::nacl::market::{MarketConfig, Measure};
use crate::nacl::plan::{PlanConfig, SharingConfig};

/// Entries that AWS allows for each direction and family of a NACL.
pub type Quota = Bounded<1, HIGHEST_QUOTA>;

/// `[nacl]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Nacl {
    /// Whether to use the tier.
    pub enabled: NaclEnabled,
    /// What slots go by.
    pub compete: Measure,
    /// The subnets whose NACLs are used; empty: this host's.
    pub subnets: Vec<Subnet>,
    /// The rule lists to write to: at least one, in order, each once.
    pub directions: Vec<Direction>,
    /// Entries that AWS allows for each direction and family, the default deny counted.
    pub quota: Quota,
    /// The rule numbers that nicban may use.
    pub rule_numbers: RuleNumbers,
    /// How long nobody can take an incumbent's slot: 1 s to `first_term`.
    pub min_term: Duration,
    /// The term of an incumbent that did not come back from probation:
    /// `min_term` to `longest_term`.
    pub first_term: Duration,
    /// How long a term grows, by half at each trial passed: 1 s to 7 days.
    pub longest_term: Duration,
    /// How long one that lost its slot is counted before it may contest one
    /// again: 1 s to 7 days, at least the ranking's warm-up and two ticks.
    pub probation: Duration,
    /// Incumbents of each NACL and family that may be on probation at once for
    /// the sake of a lesser challenger: 0 to 40.
    pub trials: u32,
    /// Banned neighbours that send, from which on they share a slot: 2 to 128; 0:
    /// never.
    pub share_slot: u32,
    /// The shortest prefix of a shared slot, in bits: 16 to 31 for IPv4.
    pub widest_ipv4: Bounded<16, 31>,
    /// The same for IPv6: 32 to 63.
    pub widest_ipv6: Bounded<32, 63>,
    /// A challenger's rate must be so many times the incumbent's: 1 to 100.
    pub margin: f64,
    /// How long until the rate of an incumbent, which no one can measure, counts
    /// half: 1 s to 7 days.
    pub blind_half_life: Duration,
    /// The least rate and the least lead of a challenger, in packets/s: 0.001 to
    /// 1,000,000.
    pub min_rate: f64,
    /// Between two looks at the NACLs: 5 s to 1 h.
    pub observe_every: Duration,
    /// To what that grows while AWS fails or nothing changes: `observe_every` to 24 h.
    pub observe_at_most: Duration,
    /// API calls that may be made at once: 1 to 50.
    pub calls_burst: NonZeroU32,
    /// API calls per second in the long run: 0.01 to 5.
    pub calls_per_second: f64,
    /// The Region; `None` asks the instance metadata service.
    pub region: Option<Region>,
}

const DEFAULT_BURST: NonZeroU32 = NonZeroU32::new(20).unwrap();

impl Default for Nacl {
    fn default() -> Self {
        let market = MarketConfig::default();
        Self {
            enabled: NaclEnabled::Auto,
            compete: Measure::Rate,
            subnets: Vec::new(),
            directions: vec![Direction::Ingress],
            quota: Quota::of::<DEFAULT_QUOTA>(),
            rule_numbers: RuleNumbers { first: 1, last: 99 },
            min_term: market.minimum_term,
            first_term: market.first_term,
            longest_term: market.longest_term,
            probation: market.probation,
            trials: 4,
            share_slot: 8,
            widest_ipv4: Bounded::of::<24>(),
            widest_ipv6: Bounded::of::<56>(),
            margin: market.margin,
            blind_half_life: market.blind_half_life,
            min_rate: market.floor,
            observe_every: Duration::from_mins(1),
            observe_at_most: Duration::from_mins(15),
            calls_burst: DEFAULT_BURST,
            calls_per_second: 1.0,
            region: None,
        }
    }
}

/// Whether to use the tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NaclEnabled {
    /// Where the instance metadata service answers.
    Auto,
    /// Always: its absence is trouble that `status` shows.
    On,
    /// Never.
    Off,
}

/// A range of rule numbers within 1 to 32766.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleNumbers {
    first: u16,
    last: u16,
}

impl RuleNumbers {
    /// The numbers, never empty.
    pub const fn range(self) -> RangeInclusive<u16> {
        self.first..=self.last
    }
}

impl fmt::Display for RuleNumbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

impl FromStr for RuleNumbers {
    type Err = String;

    fn from_str(written: &str) -> Result<Self, String> {
        let number = |part: &str| {
            part.trim()
                .parse()
                .ok()
                .filter(|n| RULE_NUMBERS.contains(n))
        };
        written
            .split_once('-')
            .and_then(|(first, last)| Some((number(first)?, number(last)?)))
            .filter(|(first, last)| first <= last)
            .map(|(first, last)| Self { first, last })
            .ok_or_else(|| {
                format!(
                    "a range in quotes within \"{}-{}\", such as \"1-99\"",
                    RULE_NUMBERS.start(),
                    RULE_NUMBERS.end()
                )
            })
    }
}

/// An AWS Region's name, such as `eu-central-1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region(String);

impl Region {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Region {
    type Err = String;

    fn from_str(written: &str) -> Result<Self, String> {
        // The name becomes part of a host's name, and needs to be no more than one label of it.
        let sound = (1..=32).contains(&written.len())
            && written.split('-').all(|part| !part.is_empty())
            && written
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        if sound {
            Ok(Self(written.to_owned()))
        } else {
            Err("a Region's name in quotes, such as \"eu-central-1\"".to_owned())
        }
    }
}

/// A subnet's id, such as `subnet-0123456789abcdef0`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subnet(String);

impl Subnet {
    const ALLOWED: &'static str = "a subnet's id in quotes, such as \"subnet-0123456789abcdef0\"";

    /// The id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Subnet {
    type Err = String;

    fn from_str(written: &str) -> Result<Self, String> {
        let sound = written.strip_prefix("subnet-").is_some_and(|id| {
            (8..=17).contains(&id.len())
                && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        });
        if sound {
            Ok(Self(written.to_owned()))
        } else {
            Err(Self::ALLOWED.to_owned())
        }
    }
}

impl Nacl {
    /// The planner's knobs.
    pub fn plan(&self) -> PlanConfig {
        PlanConfig {
            rules: self.rule_numbers.range(),
            quota: self.quota.get(),
            ingress: self.directions.contains(&Direction::Ingress),
            egress: self.directions.contains(&Direction::Egress),
            market: MarketConfig {
                measure: self.compete,
                minimum_term: self.min_term,
                first_term: self.first_term,
                longest_term: self.longest_term,
                probation: self.probation,
                blind_half_life: self.blind_half_life,
                margin: self.margin,
                floor: self.min_rate,
                trials: self.trials as usize,
            },
            sharing: SharingConfig {
                members: self.share_slot as usize,
                widest_v4: self.widest_ipv4.byte(),
                widest_v6: self.widest_ipv6.byte(),
            },
            ..PlanConfig::default()
        }
    }

    pub(super) fn read(section: &mut Section<'_, '_>, rank: &Rank) -> Self {
        let default = Self::default();
        let second = Duration::from_secs(1);
        let minute = Duration::from_mins(1);
        let day = Duration::from_hours(24);
        let nacl = Self {
            enabled: section.get(
                "enabled",
                default.enabled,
                values::word(&[
                    ("auto", NaclEnabled::Auto),
                    ("on", NaclEnabled::On),
                    ("off", NaclEnabled::Off),
                ]),
            ),
            compete: section.get(
                "compete",
                default.compete,
                values::word(&[("rate", Measure::Rate), ("failures", Measure::Failures)]),
            ),
            subnets: section.get(
                "subnets",
                default.subnets,
                values::list("subnets' ids", values::parsed(Subnet::ALLOWED)),
            ),
            directions: section.get("directions", default.directions, directions),
            quota: section.get("quota", default.quota, Quota::parse),
            rule_numbers: section.get(
                "rule_numbers",
                default.rule_numbers,
                values::parsed("a range in quotes, such as \"1-99\""),
            ),
            min_term: section.get(
                "min_term",
                default.min_term,
                values::duration(second..=7 * day),
            ),
            first_term: section.get(
                "first_term",
                default.first_term,
                values::duration(second..=7 * day),
            ),
            longest_term: section.get(
                "longest_term",
                default.longest_term,
                values::duration(second..=7 * day),
            ),
            probation: section.get(
                "probation",
                default.probation,
                values::duration(second..=7 * day),
            ),
            trials: section.get("trials", default.trials, values::integer(0..=40)),
            share_slot: section.get("share_slot", default.share_slot, share_slot),
            widest_ipv4: section.get("widest_ipv4", default.widest_ipv4, Bounded::parse),
            widest_ipv6: section.get("widest_ipv6", default.widest_ipv6, Bounded::parse),
            margin: section.get("margin", default.margin, values::number(1.0..=100.0)),
            blind_half_life: section.get(
                "blind_half_life",
                default.blind_half_life,
                values::duration(second..=7 * day),
            ),
            min_rate: section.get("min_rate", default.min_rate, values::number(0.001..=1e6)),
            observe_every: section.get(
                "observe_every",
                default.observe_every,
                values::duration(Duration::from_secs(5)..=60 * minute),
            ),
            observe_at_most: section.get(
                "observe_at_most",
                default.observe_at_most,
                values::duration(Duration::from_secs(5)..=day),
            ),
            calls_burst: section.get("calls_burst", default.calls_burst, |value| {
                let burst = values::integer(1..=50)(value)?;
                Ok(NonZeroU32::new(burst).unwrap_or(DEFAULT_BURST))
            }),
            calls_per_second: section.get(
                "calls_per_second",
                default.calls_per_second,
                values::number(0.01..=5.0),
            ),
            region: section.get("region", None, |value| {
                values::parsed("a Region's name in quotes")(value).map(Some)
            }),
        };
        nacl.check_order(section);
        let least = rank.warm_up + 2 * rank.tick;
        if nacl.probation < least {
            section.conflict(
                "probation",
                "probation",
                format!(
                    "{} is shorter than warm_up and two ticks of [rank], {}: too little to judge by",
                    humantime::format_duration(nacl.probation),
                    humantime::format_duration(least)
                ),
            );
        }
        nacl
    }

    fn check_order(&self, section: &mut Section<'_, '_>) {
        let mut ascending = |low: (&str, Duration), high: (&str, Duration)| {
            if low.1 > high.1 {
                section.conflict(
                    high.0,
                    low.0,
                    format!(
                        "{} is shorter than {}, {}",
                        humantime::format_duration(high.1),
                        low.0,
                        humantime::format_duration(low.1)
                    ),
                );
            }
        };
        ascending(("min_term", self.min_term), ("first_term", self.first_term));
        ascending(
            ("first_term", self.first_term),
            ("longest_term", self.longest_term),
        );
        ascending(
            ("observe_every", self.observe_every),
            ("observe_at_most", self.observe_at_most),
        );
    }
}

fn share_slot(value: &toml::de::DeValue<'_>) -> Result<u32, String> {
    values::integer(0..=128)(value)
        .ok()
        .filter(|members| *members != 1)
        .ok_or_else(|| "a whole number from 2 to 128, or 0: never".to_owned())
}

fn directions(value: &toml::de::DeValue<'_>) -> Result<Vec<Direction>, String> {
    let direction = values::word(&[
        ("ingress", Direction::Ingress),
        ("egress", Direction::Egress),
    ]);
    let mut directions = values::list("\"ingress\" and \"egress\"", direction)(value)?;
    directions.sort();
    directions.dedup();
    if directions.is_empty() {
        return Err(
            "at least one of \"ingress\" and \"egress\"; to do without the tier set \
             enabled = \"off\""
                .to_owned(),
        );
    }
    Ok(directions)
}

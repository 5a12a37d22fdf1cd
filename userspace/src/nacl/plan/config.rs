//! The knobs of the plan.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::nacl::acl::{Acl, DEFAULT_QUOTA, Direction, HIGHEST_QUOTA, RULE_NUMBERS};
use crate::nacl::market::{ConfigError, MarketConfig};

use super::SharingConfig;

/// The knobs of the plan.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanConfig {
    /// Rule numbers that nicban may use; within 1 to 32766. Of these it uses
    /// those below the first allow.
    pub rules: RangeInclusive<u16>,
    /// The same in a NACL that Firewall Manager manages, which wants the rules
    /// of others at 5000 to 32000.
    pub firewall_manager_rules: RangeInclusive<u16>,
    /// Entries for each direction and family that AWS allows, the default deny
    /// counted; 1 to 40.
    pub quota: u32,
    /// Whether sources are denied on their way in.
    pub ingress: bool,
    /// Whether answers to them are denied on their way out.
    pub egress: bool,
    /// How long AWS may take to show a change that it has acknowledged; up to 10
    /// minutes. Until then an entry that is not seen is taken to be on its way.
    pub settle: Duration,
    /// How long a rule number, and a slot with it, is left alone after someone
    /// removed our entry from it for the first time; 1 s to `back_off`.
    pub repair_after: Duration,
    /// The same for the second time; 1 s to `longest_back_off`. It doubles each time
    /// that happens again.
    pub back_off: Duration,
    /// The longest that the back-off gets, and how long a removal is remembered once
    /// it is mended; up to a week.
    pub longest_back_off: Duration,
    /// The knobs of the slot market.
    pub market: MarketConfig,
    /// When neighbours share a slot.
    pub sharing: SharingConfig,
}

impl Default for PlanConfig {
    fn default() -> Self {
        Self {
            rules: 1..=99,
            firewall_manager_rules: 5_000..=32_000,
            quota: DEFAULT_QUOTA,
            ingress: true,
            egress: false,
            settle: Duration::from_secs(30),
            repair_after: Duration::from_secs(30),
            back_off: Duration::from_mins(5),
            longest_back_off: Duration::from_hours(24),
            market: MarketConfig::default(),
            sharing: SharingConfig::default(),
        }
    }
}

impl PlanConfig {
    /// The rule numbers that nicban may use in this NACL.
    pub const fn range<'a>(&'a self, acl: &Acl) -> &'a RangeInclusive<u16> {
        if acl.firewall_manager {
            &self.firewall_manager_rules
        } else {
            &self.rules
        }
    }

    /// Whether entries are wanted in a direction.
    pub const fn is_on(&self, direction: Direction) -> bool {
        match direction {
            Direction::Ingress => self.ingress,
            Direction::Egress => self.egress,
        }
    }

    /// Fails with the first knob that is out of its range.
    pub fn check(&self) -> Result<(), ConfigError> {
        let ranges = [
            ("rules", &self.rules),
            ("firewall_manager_rules", &self.firewall_manager_rules),
        ];
        for (knob, range) in ranges {
            let within = RULE_NUMBERS.contains(range.start()) && RULE_NUMBERS.contains(range.end());
            if range.is_empty() || !within {
                return Err(ConfigError {
                    knob,
                    value: format!("{} to {}", range.start(), range.end()),
                    allowed: format!(
                        "a range within {} to {}",
                        RULE_NUMBERS.start(),
                        RULE_NUMBERS.end()
                    ),
                });
            }
        }
        if !(1..=HIGHEST_QUOTA).contains(&self.quota) {
            return Err(ConfigError {
                knob: "quota",
                value: self.quota.to_string(),
                allowed: format!("1 to {HIGHEST_QUOTA}"),
            });
        }
        let second = Duration::from_secs(1);
        let week = second * 7 * 24 * 60 * 60;
        let durations = [
            ("settle", self.settle, Duration::ZERO, second * 10 * 60),
            ("repair_after", self.repair_after, second, self.back_off),
            ("back_off", self.back_off, second, self.longest_back_off),
            ("longest_back_off", self.longest_back_off, second, week),
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
        self.sharing.check()?;
        self.market.check()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_in_range() {
        PlanConfig::default().check().unwrap();
    }

    #[test]
    fn each_knob_is_refused_by_name_outside_its_range() {
        type Bend = fn(&mut PlanConfig);
        let bends: [(&str, Bend); 8] = [
            ("rules", |c| c.rules = 0..=99),
            ("rules", |c| c.rules = RangeInclusive::new(50, 40)),
            ("firewall_manager_rules", |c| {
                c.firewall_manager_rules = 5_000..=32_767;
            }),
            ("quota", |c| c.quota = 41),
            ("settle", |c| c.settle = Duration::from_secs(601)),
            ("repair_after", |c| c.repair_after = c.back_off * 2),
            ("back_off", |c| c.back_off = c.longest_back_off * 2),
            ("margin", |c| c.market.margin = 0.5),
        ];
        for (knob, bend) in bends {
            let mut config = PlanConfig::default();
            bend(&mut config);
            assert_eq!(config.check().unwrap_err().knob, knob);
        }
    }
}

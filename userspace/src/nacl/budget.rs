//! A token bucket that bounds the calls to EC2.

use std::num::NonZeroU32;
use std::time::Duration;

/// How many calls may be made: `burst` at once, one more each `period`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// Calls that may be made at once after a pause.
    pub burst: NonZeroU32,
    /// The time in which one more becomes due. Zero sets no bound.
    pub period: Duration,
}

impl Allowance {
    /// No period is longer: one year.
    const LONGEST: Duration = Duration::from_hours(365 * 24);

    /// So many at once, and so many per second in the long run. A rate that is not
    /// above zero lets the burst go, and then as good as none.
    pub fn per_second(burst: NonZeroU32, rate: f64) -> Self {
        Self {
            burst,
            period: Duration::try_from_secs_f64(rate.recip())
                .map_or(Self::LONGEST, |period| period.min(Self::LONGEST)),
        }
    }

    /// For calls that change an entry. EC2 gives an account and Region a bucket
    /// of 50, refilled at 5/s ("Request throttling for the Amazon EC2 API"): this
    /// leaves most of it to others, and fills 18 slots of a family at once.
    pub const MUTATIONS: Self = Self {
        burst: NonZeroU32::new(20).unwrap(),
        period: Duration::from_secs(1),
    };

    /// For `DescribeNetworkAcls`, of which EC2 gives 100, refilled at 20/s.
    pub const DESCRIBES: Self = Self {
        burst: NonZeroU32::new(20).unwrap(),
        period: Duration::from_millis(500),
    };
}

/// The bucket. Times are since any fixed moment, and don't run backwards.
#[derive(Debug, Clone)]
pub struct Budget {
    allowance: Allowance,
    /// When the bucket will be full again if nothing more is taken.
    full_at: Duration,
}

impl Budget {
    /// A full bucket.
    pub const fn new(allowance: Allowance) -> Self {
        Self {
            allowance,
            full_at: Duration::ZERO,
        }
    }

    /// Takes one call, or says how long it is until one is due. A refusal takes
    /// nothing.
    pub fn take(&mut self, now: Duration) -> Result<(), Duration> {
        let Allowance { burst, period } = self.allowance;
        // The bucket holds `burst` less one token for each period until it is full.
        let full_at = self.full_at.max(now).saturating_add(period);
        let reserve = period.saturating_mul(burst.get());
        match full_at.saturating_sub(now).checked_sub(reserve) {
            None | Some(Duration::ZERO) => {
                self.full_at = full_at;
                Ok(())
            }
            Some(wait) => Err(wait),
        }
    }

    /// Empties the bucket: EC2's own is empty, which others fill and drain too.
    pub fn drain(&mut self, now: Duration) {
        let Allowance { burst, period } = self.allowance;
        let full_at = now.saturating_add(period.saturating_mul(burst.get()));
        self.full_at = self.full_at.max(full_at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn budget(burst: u32, period_ms: u64) -> Budget {
        Budget::new(Allowance {
            burst: NonZeroU32::new(burst).unwrap(),
            period: Duration::from_millis(period_ms),
        })
    }

    #[test]
    fn the_burst_goes_at_once_and_then_one_each_period() {
        let mut budget = budget(2, 1000);
        let start = Duration::from_secs(7);
        assert_eq!(budget.take(start), Ok(()));
        assert_eq!(budget.take(start), Ok(()));
        assert_eq!(budget.take(start), Err(Duration::from_secs(1)));
        let later = start + Duration::from_millis(400);
        assert_eq!(budget.take(later), Err(Duration::from_millis(600)));
        let due = start + Duration::from_secs(1);
        assert_eq!(budget.take(due), Ok(()));
        assert_eq!(budget.take(due), Err(Duration::from_secs(1)));
    }

    #[test]
    fn a_drained_bucket_refills_at_its_rate() {
        let mut budget = budget(3, 1000);
        let start = Duration::from_secs(7);
        budget.drain(start);
        assert_eq!(budget.take(start), Err(Duration::from_secs(1)));
        // Drained twice at once, it is as empty as drained once.
        budget.drain(start);
        assert_eq!(budget.take(start + Duration::from_secs(1)), Ok(()));
        assert_eq!(
            budget.take(start + Duration::from_secs(1)),
            Err(Duration::from_secs(1))
        );
    }

    #[test]
    fn a_rate_is_the_inverse_of_a_period() {
        let period = |rate| Allowance::per_second(NonZeroU32::MIN, rate).period;
        assert_eq!(period(0.5), Duration::from_secs(2));
        assert_eq!(period(4.0), Duration::from_millis(250));
        for odd in [0.0, -0.0, -1.0, f64::NAN] {
            assert_eq!(period(odd), Allowance::LONGEST);
        }
        let mut budget = Budget::new(Allowance::per_second(NonZeroU32::MIN, 0.0));
        assert_eq!(budget.take(Duration::ZERO), Ok(()));
        assert!(budget.take(Allowance::LONGEST / 2).is_err());
    }

    proptest! {
        #[test]
        fn no_interval_has_more_than_burst_plus_rate(
            burst in 1_u32..30,
            period in 1_u64..3_000,
            pauses in proptest::collection::vec(0_u64..2_000, 1..200),
        ) {
            let mut budget = budget(burst, period);
            let mut now = 0;
            let mut taken = Vec::new();
            for pause in pauses {
                now += pause;
                if budget.take(Duration::from_millis(now)).is_ok() {
                    taken.push(now);
                }
            }
            for (i, first) in taken.iter().enumerate() {
                for (j, last) in taken.iter().enumerate().skip(i) {
                    let most = u64::from(burst) + (last - first) / period;
                    prop_assert!((j - i + 1) as u64 <= most);
                }
            }
        }

        #[test]
        fn who_waits_as_told_is_served(
            burst in 1_u32..30,
            period in 0_u64..3_000,
            calls in 1_usize..200,
        ) {
            let mut budget = budget(burst, period);
            let mut now = Duration::ZERO;
            for _ in 0..calls {
                if let Err(wait) = budget.take(now) {
                    prop_assert!(wait > Duration::ZERO);
                    now += wait;
                    prop_assert_eq!(budget.take(now), Ok(()));
                }
            }
            // It holds nobody up longer than the rate asks for.
            let due = calls.saturating_sub(burst as usize) as u64 * period;
            prop_assert_eq!(now, Duration::from_millis(due));
        }
    }
}

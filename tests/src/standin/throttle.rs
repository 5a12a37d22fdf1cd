//! EC2's request token buckets.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::error::ApiError;

/// One bucket's size.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Requests that can be made at once.
    pub burst: f64,
    /// Requests per second that come back.
    pub per_second: f64,
}

/// The buckets of the two classes of request.
///
/// The defaults are those of the EC2 API reference, "Request throttling for the Amazon
/// EC2 API": 100 and 20/s for what describes, 50 and 5/s for what changes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rates {
    /// For what changes.
    pub mutating: Rate,
    /// For what describes.
    pub describe: Rate,
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            mutating: Rate {
                burst: 50.0,
                per_second: 5.0,
            },
            describe: Rate {
                burst: 100.0,
                per_second: 20.0,
            },
        }
    }
}

/// A bucket that fills at a steady rate.
#[derive(Debug, Clone)]
struct Bucket {
    rate: Rate,
    level: f64,
    at: Instant,
}

impl Bucket {
    const fn full(rate: Rate, now: Instant) -> Self {
        Self {
            rate,
            level: rate.burst,
            at: now,
        }
    }

    fn take(&mut self, now: Instant) -> bool {
        let passed = now
            .checked_duration_since(self.at)
            .unwrap_or(Duration::ZERO);
        self.at = now.max(self.at);
        self.level =
            (self.level + passed.as_secs_f64() * self.rate.per_second).min(self.rate.burst);
        if self.level < 1.0 {
            return false;
        }
        self.level -= 1.0;
        true
    }
}

/// Both buckets of an account in a Region.
#[derive(Debug, Clone)]
pub struct Throttle {
    mutating: Bucket,
    describe: Bucket,
}

impl Throttle {
    /// Full buckets.
    pub const fn new(rates: Rates, now: Instant) -> Self {
        Self {
            mutating: Bucket::full(rates.mutating, now),
            describe: Bucket::full(rates.describe, now),
        }
    }

    /// Takes a request's token, or refuses with `RequestLimitExceeded`.
    pub fn admit(&mut self, mutating: bool, now: Instant) -> Result<(), ApiError> {
        let bucket = if mutating {
            &mut self.mutating
        } else {
            &mut self.describe
        };
        if bucket.take(now) {
            Ok(())
        } else {
            Err(ApiError::new(
                "RequestLimitExceeded",
                "Request limit exceeded.",
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::clock;
    use super::*;

    fn admitted(throttle: &mut Throttle, mutating: bool, tries: usize, now: Instant) -> usize {
        (0..tries)
            .filter(|_| throttle.admit(mutating, now).is_ok())
            .count()
    }

    #[test]
    fn the_burst_is_spent_then_the_rate_rules() {
        let start = clock::monotonic();
        let mut throttle = Throttle::new(Rates::default(), start);
        assert_eq!(admitted(&mut throttle, true, 80, start), 50);
        let later = start + Duration::from_secs(1);
        assert_eq!(admitted(&mut throttle, true, 80, later), 5);
        assert_eq!(
            throttle.admit(true, later).unwrap_err().code,
            "RequestLimitExceeded"
        );
    }

    #[test]
    fn the_classes_do_not_share_tokens() {
        let start = clock::monotonic();
        let mut throttle = Throttle::new(Rates::default(), start);
        assert_eq!(admitted(&mut throttle, true, 60, start), 50);
        assert_eq!(admitted(&mut throttle, false, 120, start), 100);
    }

    #[test]
    fn a_bucket_never_holds_more_than_its_burst() {
        let start = clock::monotonic();
        let mut throttle = Throttle::new(Rates::default(), start);
        let much_later = start + Duration::from_hours(24);
        assert_eq!(admitted(&mut throttle, true, 80, much_later), 50);
    }
}

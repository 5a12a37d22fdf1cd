//! How fast one offender sends: a steady mean, unless the last seconds belie it.
//!
//! A mean over a minute tells quiet offenders apart, which send a few packets in that
//! time. Of a loud one it is late: who begins to send 100 packets/s after a pause has
//! shown it within a second, and so has who stops. So there is a quick mean beside the
//! steady one, and it counts where chance does not explain the difference.

use std::time::Duration;

use super::RankConfig;

/// After how long a packet counts half in the quick mean.
const QUICK: Duration = Duration::from_secs(3);

/// By how many standard deviations of a Poisson count the quick mean has to be off to
/// be believed: chance does that once in some hundred times.
const CHANCE: f64 = 3.0;

/// A mean that fades.
#[derive(Debug, Clone, Copy, Default)]
struct Mean {
    /// Faded packets/s, as if it had been watched for ever.
    faded: f64,
    /// How much of that weight has been watched, 0 to 1.
    watched: f64,
}

impl Mean {
    /// Takes in a time's packets/s, where this part of the weight before it is kept.
    fn add(&mut self, arrived: f64, keep: f64) {
        self.faded = self.faded * keep + arrived * (1.0 - keep);
        self.watched = 1.0 - (1.0 - self.watched) * keep;
    }

    fn rate(self, lightest: f64) -> f64 {
        self.faded / self.watched.max(lightest)
    }
}

/// What the means of all offenders have in common.
#[derive(Debug, Clone)]
pub(super) struct Fading {
    half_life: Duration,
    quick: Duration,
    /// The weights of the warm-up, below which none counts.
    lightest: f64,
    lightest_quick: f64,
}

impl Fading {
    pub(super) fn new(config: &RankConfig) -> Self {
        let quick = QUICK.min(config.half_life);
        // Without a warm-up there is still the smallest weight to divide by.
        let weight = |half_life| (1.0 - kept(config.warm_up, half_life)).max(f64::EPSILON);
        Self {
            half_life: config.half_life,
            quick,
            lightest: weight(config.half_life),
            lightest_quick: weight(quick),
        }
    }
}

/// The part of a weight that is left after a time.
fn kept(time: Duration, half_life: Duration) -> f64 {
    (-time.as_secs_f64() / half_life.as_secs_f64()).exp2()
}

/// One offender's means.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Pace {
    steady: Mean,
    quick: Mean,
}

impl Pace {
    /// Takes in the packets/s of the time since it was last told.
    pub(super) fn add(&mut self, arrived: f64, time: Duration, fading: &Fading) {
        self.steady.add(arrived, kept(time, fading.half_life));
        self.quick.add(arrived, kept(time, fading.quick));
    }

    /// Packets/s.
    pub(super) fn rate(&self, fading: &Fading) -> f64 {
        let steady = self.steady.rate(fading.lightest);
        if self.quick.watched < fading.lightest_quick {
            // A burst of a moment is no flood.
            return steady;
        }
        let quick = self.quick.rate(fading.lightest_quick);
        // A mean that fades is as unsure as one over this many seconds.
        let seconds = 2.0 * fading.quick.as_secs_f64() / std::f64::consts::LN_2;
        let deviation = (quick.max(steady) / seconds).sqrt();
        if (quick - steady).abs() > CHANCE * deviation {
            quick
        } else {
            steady
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What sent these packets/s for so many seconds each.
    fn sent(seconds: &[(u32, f64)]) -> f64 {
        let fading = Fading::new(&RankConfig::default());
        let mut pace = Pace::default();
        for (count, arrived) in seconds {
            for _ in 0..*count {
                pace.add(*arrived, Duration::from_secs(1), &fading);
            }
        }
        pace.rate(&fading)
    }

    #[test]
    fn a_loud_one_that_starts_or_stops_is_seen_within_seconds() {
        let started = sent(&[(600, 0.0), (6, 100.0)]);
        assert!((70.0..100.0).contains(&started), "{started}");
        let stopped = sent(&[(600, 100.0), (6, 0.0)]);
        assert!((0.0..30.0).contains(&stopped), "{stopped}");
    }

    #[test]
    fn a_quiet_one_has_its_steady_mean_whenever_it_last_sent() {
        // A packet each 10 s.
        let ten = [(9, 0.0), (1, 1.0)];
        let just_sent = sent(&ten.repeat(60));
        let long_ago = sent(&[ten.repeat(60), vec![(9, 0.0)]].concat());
        assert!((0.09..0.12).contains(&just_sent), "{just_sent}");
        assert!((0.09..0.12).contains(&long_ago), "{long_ago}");
    }

    #[test]
    fn a_newcomer_is_not_believed_before_the_warm_up() {
        let burst = sent(&[(1, 1_000.0)]);
        assert!((195.0..210.0).contains(&burst), "{burst}");
    }
}

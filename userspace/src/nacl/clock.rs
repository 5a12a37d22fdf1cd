//! Time as the NACL tier's edge takes it.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Time, so that a test can have its own.
pub trait Clock: Send + Sync {
    /// Time since a fixed moment; never runs backwards.
    fn monotonic(&self) -> Duration;

    /// Seconds since the Unix epoch.
    fn unix(&self) -> i64;

    /// Waits. Cancelled by dropping the future.
    fn sleep(&self, time: Duration) -> impl Future<Output = ()> + Send;
}

/// The machine's clocks.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// Its [`Clock::monotonic`] begins now.
    pub fn new() -> Self {
        Self {
            start: Instant::now(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }

    fn unix(&self) -> i64 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |time| i64::try_from(time.as_secs()).unwrap_or(i64::MAX))
    }

    async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

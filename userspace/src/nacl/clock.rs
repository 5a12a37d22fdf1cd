//! Time as the NACL tier's edge takes it.

use std::time::Duration;

use crate::clock::Now;

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
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn monotonic(&self) -> Duration {
        now().boot
    }

    fn unix(&self) -> i64 {
        now().seconds()
    }

    async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

/// A machine whose clocks can't be read has stopped long before it comes here.
fn now() -> Now {
    Now::read().unwrap_or(Now {
        wall: Duration::ZERO,
        boot: Duration::ZERO,
    })
}

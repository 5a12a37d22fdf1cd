//! The only clock reads of the stand-ins.

use std::time::{Instant, SystemTime};

/// For intervals: throttling, visibility, token lifetimes.
#[expect(clippy::disallowed_methods, reason = "the stand-ins are an edge")]
pub fn monotonic() -> Instant {
    Instant::now()
}

/// For the end of credentials, which clients compare with their own clock.
#[expect(clippy::disallowed_methods, reason = "the stand-ins are an edge")]
pub fn wall() -> SystemTime {
    SystemTime::now()
}

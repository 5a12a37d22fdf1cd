//! The real clock, as fail2ban and the store read it.

use std::time::SystemTime;

/// Seconds since the Unix epoch.
///
/// # Panics
/// The machine's clock stands before 1970.
#[must_use]
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    i64::try_from(since.unwrap().as_secs()).unwrap()
}

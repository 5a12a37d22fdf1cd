//! The real daemon against real packets, each effect shown beside its opposite.
#![expect(
    clippy::disallowed_methods,
    reason = "bans end by the real clock, and so are measured against it"
)]

mod access;
mod activation;
mod allow;
mod attach;
mod bans;
mod capacity;
mod configuration;
mod expiry;
mod failures;
mod flood;
mod flush;
mod hostile;
mod import;
mod jails;
mod linking;
mod metrics;
mod modes;
mod peer;
mod restart;
mod rivals;
mod socket;
mod trial;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nicban_tests::clock::now;

/// The time since the Unix epoch.
fn wall() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}

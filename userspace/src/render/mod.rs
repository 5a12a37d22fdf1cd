//! What the operator reads: pure functions from answers to text.
//!
//! Times are shown as distances from `now`, in seconds since the Unix epoch.

pub mod allow;
pub mod bans;
pub mod human;
pub mod nacl;
pub mod status;
mod table;

#[cfg(test)]
pub(crate) use status::tests::sample as sample_status;

//! nicban bans at the NIC: the daemon and what it is made of.
#![forbid(unsafe_code)]

pub mod allow;
#[cfg(feature = "aws")]
pub mod aws;
pub mod bans;
pub mod clock;
pub mod config;
pub mod control;
pub mod daemon;
pub mod engine;
pub mod host;
pub mod metrics;
pub mod nacl;
pub mod rank;
pub mod store;
pub mod target;
pub mod xdp;

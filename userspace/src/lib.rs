//! nicban bans at the NIC: XDP on the host, the network ACL at the subnet.
//!
//! The daemon and the operator's commands are one binary, `nicban`; this
//! library is what both are made of.
#![deny(unsafe_code)]

pub mod allow;
#[cfg(feature = "aws")]
pub mod aws;
pub mod bans;
pub mod clock;
pub mod commands;
pub mod config;
pub mod control;
pub mod daemon;
pub mod engine;
pub mod exit;
pub mod fail2ban;
pub mod host;
pub mod lists;
pub mod logging;
pub mod metrics;
pub mod nacl;
pub mod owner;
pub mod rank;
pub mod render;
pub mod store;
pub mod target;
pub mod xdp;

//! nicban bans at the NIC: XDP on the host, the network ACL at the subnet.
//!
//! The daemon and the operator's commands are one binary, `nicban`; this
//! library is what both are made of.
#![deny(unsafe_code)]

pub mod commands;
pub mod config;
pub mod exit;
pub mod host;
pub mod nacl;
pub mod render;

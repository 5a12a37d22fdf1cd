//! Real fail2ban, the shipped action and jail, the real daemon, real sshd, real packets.
//!
//! Needs root, fail2ban, sshd, sshpass, nftables, bpftool, and Debian 13's fail2ban, unpacked by
//! `cargo xtask setup`. Touches no other fail2ban of
//! the machine.
#![expect(
    clippy::disallowed_methods,
    reason = "a real fail2ban lives by the real clock"
)]

mod debian_13;
mod intrusion;
mod jails;
mod pair;
mod refused;
mod restart;
mod scene;
mod sentence;
mod sync;

//! The shipped units under a real systemd, which is the first process of a machine of its own.
//!
//! Needs root, systemd 252 or later, fail2ban with python3-systemd, sshd, sshpass, nftables, bpftool, cgroup2 and
//! overlayfs; no dbus. The machine outside may run systemd or not: it is left alone.

mod boot;
mod broken;
mod claims;
#[cfg(feature = "aws")]
mod cloud;
mod install;
mod journal;
mod leftovers;
mod machine;
mod operator;
#[cfg(feature = "aws")]
mod readme;
mod refusals;
mod sandbox;
mod service;
mod upgrade;

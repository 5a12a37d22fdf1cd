//! nicban bans at the NIC: the daemon and what it is made of.

pub mod nacl;
pub mod xdp;

//! Ethernet frames of every shape that the XDP program may meet.

mod checksum;
mod extension;
mod fragment;
mod shape;
mod transport;

pub use extension::Extension;
pub use fragment::Fragment;
pub use shape::{QINQ, Shape, VLAN};
pub use transport::Transport;

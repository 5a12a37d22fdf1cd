//! The map edge: the XDP program, its maps and its links, as the kernel has them.
//!
//! Everything is pinned in one folder of the BPF file system, so that it goes on
//! without the daemon: the program as `prog`, each link as `link_IFACE`, each map
//! under its own name.

mod allowed;
mod bulk;
mod bypass;
mod capabilities;
mod counters;
mod error;
mod handover;
mod helper;
mod index;
mod keys;
mod links;
mod object;
mod quiesce;
mod tables;

pub use counters::Counters;
pub use error::XdpError;
pub use handover::hand_over;
pub use links::{Attach, Keep, Links, Replaced, detach_pinned};
pub use object::{LoadOptions, Loaded, ProgramLog, ProgramLogger, load};
pub use tables::{Tables, map_name};

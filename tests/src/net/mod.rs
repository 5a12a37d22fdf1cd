//! Hosts as network namespaces.

mod arrivals;
mod frame;
mod leftovers;
mod namespace;
mod nft;
mod tally;
mod tap;
mod veth;

pub use arrivals::{Arrivals, arrives};
pub use frame::Frame;
pub use leftovers::{Scratch, give_way_to_signal, own_name, prepare};
pub use namespace::Namespace;
pub use tally::{Arrived, Tally};
pub use tap::{Sender, Tap};
pub use veth::{Link, veth};

pub(crate) use nft::{apply as apply_nft, list as list_nft};

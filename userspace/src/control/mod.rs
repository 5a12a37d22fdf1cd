//! The control socket: lines in, lines out, within bounds.

mod access;
mod connection;
mod dispatch;
mod socket;

pub use access::{Access, AccessError};
pub use dispatch::Dispatch;
pub use socket::{SocketError, listen, serve};

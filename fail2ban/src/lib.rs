//! The protocol between the nicban daemon and those who ask it for something:
//! fail2ban's action and the operator's commands.
//!
//! It is spoken over a Unix stream socket. A request is one JSON object on one
//! line, a reply is one JSON object on one line, and a connection carries any
//! number of them in turn. A line is at most [`MAX_LINE`] bytes long in either
//! direction; what does not fit one line is asked for in pages.
#![forbid(unsafe_code)]

mod bulk;
mod client;
mod line;
mod reply;
mod request;
mod synced;
mod validate;

pub use bulk::{BadEnd, Example, Item, MAX_EXAMPLES, MAX_NETWORKS, ManyBans, Packer, Tally, items};
pub use client::{Client, ClientError, Timing, ask};
pub use line::{LineError, Splitter, decode, encode};
pub use reply::{
    AllowOrigin, Allowed, AttachMode, Attachment, BanRow, Dropped, FamilyCounters, Fill, Holder,
    NaclEntry, NaclState, NaclStatus, NaclStep, Outcome, Refusal, RefusalKind, Reply, Status,
};
pub use request::{Ban, Mode, Request};
pub use synced::{MAX_PROBLEM, Synced};
pub use validate::{Field, InvalidRequest};

/// Where the daemon listens unless its configuration says otherwise.
pub const DEFAULT_SOCKET: &str = "/run/nicban/nicban.sock";

/// The longest line of either side, in bytes, its newline included.
pub const MAX_LINE: usize = 64 * 1024;

/// The longest name of a holder, in bytes. fail2ban's jails are far below it.
pub const MAX_HOLDER: usize = 128;

/// How the holder of an imported list is called, up to the list's own name.
pub const IMPORT: &str = "import:";

/// The longest reason that an operator may give, in bytes.
pub const MAX_REASON: usize = 256;

/// `bantime` of a ban that does not end, as fail2ban writes it.
pub const PERMANENT: i64 = -1;

/// The latest time that fail2ban knows, in seconds since the Unix epoch, and the longest
/// `bantime` but [`PERMANENT`], in seconds (`Ticket.MAX_TIME` in fail2ban's `server/ticket.py`).
pub const MAX_TIME: i64 = 0x7FFF_FFFF_FFFF;

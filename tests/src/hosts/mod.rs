//! The real services and clients that stand on the hosts.

mod auth_log;
mod boundary;
mod cloud;
mod edition;
mod fail2ban;
mod flood;
mod honest;
mod intruder;
mod keys;
mod session;
mod ssh;
mod sshd;

pub use auth_log::AuthLog;
pub use boundary::Boundary;
pub use cloud::{Cloud, CloudConfig, Control};
pub use edition::Edition;
pub use fail2ban::{Fail2ban, Fail2banConfig};
pub use flood::Flood;
pub use honest::{Honest, Served};
pub use intruder::{Guess, guess};
pub use keys::Keys;
pub use session::Session;
pub use sshd::Sshd;

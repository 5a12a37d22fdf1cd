//! What nicban's privileged tests and its demo stand on: hosts as network
//! namespaces, real services on them, and stand-ins for the cloud.
#![forbid(unsafe_code)]
#![expect(
    clippy::disallowed_methods,
    reason = "tests wait for real hosts, on the real clock"
)]

pub mod bench;
pub mod cases;
pub mod clock;
pub mod daemon;
pub mod datapath;
pub mod demo;
pub mod hosts;
pub mod net;
pub mod packet;
pub mod process;
pub mod reboot;
pub mod resources;
pub mod simulate;
pub mod soak;
pub mod standin;
pub mod wait;

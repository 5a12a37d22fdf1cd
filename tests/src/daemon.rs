//! The real daemon on a host of its own, with a cable on which packets really travel.

mod config;
mod kernel;
mod programs;
mod running;
mod scrape;
mod site;
mod wire;

pub use config::DaemonConfig;
pub use kernel::Pins;
pub use programs::{Program, program};
pub use running::{Daemon, Ran, Start, ban};
pub use scrape::Scrape;
pub use site::{GATEWAY, GATEWAY_V6, HONEST, HONEST_V6, HOST, HOST_V6, MAC_TEXT, Site, TARGET};
pub use wire::{Target, Traffic, Wire};

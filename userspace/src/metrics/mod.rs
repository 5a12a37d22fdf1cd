//! What the daemon did and how it stands, for Prometheus.

mod exposition;
mod families;
mod holders;
mod server;

pub use exposition::{Exposition, Source};
pub use server::serve;

//! The text that a scrape gets.

use std::{fmt, sync::Arc};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, text},
    registry::Registry,
};
use tokio::sync::watch;

use super::families::Families;
use crate::{engine::Snapshot, nacl::NaclView};

/// Where the values come from: the latest of what the daemon's parts publish.
#[derive(Debug, Clone)]
pub struct Source {
    /// What the engine publishes.
    pub engine: watch::Receiver<Arc<Snapshot>>,
    /// What the NACL tier publishes.
    pub nacl: watch::Receiver<Arc<NaclView>>,
}

impl Collector for Source {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let engine = Arc::clone(&self.engine.borrow());
        let nacl = Arc::clone(&self.nacl.borrow());
        let mut families = Families::new(encoder);
        families.build()?;
        families.engine(&engine)?;
        families.nacl(&nacl)
    }
}

/// All metrics. It holds no values of its own: each text is made of what is
/// published when it is asked for.
#[derive(Debug)]
pub struct Exposition(Registry);

impl Exposition {
    /// The media type of [`Self::text`].
    pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

    /// The metrics of a source.
    pub fn new(source: Source) -> Self {
        let mut registry = Registry::with_prefix("nicban");
        registry.register_collector(Box::new(source));
        Self(registry)
    }

    /// The metrics as they are now, as OpenMetrics 1.0 text.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut written = String::new();
        text::encode(&mut written, &self.0)?;
        Ok(written)
    }
}

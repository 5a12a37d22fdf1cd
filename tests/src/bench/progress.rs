//! How far the bench is, for who sits at the terminal.

use std::io::IsTerminal as _;

use indicatif::{ProgressBar, ProgressStyle};

/// A bar on a terminal, nothing elsewhere.
pub(super) struct Progress(Option<ProgressBar>);

impl Progress {
    /// For so many rows.
    pub(super) fn new(rows: usize) -> Self {
        Self(std::io::stdout().is_terminal().then(|| {
            let bar = ProgressBar::new(rows as u64);
            let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {elapsed} {msg}");
            style.map_or_else(|_| bar.clone(), |style| bar.clone().with_style(style))
        }))
    }

    /// This row is next.
    pub(super) fn step(&self, row: &str) {
        if let Some(bar) = &self.0 {
            bar.set_message(row.to_owned());
            bar.inc(1);
        }
    }

    /// All is done.
    pub(super) fn finish(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

//! Telling what happens, as it happens.

use std::cell::Cell;
use std::io::Write as _;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// How often a progress is told where there is no terminal to draw it on.
const PLAIN_EVERY: Duration = Duration::from_secs(5);

/// The story, told on stdout; a progress bar is drawn on stderr while it moves.
#[derive(Debug)]
pub(super) struct Story {
    start: Instant,
    quiet: bool,
    stages: Cell<u32>,
    bars: MultiProgress,
}

impl Story {
    /// A story that begins now; a quiet one is told to nobody.
    pub(super) fn begin(quiet: bool) -> Self {
        Self {
            start: Instant::now(),
            quiet,
            stages: Cell::new(0),
            bars: MultiProgress::new(),
        }
    }

    /// Since the beginning.
    pub(super) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// The next chapter.
    pub(super) fn stage(&self, title: &str) {
        let number = self.stages.get() + 1;
        self.stages.set(number);
        self.show(&format!("\n{} {number}. {title}", self.clock()));
    }

    /// A sentence of it.
    pub(super) fn say(&self, text: &str) {
        for line in text.lines() {
            self.show(&format!("{}    {line}", self.clock()));
        }
    }

    /// Something as it is, without the time.
    pub(super) fn show(&self, text: &str) {
        if !self.quiet {
            // A listener who is gone, such as a terminal, ends no story: its clean-up is to come.
            self.bars
                .suspend(|| writeln!(std::io::stdout(), "{text}").ok());
        }
    }

    /// A progress towards `goal`.
    pub(super) fn progress(&self, goal: usize) -> Progress<'_> {
        let bar = if self.quiet {
            ProgressBar::hidden()
        } else {
            self.bars.add(ProgressBar::new(goal as u64))
        };
        let style = ProgressStyle::with_template("{spinner} [{bar:34}] {pos}/{len} {msg}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.set_style(style);
        Progress {
            story: self,
            bar,
            goal,
            told: Cell::new(Instant::now()),
        }
    }

    fn clock(&self) -> String {
        format!("[{:5.1} s]", self.elapsed().as_secs_f64())
    }
}

/// Stops the story with everything still at work, until Enter is pressed.
pub(super) fn pause(advice: &str) {
    eprintln!(
        "\nEverything is still at work. For a look inside:\n\n{advice}\n\nPress Enter to end it."
    );
    // The end of stdin goes on as well as a line does.
    if let Err(error) = std::io::stdin().read_line(&mut String::new()) {
        eprintln!("read from stdin: {error}");
    }
}

/// A progress; its bar vanishes on drop.
#[derive(Debug)]
pub(super) struct Progress<'a> {
    story: &'a Story,
    bar: ProgressBar,
    goal: usize,
    told: Cell<Instant>,
}

impl Progress<'_> {
    /// So much of the goal is reached.
    pub(super) fn reached(&self, position: usize, message: &str) {
        self.bar.set_position(position as u64);
        self.bar.set_message(message.to_owned());
        self.bar.tick();
        if self.bar.is_hidden() && self.told.get().elapsed() >= PLAIN_EVERY {
            self.told.set(Instant::now());
            self.story
                .say(&format!("{position}/{} {message}", self.goal));
        }
    }
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

//! A second thread for large batches.
//!
//! Nearly all of a batch is spent waiting for memory in the kernel, where each bucket of a hash
//! map has a lock of its own: two threads take half as long as one. The helper takes pieces
//! when it gets a processor; on a busy machine the caller does them all, and waits for none
//! that the helper has not begun.

use std::{
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
        mpsc::{SyncSender, sync_channel},
    },
    thread,
};

use super::bulk::Stopped;

/// Entries of one piece: some 100 µs.
const PIECE: usize = 256;

/// Entries from which on help is worth asking for.
const WORTH_HELP: usize = 4 * PIECE;

/// Does entries `from..to` of a batch. [`Stopped::done`] counts from `from`.
type Work = dyn Fn(usize, usize) -> Result<(), Stopped> + Send + Sync;

/// The thread, which starts when it is first asked, and ends with its owner.
#[derive(Default)]
pub(super) struct Helper(Option<SyncSender<Arc<Job>>>);

struct Job {
    entries: usize,
    next: AtomicUsize,
    work: Box<Work>,
    helper: Mutex<State>,
    has_left: Condvar,
}

#[derive(Default)]
struct State {
    is_at_it: bool,
    /// The caller is done, and waits for no one who comes now.
    is_over: bool,
    stopped: Option<Stopped>,
}

impl Helper {
    /// Does all entries, or stops: then all before [`Stopped::done`] are done, and of those
    /// behind it some may be.
    pub(super) fn share(&mut self, entries: usize, work: Box<Work>) -> Result<(), Stopped> {
        if entries < WORTH_HELP {
            return work(0, entries);
        }
        let job = Arc::new(Job {
            entries,
            next: AtomicUsize::new(0),
            work,
            helper: Mutex::default(),
            has_left: Condvar::new(),
        });
        if let Some(helper) = self.sender() {
            // One that still has a job, or has died, does not help with this one.
            drop(helper.try_send(Arc::clone(&job)));
        }
        let own = job.work_off();
        let theirs = job.close();
        let first = [own, theirs].into_iter().flatten();
        first.min_by_key(|stopped| stopped.done).map_or(Ok(()), Err)
    }

    fn sender(&mut self) -> Option<&SyncSender<Arc<Job>>> {
        if self.0.is_none() {
            let (sender, jobs) = sync_channel::<Arc<Job>>(1);
            let thread = thread::Builder::new().name("maps".to_owned());
            // Without it the caller does it all.
            thread
                .spawn(move || jobs.into_iter().for_each(|job| job.help()))
                .ok()?;
            self.0 = Some(sender);
        }
        self.0.as_ref()
    }
}

impl Job {
    /// Does pieces until none is left, or one stops.
    fn work_off(&self) -> Option<Stopped> {
        loop {
            let from = self.next.fetch_add(PIECE, Ordering::Relaxed);
            if from >= self.entries {
                return None;
            }
            let to = self.entries.min(from + PIECE);
            if let Err(stopped) = (self.work)(from, to) {
                // Pieces are taken in order: what comes before this one is being done.
                self.next.store(self.entries, Ordering::Relaxed);
                return Some(Stopped {
                    done: from + stopped.done,
                    ..stopped
                });
            }
        }
    }

    fn help(&self) {
        {
            let mut state = self.lock();
            if state.is_over {
                return;
            }
            state.is_at_it = true;
        }
        let stopped = self.work_off();
        let mut state = self.lock();
        state.is_at_it = false;
        state.stopped = stopped;
        self.has_left.notify_all();
    }

    /// Waits for the piece that the helper is at, if it is at one.
    fn close(&self) -> Option<Stopped> {
        let mut state = self.lock();
        state.is_over = true;
        while state.is_at_it {
            state = self
                .has_left
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state.stopped.take()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.helper.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    fn counted(entries: usize) -> Arc<Vec<AtomicUsize>> {
        Arc::new((0..entries).map(|_| AtomicUsize::new(0)).collect())
    }

    #[test]
    fn each_entry_is_done_once() {
        let mut helper = Helper::default();
        for entries in [0, 1, PIECE, WORTH_HELP - 1, WORTH_HELP, 10 * PIECE + 7] {
            let done = counted(entries);
            let seen = Arc::clone(&done);
            let work = move |from: usize, to: usize| {
                seen[from..to].iter().for_each(|entry| {
                    entry.fetch_add(1, Ordering::Relaxed);
                });
                Ok(())
            };
            helper.share(entries, Box::new(work)).unwrap();
            assert!(done.iter().all(|entry| entry.load(Ordering::Relaxed) == 1));
        }
    }

    #[test]
    fn all_before_the_first_that_stops_is_done() {
        let mut helper = Helper::default();
        for bad in [0, 1, PIECE, 5 * PIECE + 3, 20 * PIECE - 1] {
            let done = counted(20 * PIECE);
            let seen = Arc::clone(&done);
            let work = move |from: usize, to: usize| {
                for (at, entry) in seen.iter().enumerate().take(to).skip(from) {
                    // Every hundredth from the bad one on: the first one counts.
                    if at >= bad && (at - bad) % 100 == 0 {
                        return Err(Stopped {
                            done: at - from,
                            why: io::ErrorKind::Other.into(),
                        });
                    }
                    entry.store(1, Ordering::Relaxed);
                }
                Ok(())
            };
            let stopped = helper.share(20 * PIECE, Box::new(work)).unwrap_err();
            assert_eq!(stopped.done, bad);
            assert!(
                done[..bad]
                    .iter()
                    .all(|entry| entry.load(Ordering::Relaxed) == 1)
            );
        }
    }
}

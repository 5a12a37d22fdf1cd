//! The index in front of a map of bans, as its one writer keeps it.
//!
//! It is derived: the map of bans is the truth. A key is in its line, or its line
//! says that the map must be asked; while a key comes or goes, its line says so too,
//! so that whoever dies in the middle leaves an index that says nothing wrong. Words
//! are stored whole, and readers take no lock.
//!
//! A key never moves from the ones left out into its line while readers use the
//! region: one that read the line's keys before and its `ask` after would miss it.

mod line;
mod mapped;
#[cfg(test)]
mod tests;

use std::{collections::HashSet, ops::Deref};

use nicban_ebpf::index;

pub(super) use line::{Line, LineV4, LineV6};
pub(super) use mapped::{Mapped, Shared};

/// The smallest region in lines: one page of memory.
const SMALLEST: u32 = 64;

/// An index over lines that are kept in `S`.
pub(super) struct Index<L: Line, S> {
    lines: S,
    /// Lines of the region in use; 0: none is.
    size: u32,
    /// The sizes of the regions that programs may have read, each a bit of its own.
    used: u32,
    /// Keys that are in their lines.
    held: usize,
    /// Keys for which the map must be asked.
    left_out: HashSet<L::Key>,
}

/// A region that has been filled.
pub(super) struct Region<Key> {
    /// Its lines: what the program has to be told.
    pub(super) size: u32,
    held: usize,
    left_out: HashSet<Key>,
}

/// Lines that a map for so many bans needs: two regions of the largest size.
pub(super) fn lines<L: Line>(max_bans: u32) -> u32 {
    let full = u32::try_from(L::FULL).unwrap_or(u32::MAX);
    2 * max_bans.div_ceil(full).next_power_of_two()
}

impl<L: Line, S: Deref<Target = [L]>> Index<L, S> {
    /// An index of which no region is in use yet. `lines` is twice a power of two long.
    pub(super) fn new(lines: S) -> Self {
        Self {
            lines,
            size: 0,
            used: 0,
            held: 0,
            left_out: HashSet::new(),
        }
    }

    /// Fills a region with the map's keys while none is in use. `may` tells which keys
    /// may be in a line.
    pub(super) fn fill(&self, keys: &[L::Key], may: impl Fn(L::Key) -> bool) -> Region<L::Key> {
        let mut size = SMALLEST.min(self.largest());
        while keys.len() > roomy::<L>(size) && size < self.largest() {
            size *= 2;
        }
        self.build(size, keys, may)
    }

    /// Fills a larger or smaller region where the one in use is too small for `more` keys
    /// than there are, or has got too empty. One that was in use before may have readers
    /// still: `wait` returns when they are gone.
    pub(super) fn resized(
        &self,
        more: usize,
        may: impl Fn(L::Key) -> bool,
        wait: impl FnOnce(),
    ) -> Option<Region<L::Key>> {
        let keys = self.held + self.left_out.len() + more;
        let mut size = self.size;
        while keys > roomy::<L>(size) && size < self.largest() {
            size *= 2;
        }
        if keys < roomy::<L>(size) / 8 && size > SMALLEST {
            size /= 2;
        }
        if size == self.size {
            return None;
        }
        if self.used & size != 0 {
            wait();
        }
        let mut keys: Vec<L::Key> = self.left_out.iter().copied().collect();
        for line in &self.lines[region(self.size)] {
            keys.extend(line.keys());
        }
        Some(self.build(size, &keys, may))
    }

    /// Uses a region, of which the program has been told.
    pub(super) fn adopt(&mut self, region: Region<L::Key>) {
        self.size = region.size;
        self.used |= region.size;
        self.held = region.held;
        self.left_out = region.left_out;
    }

    /// Puts a key into the map by `write`, and in here. `may` tells whether it may be
    /// in a line.
    pub(super) fn put<E>(
        &mut self,
        key: L::Key,
        may: bool,
        write: impl FnOnce() -> Result<(), E>,
    ) -> Result<(), E> {
        if self.knows(key) {
            return write();
        }
        self.open(key);
        match write() {
            Ok(()) => {
                self.enter(key, may);
                Ok(())
            }
            Err(error) => {
                self.close(key);
                Err(error)
            }
        }
    }

    /// Takes a key out of the map by `write`, and out of here.
    pub(super) fn remove<T, E>(
        &mut self,
        key: L::Key,
        write: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        if key == L::Key::default() {
            return write();
        }
        let line = self.line(key);
        if let Some(slot) = line.slot_of(key) {
            open(line);
            line.set_key(slot, L::Key::default());
            let done = write();
            if done.is_err() {
                line.set_key(slot, key);
            } else {
                self.held -= 1;
            }
            self.close(key);
            done
        } else {
            let done = write()?;
            if self.left_out.remove(&key) {
                self.close(key);
            }
            Ok(done)
        }
    }

    /// Puts many keys into the map by `write`, and in here. After an error some of them
    /// may be in the map: it is asked for all of them, until each is put or removed again.
    pub(super) fn put_all<E>(
        &mut self,
        keys: &[L::Key],
        may: impl Fn(L::Key) -> bool,
        write: impl FnOnce() -> Result<(), E>,
    ) -> Result<(), E> {
        let mut fresh: Vec<L::Key> = keys
            .iter()
            .copied()
            .filter(|key| !self.knows(*key))
            .collect();
        fresh.sort_unstable();
        fresh.dedup();
        for key in &fresh {
            self.open(*key);
        }
        let done = write();
        for key in fresh {
            self.enter(key, done.is_ok() && may(key));
        }
        done
    }

    /// Takes many keys out of the map by `write`, and out of here. After an error some of
    /// them may be in the map still, as after [`Self::put_all`].
    pub(super) fn remove_all<E>(
        &mut self,
        keys: &[L::Key],
        write: impl FnOnce() -> Result<(), E>,
    ) -> Result<(), E> {
        for key in keys.iter().filter(|key| **key != L::Key::default()) {
            let line = self.line(*key);
            if let Some(slot) = line.slot_of(*key) {
                open(line);
                line.set_key(slot, L::Key::default());
                self.held -= 1;
                self.left_out.insert(*key);
            }
        }
        write()?;
        for key in keys {
            if self.left_out.remove(key) {
                self.close(*key);
            }
        }
        Ok(())
    }

    /// Leaves out the keys that `which` names: the map must be asked for them from
    /// now on.
    pub(super) fn leave_out(&mut self, which: impl Fn(L::Key) -> bool) {
        for index in region(self.size) {
            let line = &self.lines[index];
            for slot in 0..L::SLOTS {
                let key = line.key(slot);
                if key != L::Key::default() && which(key) {
                    open(line);
                    line.set_key(slot, L::Key::default());
                    self.left_out.insert(key);
                    self.held -= 1;
                }
            }
        }
    }

    /// Whether the map has a key, as far as the index was told.
    fn knows(&self, key: L::Key) -> bool {
        // Zero marks a free place: the program asks the map for it without a look here.
        key == L::Key::default()
            || self.line(key).slot_of(key).is_some()
            || self.left_out.contains(&key)
    }

    /// A key is about to get into the map.
    fn open(&self, key: L::Key) {
        open(self.line(key));
    }

    /// The map has got a key for which the line was opened.
    fn enter(&mut self, key: L::Key, may: bool) {
        let line = self.line(key);
        match line.slot_of(L::Key::default()) {
            Some(slot) if may => {
                line.set_key(slot, key);
                self.held += 1;
                self.close(key);
            }
            // The line stays open, for this key.
            _ => {
                self.left_out.insert(key);
            }
        }
    }

    /// The map has not got a key for which the line was opened, or has lost it.
    fn close(&self, key: L::Key) {
        let line = self.line(key);
        line.set_ask(line.ask().saturating_sub(1));
    }

    fn build(&self, size: u32, keys: &[L::Key], may: impl Fn(L::Key) -> bool) -> Region<L::Key> {
        for line in &self.lines[region(size)] {
            line.clear();
        }
        let mut built = Region {
            size,
            held: 0,
            left_out: HashSet::new(),
        };
        for key in keys.iter().filter(|key| **key != L::Key::default()) {
            let line = &self.lines[index::line(size, L::spread(*key)) as usize];
            match line.slot_of(L::Key::default()) {
                Some(slot) if may(*key) => {
                    line.set_key(slot, *key);
                    built.held += 1;
                }
                _ => {
                    open(line);
                    built.left_out.insert(*key);
                }
            }
        }
        built
    }

    fn line(&self, key: L::Key) -> &L {
        &self.lines[index::line(self.size, L::spread(key)) as usize]
    }

    fn largest(&self) -> u32 {
        u32::try_from(self.lines.len() / 2).unwrap_or(1 << 31)
    }
}

/// The lines of a region.
const fn region(size: u32) -> std::ops::Range<usize> {
    size as usize..2 * size as usize
}

/// Keys beyond which a region is too small.
const fn roomy<L: Line>(size: u32) -> usize {
    size as usize * L::ROOMY
}

fn open<L: Line>(line: &L) {
    line.set_ask(line.ask() + 1);
}

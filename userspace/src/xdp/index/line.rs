//! Lines as the engine writes them: while programs read them, without a lock.

use std::{
    hash::Hash,
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
};

use nicban_ebpf::index::{self, SLOTS_V4, SLOTS_V6, spread_v4, spread_v6};

/// A line of an index.
pub(in super::super) trait Line {
    /// What is banned, as it stands in a packet; zero is nothing.
    type Key: Copy + Default + Ord + Hash;

    /// Keys that it has room for.
    const SLOTS: usize;

    /// Keys a line, on average, for which the largest region is made: the memory that the
    /// index takes. Keys are spread by chance (a Poisson distribution), so about one line in
    /// a hundred, or for IPv6 in twenty, then has more than it has room for.
    const FULL: usize;

    /// Keys a line, on average, beyond which a larger region is taken while there is one: so
    /// that the map is asked for fewer than one key in fifty.
    const ROOMY: usize;

    /// A key's bits, spread.
    fn spread(key: Self::Key) -> u32;
    /// Why the map must be asked; 0 = it need not.
    fn ask(&self) -> u32;
    /// Stores `ask`, before whatever is stored next.
    fn set_ask(&self, ask: u32);
    /// The key in a place.
    fn key(&self, slot: usize) -> Self::Key;
    /// Stores a key, before whatever is stored next.
    fn set_key(&self, slot: usize, key: Self::Key);

    /// The place of a key.
    fn slot_of(&self, key: Self::Key) -> Option<usize> {
        (0..Self::SLOTS).find(|slot| self.key(*slot) == key)
    }

    /// The keys that it holds.
    fn keys(&self) -> impl Iterator<Item = Self::Key> {
        (0..Self::SLOTS)
            .map(|slot| self.key(slot))
            .filter(|key| *key != Self::Key::default())
    }

    /// Empties it. Not while programs read it.
    fn clear(&self) {
        self.set_ask(0);
        for slot in 0..Self::SLOTS {
            self.set_key(slot, Self::Key::default());
        }
    }
}

macro_rules! line {
    ($(#[$doc:meta])* $name:ident, $key:ty, $word:ty, $slots:expr, $full:expr, $roomy:expr, $spread:ident) => {
        $(#[$doc])*
        #[repr(C, align(64))]
        pub(in super::super) struct $name {
            ask: $word,
            keys: [$word; $slots],
        }

        const _: () = assert!(
            size_of::<$name>() == size_of::<index::$name>()
                && align_of::<$name>() == align_of::<index::$name>()
                && std::mem::offset_of!($name, keys) == std::mem::offset_of!(index::$name, keys),
            "not the layout of the ABI"
        );

        impl Line for $name {
            type Key = $key;
            const SLOTS: usize = $slots;
            const FULL: usize = $full;
            const ROOMY: usize = $roomy;

            fn spread(key: $key) -> u32 {
                $spread(key)
            }

            fn ask(&self) -> u32 {
                u32::try_from(self.ask.load(Ordering::Relaxed)).unwrap_or(u32::MAX)
            }

            fn set_ask(&self, ask: u32) {
                // Neither do later stores come before it.
                self.ask.swap(ask.into(), Ordering::SeqCst);
            }

            fn key(&self, slot: usize) -> $key {
                self.keys[slot].load(Ordering::Relaxed)
            }

            fn set_key(&self, slot: usize, key: $key) {
                self.keys[slot].swap(key, Ordering::SeqCst);
            }
        }
    };
}

line! {
    /// A line of IPv4 addresses.
    LineV4, u32, AtomicU32, SLOTS_V4, 8, 8, spread_v4
}
line! {
    /// A line of IPv6 networks.
    LineV6, u64, AtomicU64, SLOTS_V6, 4, 2, spread_v6
}

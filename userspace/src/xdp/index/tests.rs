//! The index against the map that it stands for, at every moment.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    rc::Rc,
};

use proptest::prelude::*;

use super::{Index, Line, roomy};

/// Keys that there are.
const KEYS: u8 = 64;

/// Whoever wants to look after each store.
type Watch = Rc<RefCell<Option<Box<dyn Fn()>>>>;

thread_local! {
    static WATCH: Watch = Rc::default();
}

fn stored() {
    let watch = WATCH.with(Rc::clone);
    let watch = watch.borrow();
    if let Some(watch) = &*watch {
        watch();
    }
}

/// A line with room for two keys, which run into each other often.
#[derive(Default)]
struct Small {
    ask: Cell<u32>,
    keys: [Cell<u8>; 2],
}

impl Line for Small {
    type Key = u8;
    const SLOTS: usize = 2;
    const FULL: usize = 1;
    const ROOMY: usize = 1;

    fn spread(key: u8) -> u32 {
        u32::from(key) * 5
    }
    fn ask(&self) -> u32 {
        self.ask.get()
    }
    fn set_ask(&self, ask: u32) {
        self.ask.set(ask);
        stored();
    }
    fn key(&self, slot: usize) -> u8 {
        self.keys[slot].get()
    }
    fn set_key(&self, slot: usize, key: u8) {
        self.keys[slot].set(key);
        stored();
    }
    /// Of a region that no program reads: nobody has to look.
    fn clear(&self) {
        self.ask.set(0);
        self.keys.iter().for_each(|key| key.set(0));
    }
}

/// The map, the index, and what the program has been told: what it judges by.
struct Kernel {
    map: RefCell<BTreeSet<u8>>,
    allowed: RefCell<BTreeSet<u8>>,
    lines: Rc<[Small]>,
    told: Cell<u32>,
}

impl Kernel {
    /// As the program does it: what an index holds is dropped without another look.
    fn drops(&self, key: u8) -> bool {
        let truth = self.truth(key);
        if self.told.get() == 0 || key == 0 {
            return truth;
        }
        let line = nicban_ebpf::index::line(self.told.get(), Small::spread(key));
        let line = &self.lines[line as usize];
        if line.ask() != 0 {
            return truth;
        }
        line.slot_of(key).is_some()
    }

    fn truth(&self, key: u8) -> bool {
        self.map.borrow().contains(&key) && !self.allowed.borrow().contains(&key)
    }

    fn agrees(&self) {
        for key in 0..KEYS {
            assert_eq!(self.drops(key), self.truth(key), "{key}");
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    Put(u8),
    /// The kernel refuses.
    PutInVain(u8),
    Remove(u8),
    RemoveInVain(u8),
    PutAll(Vec<u8>),
    RemoveAll(Vec<u8>),
    /// The kernel stops in the middle, and whoever asked takes all of it back.
    PutSome(Vec<u8>),
    /// The kernel stops in the middle, and whoever asked tries again.
    RemoveSome(Vec<u8>),
    Allow(u8),
    Disallow(u8),
    Tend,
    /// The daemon dies and another one begins.
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let key = || prop_oneof![3 => 0..24_u8, 1 => 0..KEYS];
    let keys = || proptest::collection::vec(key(), 0..30);
    prop_oneof![
        8 => key().prop_map(Step::Put),
        1 => key().prop_map(Step::PutInVain),
        5 => key().prop_map(Step::Remove),
        1 => key().prop_map(Step::RemoveInVain),
        2 => keys().prop_map(Step::PutAll),
        2 => keys().prop_map(Step::RemoveAll),
        1 => keys().prop_map(Step::PutSome),
        1 => keys().prop_map(Step::RemoveSome),
        1 => key().prop_map(Step::Allow),
        1 => key().prop_map(Step::Disallow),
        1 => Just(Step::Tend),
        1 => Just(Step::Restart),
    ]
}

fn begin(kernel: &Kernel) -> Index<Small, Rc<[Small]>> {
    kernel.told.set(0);
    let mut index = Index::new(Rc::clone(&kernel.lines));
    let keys: Vec<u8> = kernel.map.borrow().iter().copied().collect();
    let allowed = kernel.allowed.borrow().clone();
    let region = index.fill(&keys, |key| !allowed.contains(&key));
    kernel.told.set(region.size);
    index.adopt(region);
    index
}

fn tend(kernel: &Kernel, index: &mut Index<Small, Rc<[Small]>>) {
    let allowed = kernel.allowed.borrow().clone();
    if let Some(region) = index.resized(0, |key| !allowed.contains(&key), || ()) {
        kernel.told.set(region.size);
        index.adopt(region);
    }
}

/// Puts the first `done` of the keys in, and fails if that is not all.
fn put_all(
    kernel: &Kernel,
    index: &mut Index<Small, Rc<[Small]>>,
    keys: &[u8],
    done: usize,
) -> Result<(), ()> {
    let allowed = kernel.allowed.borrow().clone();
    if let Some(region) = index.resized(keys.len(), |key| !allowed.contains(&key), || ()) {
        kernel.told.set(region.size);
        index.adopt(region);
    }
    index.put_all(
        keys,
        |key| !allowed.contains(&key),
        || {
            for key in &keys[..done] {
                kernel.map.borrow_mut().insert(*key);
                kernel.agrees();
            }
            if done == keys.len() { Ok(()) } else { Err(()) }
        },
    )
}

/// Takes the first `done` of the keys out, and fails if that is not all.
fn remove_all(
    kernel: &Kernel,
    index: &mut Index<Small, Rc<[Small]>>,
    keys: &[u8],
    done: usize,
) -> Result<(), ()> {
    index.remove_all(keys, || {
        for key in &keys[..done] {
            kernel.map.borrow_mut().remove(key);
            kernel.agrees();
        }
        if done == keys.len() { Ok(()) } else { Err(()) }
    })
}

fn take(kernel: &Rc<Kernel>, index: &mut Index<Small, Rc<[Small]>>, step: Step) {
    match step {
        Step::Put(key) => {
            tend(kernel, index);
            let may = !kernel.allowed.borrow().contains(&key);
            index
                .put(key, may, || {
                    kernel.map.borrow_mut().insert(key);
                    kernel.agrees();
                    Ok::<_, ()>(())
                })
                .unwrap();
        }
        Step::PutInVain(key) => {
            assert_eq!(index.put(key, true, || Err(())), Err(()));
        }
        Step::Remove(key) => {
            let was_there = index
                .remove(key, || {
                    kernel.agrees();
                    let was_there = kernel.map.borrow_mut().remove(&key);
                    kernel.agrees();
                    Ok::<_, ()>(was_there)
                })
                .unwrap();
            assert!(!kernel.map.borrow().contains(&key), "{was_there}");
        }
        Step::RemoveInVain(key) => {
            assert_eq!(index.remove(key, || Err::<bool, _>(())), Err(()));
        }
        Step::PutAll(keys) => {
            put_all(kernel, index, &keys, keys.len()).unwrap();
        }
        Step::PutSome(keys) => {
            let before = kernel.map.borrow().clone();
            if put_all(kernel, index, &keys, keys.len() / 2).is_err() {
                for key in keys.into_iter().filter(|key| !before.contains(key)) {
                    take(kernel, index, Step::Remove(key));
                }
            }
        }
        Step::RemoveAll(keys) => {
            remove_all(kernel, index, &keys, keys.len()).unwrap();
        }
        Step::RemoveSome(keys) => {
            if remove_all(kernel, index, &keys, keys.len() / 2).is_err() {
                kernel.agrees();
                remove_all(kernel, index, &keys, keys.len()).unwrap();
            }
        }
        Step::Allow(key) => {
            index.leave_out(|own| own == key);
            kernel.agrees();
            kernel.allowed.borrow_mut().insert(key);
        }
        Step::Disallow(key) => {
            kernel.allowed.borrow_mut().remove(&key);
        }
        Step::Tend => tend(kernel, index),
        Step::Restart => *index = begin(kernel),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// After each single store, whatever the daemon is in the middle of, the program's
    /// verdict is the map's.
    #[test]
    fn the_verdict_is_the_maps_at_every_moment(
        lines in prop_oneof![Just(2_usize), Just(8), Just(32), Just(256)],
        steps in proptest::collection::vec(step(), 1..80),
    ) {
        let kernel = Rc::new(Kernel {
            map: RefCell::default(),
            allowed: RefCell::default(),
            lines: (0..lines).map(|_| Small::default()).collect(),
            told: Cell::new(0),
        });
        let mut index = begin(&kernel);
        let watched = Rc::clone(&kernel);
        WATCH.with(|watch| *watch.borrow_mut() = Some(Box::new(move || watched.agrees())));
        for step in steps {
            take(&kernel, &mut index, step);
            kernel.agrees();
            let known = (1..KEYS).filter(|key| index.knows(*key));
            prop_assert!(known.eq(kernel.map.borrow().iter().copied().filter(|key| *key != 0)));
        }
        WATCH.with(|watch| *watch.borrow_mut() = None);
    }
}

#[test]
fn a_region_grows_and_shrinks_with_the_keys() {
    let lines: Rc<[Small]> = (0..512).map(|_| Small::default()).collect();
    let mut index = Index::new(lines);
    let region = index.fill(&[], |_| true);
    assert_eq!(region.size, 64);
    index.adopt(region);
    for key in 1..=u8::MAX {
        let grown = index.resized(0, |_| true, || panic!("a region that nobody has read"));
        if let Some(region) = grown {
            index.adopt(region);
        }
        index.put(key, true, || Ok::<_, ()>(())).unwrap();
    }
    assert_eq!((index.size, roomy::<Small>(index.size)), (256, 256));
    for key in 1..=u8::MAX {
        index.remove(key, || Ok::<_, ()>(())).unwrap();
    }
    let waits = Cell::new(0);
    let mut regions = 0;
    while let Some(region) = index.resized(0, |_| true, || waits.set(waits.get() + 1)) {
        index.adopt(region);
        regions += 1;
    }
    // Each of them was in use as the index grew.
    assert_eq!(waits.get(), regions);
    assert_eq!((index.size, index.held, index.left_out.len()), (64, 0, 0));
}

#[test]
fn two_regions_of_the_largest_size_have_room_for_every_ban() {
    for max_bans in [1, 64, 1 << 20, 1 << 24] {
        for (lines, full) in [
            (super::lines::<super::LineV4>(max_bans), super::LineV4::FULL),
            (super::lines::<super::LineV6>(max_bans), super::LineV6::FULL),
        ] {
            assert!(lines as usize / 2 * full >= max_bans as usize);
            assert!((lines / 2).is_power_of_two());
        }
    }
}

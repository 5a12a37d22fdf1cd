//! Lists are kept in blocks: what comes of any history must be what a map would have.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;

const LISTS: [&str; 2] = ["import:a", "import:b"];

#[derive(Debug, Clone)]
enum Op {
    /// Addresses from one on, so many, so far apart.
    Many(usize, u32, usize, u32),
    One(usize, u32),
    Gone(usize, u32),
    GoneMany(usize, u32, usize),
    Reopen,
}

fn op() -> impl Strategy<Value = Op> {
    let list = 0..LISTS.len();
    let at = 0u32..3_000;
    prop_oneof![
        (list.clone(), at.clone(), 1usize..900, 1u32..4)
            .prop_map(|(list, from, count, step)| Op::Many(list, from, count, step)),
        (list.clone(), at.clone()).prop_map(|(list, at)| Op::One(list, at)),
        (list.clone(), at.clone()).prop_map(|(list, at)| Op::Gone(list, at)),
        (list, at, 1usize..900).prop_map(|(list, at, count)| Op::GoneMany(list, at, count)),
        Just(Op::Reopen),
    ]
}

fn nth(n: u32) -> Target {
    // Every tenth is an IPv6 network.
    if n.is_multiple_of(10) {
        target(&format!("2001:db8:{n:x}::1"))
    } else {
        target(&std::net::Ipv4Addr::from(0x0a00_0000 + n).to_string())
    }
}

type Kept = BTreeMap<(Arc<str>, Target), Hold>;

fn kept(store: &Store) -> Kept {
    let mut kept = Kept::new();
    let loaded = store.load(|stored| {
        let key = (Arc::clone(&stored.hold.holder), stored.target);
        assert!(kept.insert(key, stored.hold).is_none(), "kept twice");
    });
    assert_eq!(loaded.unwrap().holds, kept.len() as u64);
    kept
}

fn hold_at(list: usize, until: Until, bancount: u32) -> Hold {
    Hold {
        bancount,
        failures: 0,
        ..hold(LISTS[list], until)
    }
}

fn run(batches: &[Vec<Op>]) {
    let (_folder, path) = folder();
    let mut store = Store::open(&path).unwrap();
    let mut model = Kept::new();
    for batch in batches {
        let mut changes = Vec::new();
        for op in batch {
            match *op {
                Op::Many(list, from, count, step) => {
                    let until = Until::At(i64::from(from) + 5_000);
                    let mut holds: Vec<_> = (0..count)
                        .map(|n| nth(from + step * u32::try_from(n).unwrap()))
                        .map(|target| (target, until))
                        .collect();
                    holds.sort();
                    for (target, until) in &holds {
                        let hold = hold_at(list, *until, 1);
                        model.insert((LISTS[list].into(), *target), hold);
                    }
                    changes.push(StoreChange::PutMany {
                        holder: LISTS[list].into(),
                        since: 1_000,
                        holds: holds.into(),
                    });
                }
                Op::One(list, at) => {
                    let hold = Hold {
                        reason: Some("by hand".into()),
                        ..hold_at(list, Until::Permanent, at)
                    };
                    model.insert((LISTS[list].into(), nth(at)), hold.clone());
                    changes.push(StoreChange::PutHold {
                        target: nth(at),
                        hold,
                    });
                }
                Op::Gone(list, at) => {
                    model.remove(&(LISTS[list].into(), nth(at)));
                    changes.push(StoreChange::DeleteHold {
                        target: nth(at),
                        holder: LISTS[list].into(),
                    });
                }
                Op::GoneMany(list, from, count) => {
                    for at in (from..).take(count) {
                        model.remove(&(LISTS[list].into(), nth(at)));
                        changes.push(StoreChange::DeleteHold {
                            target: nth(at),
                            holder: LISTS[list].into(),
                        });
                    }
                }
                Op::Reopen => {}
            }
        }
        store.commit(&changes).unwrap();
        if batch.iter().any(|op| matches!(op, Op::Reopen)) {
            store = Store::open(&path).unwrap();
        }
        assert!(kept(&store) == model, "after {batch:?}");
    }
    // What is gone leaves nothing behind.
    let all: Vec<_> = model
        .keys()
        .map(|(holder, target)| StoreChange::DeleteHold {
            target: *target,
            holder: Arc::clone(holder),
        })
        .collect();
    store.commit(&all).unwrap();
    let blocks: i64 = store
        .connection
        .query_row("SELECT count(*) FROM lists", [], |row| row.get(0))
        .unwrap();
    assert_eq!(blocks, 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn any_history_of_lists_is_kept(
        batches in prop::collection::vec(prop::collection::vec(op(), 1..5), 1..8),
    ) {
        run(&batches);
    }
}

#[test]
fn a_list_is_few_rows_of_few_kilobytes() {
    let (_folder, path) = folder();
    let mut store = Store::open(&path).unwrap();
    // From the last to the first, as no list comes.
    for from in (0..10u32).rev() {
        let holds: Vec<_> = (0..1_000)
            .map(|n| std::net::Ipv4Addr::from(0x0a00_0000 + from * 1_000 + n))
            .map(|address| (target(&address.to_string()), Until::Permanent))
            .collect();
        let many = StoreChange::PutMany {
            holder: LISTS[0].into(),
            since: 1_000,
            holds: holds.into(),
        };
        store.commit(&[many]).unwrap();
    }
    let (blocks, longest): (i64, i64) = store
        .connection
        .query_row(
            "SELECT count(*), max(length(holds)) FROM lists",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .unwrap();
    assert!((20..=40).contains(&blocks), "{blocks}");
    assert!(longest < 4_096, "{longest}");
}

#[test]
fn a_damaged_block_is_a_damaged_store() {
    let (_folder, path) = folder();
    let mut store = Store::open(&path).unwrap();
    let put = StoreChange::PutHold {
        target: nth(1),
        hold: hold_at(0, Until::Permanent, 1),
    };
    store.commit(&[put]).unwrap();
    store
        .connection
        .execute("UPDATE lists SET holds = x'0107'", [])
        .unwrap();
    let error = store.load(|_| {}).unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Corrupt, "{error}");
}

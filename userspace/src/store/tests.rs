//! The store on real files.

mod lists;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use rusqlite::params;
use tempfile::TempDir;

use super::*;
use crate::bans::Until;
use crate::nacl::acl::{Direction, Position, Rule};
use crate::nacl::ledger::Ledger;
use crate::target::Ipv6Prefix;

fn folder() -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join(FILE_NAME);
    (folder, path)
}

fn target(text: &str) -> Target {
    Target::parse(text, Ipv6Prefix::default()).unwrap().target
}

fn hold(holder: &str, until: Until) -> Hold {
    Hold {
        holder: holder.into(),
        since: 1_000,
        until,
        bancount: 3,
        failures: 5,
        reason: None,
    }
}

fn put(text: &str, hold: Hold) -> StoreChange {
    StoreChange::PutHold {
        target: target(text),
        hold,
    }
}

fn delete(text: &str, holder: &str) -> StoreChange {
    StoreChange::DeleteHold {
        target: target(text),
        holder: holder.into(),
    }
}

fn offence(text: &str, at: i64) -> StoreChange {
    StoreChange::CountOffence {
        target: target(text),
        at,
    }
}

fn holds(store: &Store) -> Vec<(String, Hold, u32)> {
    let mut all = Vec::new();
    let loaded = store
        .load(|stored| all.push((stored.target.to_string(), stored.hold, stored.offences)))
        .unwrap();
    assert_eq!(loaded.holds, all.len() as u64);
    all.sort_by(|a, b| (&a.0, &a.1.holder).cmp(&(&b.0, &b.1.holder)));
    all
}

#[test]
fn what_was_committed_is_there_after_a_restart() {
    let (_folder, path) = folder();
    let manual = Hold {
        reason: Some("a \"reason\", with ünicode".into()),
        ..hold("manual", Until::Permanent)
    };
    let sshd = hold("sshd", Until::At(1_600));
    {
        let mut store = Store::open(&path).unwrap();
        let changes = [
            put("192.0.2.1", sshd.clone()),
            put("192.0.2.1", manual.clone()),
            put("2001:db8::1", sshd.clone()),
            put("198.51.100.0/24", manual.clone()),
            offence("192.0.2.1", 1_000),
            StoreChange::PutFlush {
                holder: "sshd".into(),
                at: 1_234,
            },
        ];
        store.commit(&changes).unwrap();
    }
    let mut store = Store::open(&path).unwrap();
    let expected = [
        ("192.0.2.1", manual.clone(), 1),
        ("192.0.2.1", sshd.clone(), 1),
        ("198.51.100.0/24", manual, 0),
        ("2001:db8::/64", sshd, 0),
    ];
    let expected = expected.map(|(target, hold, offences)| (target.to_owned(), hold, offences));
    assert_eq!(holds(&store), expected);
    let flushes = store.load(|_| {}).unwrap().flushes;
    assert_eq!(flushes, [("sshd".into(), 1_234)]);

    let moved = hold("sshd", Until::At(9_000));
    let changes = [
        put("192.0.2.1", moved.clone()),
        delete("192.0.2.1", "manual"),
        delete("2001:db8::1", "sshd"),
        delete("198.51.100.0/24", "manual"),
        delete("198.51.100.0/24", "nobody"),
        StoreChange::DeleteFlush {
            holder: "sshd".into(),
        },
    ];
    store.commit(&changes).unwrap();
    assert_eq!(holds(&store), [("192.0.2.1".to_owned(), moved, 1)]);
    assert!(store.load(|_| {}).unwrap().flushes.is_empty());
}

#[test]
fn offences_outlive_the_bans() {
    let (_folder, path) = folder();
    let mut store = Store::open(&path).unwrap();
    let counted = store.commit(&[
        offence("192.0.2.1", 10),
        offence("192.0.2.2", 11),
        offence("192.0.2.1", 12),
    ]);
    let expected = [("192.0.2.1", 1), ("192.0.2.2", 1), ("192.0.2.1", 2)];
    assert_eq!(
        counted.unwrap(),
        expected.map(|(text, count)| (target(text), count))
    );
    assert_eq!(store.offences(&target("192.0.2.1")).unwrap(), 2);
    assert_eq!(store.offences(&target("192.0.2.3")).unwrap(), 0);
    assert_eq!(
        store
            .connection
            .query_row(
                "SELECT first, last FROM offences WHERE count = 2",
                [],
                |row| { Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)) }
            )
            .unwrap(),
        (10, 12)
    );
}

#[test]
fn a_batch_is_kept_whole_or_not_at_all() {
    let (_folder, path) = folder();
    let mut store = Store::open(&path).unwrap();
    store
        .commit(&[put("192.0.2.1", hold("sshd", Until::Permanent))])
        .unwrap();
    store
        .connection
        .execute_batch(
            "CREATE TEMP TRIGGER fault BEFORE INSERT ON holds WHEN new.target = '192.0.2.3'
             BEGIN SELECT raise(ABORT, 'the disk is on fire'); END",
        )
        .unwrap();
    let before = holds(&store);
    let error = store
        .commit(&[
            delete("192.0.2.1", "sshd"),
            put("192.0.2.2", hold("sshd", Until::Permanent)),
            put("192.0.2.3", hold("sshd", Until::Permanent)),
        ])
        .unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Other);
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("the disk is on fire"), "{source}");
    assert_eq!(holds(&store), before);
    assert_eq!(holds(&Store::open(&path).unwrap()), before);
    // The connection is good for the next batch.
    store.commit(&[delete("192.0.2.1", "sshd")]).unwrap();
    assert!(holds(&store).is_empty());
}

#[test]
fn the_mode_and_the_allow_list_are_kept() {
    let (_folder, path) = folder();
    let network = "192.0.2.7/24".parse().unwrap();
    {
        let mut store = Store::open(&path).unwrap();
        assert_eq!(store.load(|_| {}).unwrap(), Loaded::default());
        store.set_mode(Mode::Enforce).unwrap();
        store.set_mode(Mode::Observe).unwrap();
        assert!(store.add_allowed(network, 10).unwrap());
        assert!(!store.add_allowed(network, 11).unwrap());
        assert!(
            store
                .add_allowed("2001:db8::1/128".parse().unwrap(), 11)
                .unwrap()
        );
    }
    let mut store = Store::open(&path).unwrap();
    let loaded = store.load(|_| {}).unwrap();
    assert_eq!(loaded.mode, Some(Mode::Observe));
    let shown: Vec<_> = loaded.allowed.iter().map(IpNet::to_string).collect();
    assert_eq!(shown, ["192.0.2.0/24", "2001:db8::1/128"]);
    assert!(store.remove_allowed(network).unwrap());
    assert!(!store.remove_allowed(network).unwrap());
}

#[test]
fn only_the_owner_reads_it() {
    let (folder, path) = folder();
    fs::write(&path, "").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let mut store = Store::open(&path).unwrap();
    store.commit(&[offence("192.0.2.1", 0)]).unwrap();
    let files: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(
        files.len(),
        3,
        "the database, its journal, the journal's index"
    );
    for file in files {
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", file.path().display());
    }
}

#[test]
fn a_commit_is_on_the_disk_when_it_returns() {
    let (_folder, path) = folder();
    let store = Store::open(&path).unwrap();
    let pragma = |name: &str| {
        let value = |row: &rusqlite::Row<'_>| row.get::<_, rusqlite::types::Value>(0);
        store
            .connection
            .pragma_query_value(None, name, value)
            .unwrap()
    };
    assert_eq!(pragma("journal_mode"), "wal".to_owned().into());
    assert_eq!(pragma("synchronous"), 2.into());
}

#[test]
fn a_damaged_database_is_set_aside_and_replaced() {
    let (folder, path) = folder();
    fs::write(&path, vec![b'x'; 8_192]).unwrap();
    let error = Store::open(&path).unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Corrupt, "{error:?}");
    assert!(error.to_string().contains("nicban.db: cannot"), "{error}");
    fs::write(folder.path().join("nicban.db-wal"), "old").unwrap();

    let aside = set_aside(&path, 1_700_000_000).unwrap();
    assert_eq!(aside, folder.path().join("nicban.db.corrupt-1700000000"));
    assert_eq!(fs::read(&aside).unwrap(), vec![b'x'; 8_192]);
    assert!(
        folder
            .path()
            .join("nicban.db.corrupt-1700000000-wal")
            .exists()
    );
    assert!(!folder.path().join("nicban.db-wal").exists());
    assert!(holds(&Store::open(&path).unwrap()).is_empty());
}

#[test]
fn damage_found_while_reading_is_damage_too() {
    let (_folder, path) = folder();
    {
        let mut store = Store::open(&path).unwrap();
        let many: Vec<_> = (0..2_000u32)
            .map(|n| {
                put(
                    &format!("10.0.{}.{}", n / 250, n % 250),
                    hold("sshd", Until::Permanent),
                )
            })
            .collect();
        store.commit(&many).unwrap();
    }
    let mut bytes = fs::read(&path).unwrap();
    assert!(bytes.len() > 40_000);
    for byte in &mut bytes[8 * 4_096..] {
        *byte = 0xff;
    }
    fs::write(&path, bytes).unwrap();
    let store = Store::open(&path).unwrap();
    let error = store.load(|_| {}).unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Corrupt, "{error:?}");
}

#[test]
fn a_value_that_nicban_did_not_write_is_damage() {
    let (_folder, path) = folder();
    let store = Store::open(&path).unwrap();
    for text in ["example.org", "0.0.0.0/0", "127.0.0.1"] {
        store
            .connection
            .execute(
                "INSERT INTO holds VALUES (?1, 'sshd', 0, NULL, 1, 1, NULL)",
                params![text],
            )
            .unwrap();
        let error = store.load(|_| {}).unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::Corrupt, "{text}");
        store.connection.execute("DELETE FROM holds", []).unwrap();
    }
}

#[test]
fn somebody_elses_database_is_left_alone() {
    let (_folder, path) = folder();
    let other = Connection::open(&path).unwrap();
    other.execute_batch("CREATE TABLE holds (x)").unwrap();
    let error = Store::open(&path).unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Corrupt);
    let journal = other.pragma_query_value(None, "journal_mode", |row| row.get::<_, String>(0));
    assert_eq!(journal, Ok("delete".to_owned()));
    let tables = other.query_row("SELECT group_concat(sql) FROM sqlite_schema", [], |row| {
        row.get(0)
    });
    assert_eq!(tables, Ok("CREATE TABLE holds (x)".to_owned()));
}

#[test]
fn a_later_version_is_left_alone() {
    let (_folder, path) = folder();
    drop(Store::open(&path).unwrap());
    let other = Connection::open(&path).unwrap();
    other.pragma_update(None, "user_version", 99).unwrap();
    let error = Store::open(&path).unwrap_err();
    assert_eq!(
        error.kind,
        StoreErrorKind::Newer {
            found: 99,
            known: 2
        }
    );
    assert!(error.to_string().contains("version 99"), "{error}");
    let version = other.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0));
    assert_eq!(version, Ok(99));
}

#[test]
fn a_folder_that_may_not_be_written_is_told_apart_from_damage() {
    // Not even root may make a file there, whatever the folder's mode.
    let error = Store::open(Path::new("/sys/kernel/nicban.db")).unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Denied, "{error:?}");
    let (folder, _) = folder();
    let error = Store::open(&folder.path().join("missing").join(FILE_NAME)).unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Other);
    assert_eq!(
        Store::open(folder.path()).unwrap_err().kind,
        StoreErrorKind::Other
    );
}

#[test]
fn two_that_open_it_at_once_make_one_schema() {
    let (_folder, path) = folder();
    let open = || Store::open(&path).map(drop);
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
        for one in all {
            one.join().unwrap().unwrap();
        }
    });
}

fn rule(direction: Direction, number: u16, network: &str) -> Rule {
    Rule {
        position: Position { direction, number },
        network: network.parse().unwrap(),
    }
}

#[test]
fn the_ledger_remembers_what_may_stand_at_a_position() {
    let (_folder, path) = folder();
    let mut store = Store::open(&path).unwrap();
    let first = rule(Direction::Ingress, 80, "192.0.2.1/32");
    let second = rule(Direction::Ingress, 80, "2001:db8::/64");
    let egress = rule(Direction::Egress, 80, "192.0.2.1/32");
    {
        let mut ledger = SqliteLedger::open(&path).unwrap();
        ledger.intend("acl-1", &first, 10).unwrap();
        ledger.intend("acl-1", &first, 11).unwrap();
        ledger.intend("acl-1", &second, 12).unwrap();
        ledger.intend("acl-1", &egress, 13).unwrap();
        ledger.intend("acl-2", &first, 14).unwrap();
        // The store's own connection is not in the way.
        store.commit(&[offence("192.0.2.1", 0)]).unwrap();
    }
    let mut ledger = SqliteLedger::open(&path).unwrap();
    let all = |ledger: &SqliteLedger| -> Vec<_> {
        let entries = ledger.entries().unwrap().into_iter();
        entries
            .map(|entry| (entry.acl, entry.rule, entry.since))
            .collect()
    };
    let entry = |acl: &str, rule, since| (acl.to_owned(), rule, since);
    assert_eq!(
        all(&ledger),
        [
            entry("acl-1", first, 11),
            entry("acl-1", second, 12),
            entry("acl-1", egress, 13),
            entry("acl-2", first, 14),
        ]
    );
    ledger.withdraw("acl-1", &first).unwrap();
    ledger.withdraw("acl-1", &first).unwrap();
    ledger.forget("acl-1", egress.position).unwrap();
    ledger.forget("acl-1", egress.position).unwrap();
    assert_eq!(
        all(&ledger),
        [entry("acl-1", second, 12), entry("acl-2", first, 14)]
    );
}

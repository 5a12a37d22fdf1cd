//! The database's file: how it is opened, made, brought up to date, set aside.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use rusqlite::{Connection, OpenFlags, Row, Transaction, TransactionBehavior, types};

use super::{StoreError, StoreErrorKind};

/// How long a connection waits for the other's write. The daemon has two: the
/// store's, and the NACL ledger's.
const BUSY: Duration = Duration::from_secs(5);

/// Memory for pages of the database, in KiB. With the default of 2 MiB an import
/// would read a page from the disk for almost every address.
const CACHE_KIB: i64 = 16 * 1_024;

/// Pages of 4 KiB in the journal that make a commit move them to the database. At
/// the default of 1,000, a thousand addresses at random are a thousand pages, and
/// every batch of an import would write each page twice.
const CHECKPOINT_PAGES: i64 = 16_384;

/// What brings version n to n + 1; `PRAGMA user_version` tells n.
const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE holds (
        target   TEXT    NOT NULL,
        holder   TEXT    NOT NULL,
        since    INTEGER NOT NULL,
        until    INTEGER,            -- NULL has no end
        bancount INTEGER NOT NULL,
        failures INTEGER NOT NULL,
        reason   TEXT,
        PRIMARY KEY (target, holder)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE offences (
        target   TEXT    NOT NULL PRIMARY KEY,
        count    INTEGER NOT NULL,
        first    INTEGER NOT NULL,
        last     INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE flushes (
        holder   TEXT    NOT NULL PRIMARY KEY,
        at       INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE nacl_entries (
        acl       TEXT    NOT NULL,
        direction TEXT    NOT NULL CHECK (direction IN ('ingress', 'egress')),
        number    INTEGER NOT NULL,
        network   TEXT    NOT NULL,
        since     INTEGER NOT NULL,
        PRIMARY KEY (acl, direction, number, network)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE allow (
        network  TEXT    NOT NULL PRIMARY KEY,
        since    INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE settings (
        name     TEXT    NOT NULL PRIMARY KEY,
        value    TEXT    NOT NULL
    ) STRICT, WITHOUT ROWID;
",
    "
    CREATE TABLE lists (
        id     INTEGER PRIMARY KEY,
        holder TEXT NOT NULL,        -- import:NAME
        first  BLOB NOT NULL,        -- no target of the block comes before it
        holds  BLOB NOT NULL,        -- see store/block.rs
        UNIQUE (holder, first)
    ) STRICT;
",
];

pub(super) fn open(path: &Path) -> Result<Connection, StoreError> {
    private_file(path)?;
    let failed = |operation: &str| {
        let operation = operation.to_owned();
        move |source| StoreError::sqlite(path, operation, source)
    };
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection =
        Connection::open_with_flags(path, flags).map_err(failed("open the database"))?;
    connection
        .busy_timeout(BUSY)
        .map_err(failed("set the time to wait for a lock"))?;
    // What is not ours is left as it is: look before writing.
    check(path, &mut connection)?;
    connection
        .pragma_update(None, "journal_mode", "wal")
        .map_err(failed("switch to write-ahead logging"))?;
    connection
        .pragma_update(None, "synchronous", "full")
        .map_err(failed("switch to synchronous writes"))?;
    connection
        .pragma_update(None, "foreign_keys", true)
        .map_err(failed("switch on foreign keys"))?;
    connection
        .pragma_update(None, "cache_size", CACHE_KIB.saturating_neg())
        .map_err(failed("size the page cache"))?;
    connection
        .pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)
        .map_err(failed("set the journal's length"))?;
    migrate(path, &mut connection)?;
    Ok(connection)
}

/// Makes the file before `SQLite` does, which would let the umask decide who reads
/// it. The journal files get the database's own mode.
fn private_file(path: &Path) -> Result<(), StoreError> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600)
        .open(path)
        .map_err(|source| StoreError::io(path, "open the database", source))?;
    let mode = file
        .metadata()
        .map_err(|source| StoreError::io(path, "read the file's mode", source))?
        .permissions()
        .mode();
    if mode & 0o777 != 0o600 {
        file.set_permissions(fs::Permissions::from_mode(0o600))
            .map_err(|source| StoreError::io(path, "set the file's mode to 0600", source))?;
    }
    Ok(())
}

/// Refuses what is damaged, of a later version, or somebody else's.
fn check(path: &Path, connection: &mut Connection) -> Result<(), StoreError> {
    let failed = |source| StoreError::sqlite(path, "read the version", source);
    // Both at one moment: another process may be making the schema.
    let transaction = connection.transaction().map_err(failed)?;
    let found = version(path, &transaction)?;
    let is_blank: bool = transaction
        .query_row("SELECT count(*) = 0 FROM sqlite_schema", [], |row| {
            row.get(0)
        })
        .map_err(failed)?;
    if found == 0 && !is_blank {
        return Err(StoreError::new(
            path,
            "open the database",
            StoreErrorKind::Corrupt,
        ));
    }
    Ok(())
}

/// Which migrations the database has had.
fn version(path: &Path, connection: &Connection) -> Result<usize, StoreError> {
    let found: i64 = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(|source| StoreError::sqlite(path, "read the version", source))?;
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    let kind = match usize::try_from(found) {
        Ok(version) if version <= MIGRATIONS.len() => return Ok(version),
        Ok(_) => StoreErrorKind::Newer { found, known },
        Err(_) => StoreErrorKind::Corrupt,
    };
    Err(StoreError::new(path, "open the database", kind))
}

fn migrate(path: &Path, connection: &mut Connection) -> Result<(), StoreError> {
    let failed = |source| StoreError::sqlite(path, "bring the schema up to date", source);
    // The lock comes first: of two that open it at once, one migrates.
    let transaction =
        Transaction::new(connection, TransactionBehavior::Immediate).map_err(failed)?;
    let found = version(path, &transaction)?;
    for (version, migration) in (1i64..).zip(MIGRATIONS).skip(found) {
        transaction.execute_batch(migration).map_err(failed)?;
        transaction
            .pragma_update(None, "user_version", version)
            .map_err(failed)?;
    }
    transaction.commit().map_err(failed)
}

pub(super) fn set_aside(path: &Path, now: i64) -> Result<PathBuf, StoreError> {
    let with = |path: &Path, suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    let aside = with(path, &format!(".corrupt-{now}"));
    // The journal goes first: left behind, it would be read into the new database.
    for suffix in ["-wal", "-shm", ""] {
        match fs::rename(with(path, suffix), with(&aside, suffix)) {
            Err(source) if !suffix.is_empty() && source.kind() == std::io::ErrorKind::NotFound => {}
            result => result.map_err(|source| {
                let operation = format!("move it aside to {}", aside.display());
                StoreError::io(path, operation, source)
            })?,
        }
    }
    Ok(aside)
}

/// A network in a column.
pub(super) fn network(row: &Row<'_>, column: usize) -> rusqlite::Result<IpNet> {
    let text = row.get_ref(column)?.as_str()?;
    crate::target::parse_network(text).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(column, types::Type::Text, error.into())
    })
}

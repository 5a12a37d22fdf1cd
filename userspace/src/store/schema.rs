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

/// What brings version n to n + 1; `PRAGMA user_version` tells n.
const MIGRATIONS: &[&str] = &["
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
"];

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
    // A database of a later version is left as it is: look before writing.
    check_version(
        path,
        version(&connection).map_err(failed("read the version"))?,
    )?;
    connection
        .pragma_update(None, "journal_mode", "wal")
        .map_err(failed("switch to write-ahead logging"))?;
    connection
        .pragma_update(None, "synchronous", "full")
        .map_err(failed("switch to synchronous writes"))?;
    connection
        .pragma_update(None, "foreign_keys", true)
        .map_err(failed("switch on foreign keys"))?;
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

fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

fn check_version(path: &Path, found: i64) -> Result<usize, StoreError> {
    let known = MIGRATIONS.len();
    usize::try_from(found)
        .ok()
        .filter(|found| *found <= known)
        .ok_or_else(|| {
            let known = i64::try_from(known).unwrap_or(i64::MAX);
            let kind = if found < 0 {
                StoreErrorKind::Corrupt
            } else {
                StoreErrorKind::Newer { found, known }
            };
            StoreError::new(path, "open the database", kind)
        })
}

fn migrate(path: &Path, connection: &mut Connection) -> Result<(), StoreError> {
    let failed = |source| StoreError::sqlite(path, "bring the schema up to date", source);
    // The lock comes first: of two that open it at once, one migrates.
    let transaction =
        Transaction::new(connection, TransactionBehavior::Immediate).map_err(failed)?;
    let found = check_version(path, version(&transaction).map_err(failed)?)?;
    if found == 0 && !is_blank(&transaction).map_err(failed)? {
        return Err(StoreError::new(
            path,
            "open the database",
            StoreErrorKind::Corrupt,
        ));
    }
    for migration in &MIGRATIONS[found..] {
        transaction.execute_batch(migration).map_err(failed)?;
    }
    if found < MIGRATIONS.len() {
        let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
        transaction
            .pragma_update(None, "user_version", known)
            .map_err(failed)?;
    }
    transaction.commit().map_err(failed)
}

/// Whether nobody has made anything of the file yet: somebody else's database has
/// version 0, too.
fn is_blank(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT count(*) = 0 FROM sqlite_schema", [], |row| {
        row.get(0)
    })
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

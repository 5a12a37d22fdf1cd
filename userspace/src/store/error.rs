//! How the store fails.

use std::path::{Path, PathBuf};

/// The store could not do something; nothing of it was done.
#[derive(Debug, thiserror::Error)]
#[error("{path}: cannot {operation}{hint}", path = path.display(), hint = kind.hint())]
pub struct StoreError {
    /// The database.
    pub path: PathBuf,
    /// What was tried, as in `keep 17 changes`.
    pub operation: String,
    /// What a caller can do about it.
    pub kind: StoreErrorKind,
    /// What the database or the file system says.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// What a caller can do about a [`StoreError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// The file is not a nicban database, or is damaged: set it aside.
    Corrupt,
    /// A later nicban made it: run that one.
    Newer {
        /// The version of its schema.
        found: i64,
        /// The latest version that this nicban knows.
        known: i64,
    },
    /// It may not be read or written, or its folder may not.
    Denied,
    /// The disk is full.
    Full,
    /// Another process has kept it locked.
    Busy,
    /// Something else: the disk fails, the folder is missing.
    Other,
}

impl StoreErrorKind {
    fn hint(self) -> String {
        match self {
            Self::Corrupt => ": it is damaged, or no database of nicban's".to_owned(),
            Self::Newer { found, known } => format!(
                ": its schema is version {found}, this nicban knows {known} at most; run the nicban that made it"
            ),
            Self::Denied => {
                ": give the daemon's user the right to write the file and its folder".to_owned()
            }
            Self::Full => ": the disk is full".to_owned(),
            Self::Busy => {
                ": another process keeps it locked; is a second daemon running?".to_owned()
            }
            Self::Other => String::new(),
        }
    }
}

impl StoreError {
    pub(super) fn new(path: &Path, operation: impl Into<String>, kind: StoreErrorKind) -> Self {
        Self {
            path: path.to_owned(),
            operation: operation.into(),
            kind,
            source: None,
        }
    }

    pub(super) fn io(path: &Path, operation: impl Into<String>, source: std::io::Error) -> Self {
        use std::io::ErrorKind;
        let kind = match source.kind() {
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => StoreErrorKind::Denied,
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => StoreErrorKind::Full,
            _ => StoreErrorKind::Other,
        };
        Self {
            source: Some(source.into()),
            ..Self::new(path, operation, kind)
        }
    }

    pub(super) fn sqlite(
        path: &Path,
        operation: impl Into<String>,
        source: rusqlite::Error,
    ) -> Self {
        Self {
            kind: kind_of(&source),
            source: Some(source.into()),
            ..Self::new(path, operation, StoreErrorKind::Other)
        }
    }
}

fn kind_of(error: &rusqlite::Error) -> StoreErrorKind {
    use rusqlite::ErrorCode;
    match error {
        // A value that is not of its column's type was not written by nicban.
        rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::InvalidColumnType(..) => StoreErrorKind::Corrupt,
        rusqlite::Error::SqliteFailure(failure, _) => match failure.code {
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => StoreErrorKind::Corrupt,
            ErrorCode::PermissionDenied | ErrorCode::ReadOnly | ErrorCode::CannotOpen => {
                StoreErrorKind::Denied
            }
            ErrorCode::DiskFull => StoreErrorKind::Full,
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => StoreErrorKind::Busy,
            _ => StoreErrorKind::Other,
        },
        _ => StoreErrorKind::Other,
    }
}

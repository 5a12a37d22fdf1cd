//! The NACL tier's ledger, in the daemon's database.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, Row, params, types};

use super::{StoreError, schema};
use crate::nacl::acl::{Direction, Position, Rule};
use crate::nacl::ledger::{Ledger, LedgerEntry, LedgerError};

/// A ledger with a connection of its own, so that the NACL tier need not ask the
/// engine. What it has acknowledged survives a power cut.
#[derive(Debug)]
pub struct SqliteLedger {
    path: PathBuf,
    connection: Connection,
}

impl SqliteLedger {
    /// Opens it in the database at `path`, which is made where there is none.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let connection = schema::open(path)?;
        Ok(Self {
            path: path.to_owned(),
            connection,
        })
    }

    fn failed(&self, operation: &'static str) -> impl Fn(rusqlite::Error) -> LedgerError + use<> {
        let path = self.path.clone();
        move |source| LedgerError {
            operation,
            source: StoreError::sqlite(&path, operation, source).into(),
        }
    }
}

const INTEND: &str = "
    INSERT INTO nacl_entries (acl, direction, number, network, since)
    VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET since = excluded.since";

impl Ledger for SqliteLedger {
    fn intend(&mut self, acl: &str, rule: &Rule, now: i64) -> Result<(), LedgerError> {
        let failed = self.failed("remember an entry");
        self.connection
            .prepare_cached(INTEND)
            .and_then(|mut insert| insert.execute(key(acl, rule, now)))
            .map(drop)
            .map_err(failed)
    }

    fn forget(&mut self, acl: &str, position: Position) -> Result<(), LedgerError> {
        let failed = self.failed("forget an entry");
        self.connection
            .prepare_cached(
                "DELETE FROM nacl_entries WHERE acl = ?1 AND direction = ?2 AND number = ?3",
            )
            .and_then(|mut delete| {
                delete.execute(params![
                    acl,
                    position.direction.to_string(),
                    position.number
                ])
            })
            .map(drop)
            .map_err(failed)
    }

    fn entries(&self) -> Result<Vec<LedgerEntry>, LedgerError> {
        let failed = self.failed("read the entries");
        let mut query = self
            .connection
            .prepare_cached(
                "SELECT acl, direction, number, network, since FROM nacl_entries
                 ORDER BY acl, direction DESC, number, since, network",
            )
            .map_err(&failed)?;
        let entries = query.query_map([], entry).map_err(&failed)?;
        entries.collect::<Result<_, _>>().map_err(failed)
    }

    fn withdraw(&mut self, acl: &str, rule: &Rule) -> Result<(), LedgerError> {
        let failed = self.failed("withdraw an entry");
        let Position { direction, number } = rule.position;
        self.connection
            .prepare_cached(
                "DELETE FROM nacl_entries
                 WHERE acl = ?1 AND direction = ?2 AND number = ?3 AND network = ?4",
            )
            .and_then(|mut delete| {
                delete.execute(params![
                    acl,
                    direction.to_string(),
                    number,
                    rule.network.to_string()
                ])
            })
            .map(drop)
            .map_err(failed)
    }
}

fn key(acl: &str, rule: &Rule, now: i64) -> impl rusqlite::Params + use<> {
    let Position { direction, number } = rule.position;
    (
        acl.to_owned(),
        direction.to_string(),
        number,
        rule.network.to_string(),
        now,
    )
}

fn entry(row: &Row<'_>) -> rusqlite::Result<LedgerEntry> {
    let direction = match row.get_ref(1)?.as_str()? {
        "ingress" => Direction::Ingress,
        "egress" => Direction::Egress,
        other => {
            let error = format!("{other:?} is no direction");
            return Err(rusqlite::Error::FromSqlConversionFailure(
                1,
                types::Type::Text,
                error.into(),
            ));
        }
    };
    let number = row.get(2)?;
    Ok(LedgerEntry {
        acl: row.get(0)?,
        rule: Rule {
            position: Position { direction, number },
            network: schema::network(row, 3)?,
        },
        since: row.get(4)?,
    })
}

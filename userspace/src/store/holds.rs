//! Holds, offences, flushes: what bans leave in the database.

use std::collections::HashSet;
use std::sync::Arc;

use rusqlite::{
    CachedStatement, OptionalExtension, Row, Transaction, TransactionBehavior, params, types,
};

use super::lists::{self, ListChanges};
use super::{Loaded, Store, StoreError, StoredHold, schema, settings};
use crate::bans::{Hold, Step, StoreChange};
use crate::target::Target;

pub(super) fn load(store: &Store, mut each: impl FnMut(StoredHold)) -> Result<Loaded, StoreError> {
    let failed = |source| StoreError::sqlite(&store.path, "read the bans", source);
    let mut query = store
        .connection
        .prepare_cached(
            "SELECT target, holder, since, until, bancount, failures, reason, count
             FROM holds LEFT JOIN offences USING (target)",
        )
        .map_err(failed)?;
    let mut names = HashSet::new();
    let mut holds = 0;
    let mut rows = query.query([]).map_err(failed)?;
    while let Some(row) = rows.next().map_err(failed)? {
        each(stored(row, &mut names).map_err(failed)?);
        holds += 1;
    }
    holds += lists::load(store, each)?;
    Ok(Loaded {
        mode: settings::mode(store)?,
        allowed: settings::allowed(store)?,
        flushes: flushes(store)?,
        holds,
    })
}

fn stored(row: &Row<'_>, names: &mut HashSet<Arc<str>>) -> rusqlite::Result<StoredHold> {
    let target = Target::from_network(schema::network(row, 0)?).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(0, types::Type::Text, error.into())
    })?;
    let holder = row.get_ref(1)?.as_str()?;
    let holder = names.get(holder).cloned().unwrap_or_else(|| {
        let holder = Arc::from(holder);
        names.insert(Arc::clone(&holder));
        holder
    });
    let until: Option<i64> = row.get(3)?;
    Ok(StoredHold {
        target,
        hold: Hold {
            holder,
            since: row.get(2)?,
            until: until.into(),
            bancount: row.get(4)?,
            failures: row.get(5)?,
            reason: row.get(6)?,
        },
        offences: row.get::<_, Option<u32>>(7)?.unwrap_or(0),
    })
}

fn flushes(store: &Store) -> Result<Vec<(Arc<str>, i64)>, StoreError> {
    let failed = |source| StoreError::sqlite(&store.path, "read the flushes", source);
    let mut query = store
        .connection
        .prepare_cached("SELECT holder, at FROM flushes")
        .map_err(failed)?;
    let flushes = query
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .map_err(failed)?;
    flushes.collect::<Result<_, _>>().map_err(failed)
}

pub(super) fn offences(store: &Store, target: &Target) -> Result<u32, StoreError> {
    let count = store
        .connection
        .prepare_cached("SELECT count FROM offences WHERE target = ?1")
        .and_then(|mut query| {
            query
                .query_row([target.to_string()], |row| row.get(0))
                .optional()
        });
    count.map(Option::unwrap_or_default).map_err(|source| {
        StoreError::sqlite(
            &store.path,
            format!("read the offences of {target}"),
            source,
        )
    })
}

pub(super) fn commit<'a>(
    store: &mut Store,
    changes: impl IntoIterator<Item = &'a StoreChange>,
) -> Result<Vec<(Target, u32)>, StoreError> {
    let Store { path, connection } = store;
    let mut done = 0;
    let commit = || {
        let transaction = Transaction::new(connection, TransactionBehavior::Immediate)?;
        let mut counted = Vec::new();
        {
            let mut statements = Statements::prepare(&transaction)?;
            let mut listed = ListChanges::default();
            for change in changes {
                if listed.take(change) {
                    continue;
                }
                counted.extend(statements.execute(change)?);
                done += 1;
            }
            listed.write(&transaction)?;
        }
        transaction.commit()?;
        Ok(counted)
    };
    let result = commit();
    result.map_err(|source| {
        StoreError::sqlite(
            path,
            format!("keep a batch of changes, at number {done}"),
            source,
        )
    })
}

/// Moves sentences and flushes with the wall clock.
pub(super) fn follow(transaction: &Transaction<'_>, step: Step) -> rusqlite::Result<()> {
    let latest = step.latest_that_moves();
    transaction.execute(
        "UPDATE holds SET since = since + ?1, until = until + ?1 WHERE since <= ?2",
        params![step.by, latest],
    )?;
    transaction.execute("UPDATE flushes SET at = at + ?1", [step.by])?;
    Ok(())
}

struct Statements<'a> {
    put_hold: CachedStatement<'a>,
    delete_hold: CachedStatement<'a>,
    count_offence: CachedStatement<'a>,
    put_flush: CachedStatement<'a>,
    delete_flush: CachedStatement<'a>,
}

impl<'a> Statements<'a> {
    fn prepare(transaction: &'a Transaction<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            put_hold: transaction.prepare_cached(
                "INSERT INTO holds (target, holder, since, until, bancount, failures, reason)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                 ON CONFLICT (target, holder) DO UPDATE SET
                    since = excluded.since, until = excluded.until,
                    bancount = excluded.bancount, failures = excluded.failures,
                    reason = excluded.reason",
            )?,
            delete_hold: transaction
                .prepare_cached("DELETE FROM holds WHERE target = ?1 AND holder = ?2")?,
            count_offence: transaction.prepare_cached(
                "INSERT INTO offences (target, count, first, last) VALUES (?1, 1, ?2, ?2)
                 ON CONFLICT (target) DO UPDATE SET
                    count = min(count + 1, 4294967295), last = max(last, excluded.last)
                 RETURNING count",
            )?,
            put_flush: transaction.prepare_cached(
                "INSERT INTO flushes (holder, at) VALUES (?1, ?2)
                 ON CONFLICT (holder) DO UPDATE SET at = excluded.at",
            )?,
            delete_flush: transaction.prepare_cached("DELETE FROM flushes WHERE holder = ?1")?,
        })
    }

    fn execute(&mut self, change: &StoreChange) -> rusqlite::Result<Option<(Target, u32)>> {
        match change {
            StoreChange::PutHold { target, hold } => self.put_hold.execute(params![
                target.to_string(),
                hold.holder,
                hold.since,
                hold.until.seconds(),
                hold.bancount,
                hold.failures,
                hold.reason,
            ])?,
            StoreChange::DeleteHold { target, holder } => self
                .delete_hold
                .execute(params![target.to_string(), holder])?,
            StoreChange::CountOffence { target, at } => {
                let count = self
                    .count_offence
                    .query_row(params![target.to_string(), at], |row| row.get(0))?;
                return Ok(Some((*target, count)));
            }
            StoreChange::PutFlush { holder, at } => self.put_flush.execute(params![holder, at])?,
            StoreChange::DeleteFlush { holder } => self.delete_flush.execute(params![holder])?,
            // Those are a list's, whatever its holder is called.
            StoreChange::PutMany { .. } => 0,
        };
        Ok(None)
    }
}

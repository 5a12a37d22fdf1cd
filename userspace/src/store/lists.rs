//! The holds of imported lists: blocks of them, in the order of their targets.
//!
//! A block holds what lies between its own first target and that of the next block of the
//! same holder, as the leaves of a tree do. So any hold is found by one look-up, and a change
//! of a few writes a few kilobytes.

use std::collections::BTreeMap;
use std::sync::Arc;

use rusqlite::{CachedStatement, OptionalExtension, Row, Transaction, params, types};

use super::block::{self, Held, key};
use super::{Store, StoreError, StoredHold};
use crate::bans::{Fresh, Hold, Step, StoreChange};
use crate::target::Target;

/// Holds of a block that is cut from a larger one, at the least; up to twice that it stays whole.
const BLOCK: usize = 256;

/// Whether a holder's holds are kept here, rather than one a row.
pub(super) fn is_list(holder: &str) -> bool {
    holder.starts_with(nicban_protocol::IMPORT)
}

/// What becomes of the holds of lists in one transaction.
#[derive(Debug, Default)]
pub(super) struct ListChanges<'a>(BTreeMap<&'a str, Vec<(Target, New<'a>)>>);

/// What becomes of one of them.
#[derive(Debug, Clone, Copy)]
enum New<'a> {
    Many {
        since: i64,
        until: crate::bans::Until,
    },
    One(&'a Hold),
    Gone,
}

impl New<'_> {
    fn held(self) -> Option<Held> {
        match self {
            Self::Many { since, until } => Some(Held {
                since,
                until,
                bancount: 1,
                failures: 0,
                reason: None,
            }),
            Self::One(hold) => Some(Held {
                since: hold.since,
                until: hold.until,
                bancount: hold.bancount,
                failures: hold.failures,
                reason: hold.reason.clone(),
            }),
            Self::Gone => None,
        }
    }
}

impl<'a> ListChanges<'a> {
    /// Takes in a change, if it is about a list.
    pub(super) fn take(&mut self, change: &'a StoreChange) -> bool {
        match change {
            StoreChange::PutMany {
                holder,
                since,
                holds,
            } => self.many(holder, *since, holds),
            StoreChange::PutHold { target, hold } if is_list(&hold.holder) => {
                self.of(&hold.holder).push((*target, New::One(hold)));
            }
            StoreChange::DeleteHold { target, holder } if is_list(holder) => {
                self.of(holder).push((*target, New::Gone));
            }
            _ => return false,
        }
        true
    }

    fn many(&mut self, holder: &'a Arc<str>, since: i64, holds: &'a Fresh) {
        let many = holds.iter().map(|(target, until)| {
            let until = *until;
            (*target, New::Many { since, until })
        });
        self.of(holder).extend(many);
    }

    fn of(&mut self, holder: &'a Arc<str>) -> &mut Vec<(Target, New<'a>)> {
        self.0.entry(&**holder).or_default()
    }

    /// Writes them.
    pub(super) fn write(self, transaction: &Transaction<'_>) -> rusqlite::Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        let mut blocks = Blocks::prepare(transaction)?;
        for (holder, mut changes) in self.0 {
            // Of several about one target the last one counts, and the order is kept.
            changes.sort_by_key(|(target, _)| *target);
            changes.reverse();
            changes.dedup_by_key(|(target, _)| *target);
            changes.reverse();
            blocks.apply(holder, &changes)?;
        }
        Ok(())
    }
}

struct Blocks<'a> {
    at_or_before: CachedStatement<'a>,
    after: CachedStatement<'a>,
    lowest: CachedStatement<'a>,
    insert: CachedStatement<'a>,
    update: CachedStatement<'a>,
    delete: CachedStatement<'a>,
}

/// A block as it is stored.
struct Stored {
    id: i64,
    first: Vec<u8>,
    holds: Vec<(Target, Held)>,
}

impl<'a> Blocks<'a> {
    fn prepare(transaction: &'a Transaction<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            at_or_before: transaction.prepare_cached(
                "SELECT id, first, holds FROM lists WHERE holder = ?1 AND first <= ?2
                 ORDER BY first DESC LIMIT 1",
            )?,
            after: transaction.prepare_cached(
                "SELECT first FROM lists WHERE holder = ?1 AND first > ?2
                 ORDER BY first LIMIT 1",
            )?,
            insert: transaction
                .prepare_cached("INSERT INTO lists (holder, first, holds) VALUES (?1, ?2, ?3)")?,
            update: transaction
                .prepare_cached("UPDATE lists SET first = ?2, holds = ?3 WHERE id = ?1")?,
            lowest: transaction.prepare_cached(
                "SELECT id, first, holds FROM lists WHERE holder = ?1 ORDER BY first LIMIT 1",
            )?,
            delete: transaction.prepare_cached("DELETE FROM lists WHERE id = ?1")?,
        })
    }

    /// Makes changes, which are in the order of their targets, each target once.
    fn apply(&mut self, holder: &str, mut changes: &[(Target, New<'_>)]) -> rusqlite::Result<()> {
        while let Some((target, _)) = changes.first() {
            let from = key(target);
            let block = self.block(holder, &from)?;
            let behind = block.as_ref().map_or(&from, |block| &block.first);
            let next = self.next(holder, behind)?;
            let here = match &next {
                Some(next) => changes.partition_point(|(target, _)| key(target) < *next),
                None => changes.len(),
            };
            let (now, later) = changes.split_at(here);
            self.merge(holder, block, now)?;
            changes = later;
        }
        Ok(())
    }

    fn merge(
        &mut self,
        holder: &str,
        block: Option<Stored>,
        changes: &[(Target, New<'_>)],
    ) -> rusqlite::Result<()> {
        let (old, holds) = match block {
            Some(block) => {
                let first = changes.first().map(|(target, _)| key(target));
                let first = first.into_iter().chain([block.first]).min();
                (Some((block.id, first)), merged(block.holds, changes))
            }
            None => (None, merged(Vec::new(), changes)),
        };
        let mut pieces = pieces(&holds);
        if let Some((id, first)) = old {
            // Its first target may be gone: the place between its neighbours stays its own.
            match pieces.next() {
                Some(piece) => self
                    .update
                    .execute(params![id, first, block::pack(piece)])?,
                None => self.delete.execute([id])?,
            };
        }
        for piece in pieces {
            let first = piece.first().map(|(target, _)| key(target));
            self.insert
                .execute(params![holder, first, block::pack(piece)])?;
        }
        Ok(())
    }

    /// The block that a target belongs to: the last one that begins at or before it, or else
    /// the first one.
    fn block(&mut self, holder: &str, at: &[u8]) -> rusqlite::Result<Option<Stored>> {
        let stored = |row: &Row<'_>| {
            Ok(Stored {
                id: row.get(0)?,
                first: row.get(1)?,
                holds: unpacked(row, 2)?,
            })
        };
        let before = self.at_or_before.query_row(params![holder, at], stored);
        match before.optional()? {
            Some(block) => Ok(Some(block)),
            None => self.lowest.query_row([holder], stored).optional(),
        }
    }

    fn next(&mut self, holder: &str, behind: &[u8]) -> rusqlite::Result<Option<Vec<u8>>> {
        self.after
            .query_row(params![holder, behind], |row| row.get(0))
            .optional()
    }
}

/// Moves sentences with the wall clock.
pub(super) fn follow(transaction: &Transaction<'_>, step: Step) -> rusqlite::Result<()> {
    let mut query = transaction.prepare("SELECT holds FROM lists WHERE id = ?1")?;
    let mut update = transaction.prepare("UPDATE lists SET holds = ?2 WHERE id = ?1")?;
    let ids = transaction
        .prepare("SELECT id FROM lists")?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<Vec<i64>>>()?;
    for id in ids {
        let mut holds = query.query_row([id], |row| unpacked(row, 0))?;
        for (_, held) in &mut holds {
            if step.moves(held.since) {
                held.since = step.time(held.since);
                held.until = step.end(held.until);
            }
        }
        update.execute(params![id, block::pack(&holds)])?;
    }
    Ok(())
}

fn unpacked(row: &Row<'_>, column: usize) -> rusqlite::Result<Vec<(Target, Held)>> {
    block::unpack(row.get_ref(column)?.as_blob()?).map_err(|damaged| {
        rusqlite::Error::FromSqlConversionFailure(column, types::Type::Blob, damaged.into())
    })
}

/// Holds with changes made; both are in the order of their targets.
fn merged(holds: Vec<(Target, Held)>, changes: &[(Target, New<'_>)]) -> Vec<(Target, Held)> {
    let mut merged = Vec::with_capacity(holds.len() + changes.len());
    let mut holds = holds.into_iter().peekable();
    for (target, new) in changes {
        while let Some(before) = holds.next_if(|(held, _)| held < target) {
            merged.push(before);
        }
        holds.next_if(|(held, _)| held == target);
        merged.extend(new.held().map(|held| (*target, held)));
    }
    merged.extend(holds);
    merged
}

/// What becomes a block each: of about the same length, none but an only one short.
fn pieces(holds: &[(Target, Held)]) -> impl Iterator<Item = &[(Target, Held)]> {
    let count = (holds.len() / BLOCK).max(1);
    holds.chunks(holds.len().div_ceil(count).max(1))
}

/// Gives every hold of every list to `each`; returns how many there were.
pub(super) fn load(store: &Store, mut each: impl FnMut(StoredHold)) -> Result<u64, StoreError> {
    let failed = |source| StoreError::sqlite(&store.path, "read the lists", source);
    let mut query = store
        .connection
        .prepare_cached("SELECT holder, holds FROM lists ORDER BY holder, first")
        .map_err(failed)?;
    let mut count = 0;
    let mut name: Arc<str> = Arc::from("");
    let mut rows = query.query([]).map_err(failed)?;
    while let Some(row) = rows.next().map_err(failed)? {
        let holder = row.get_ref(0).and_then(|value| Ok(value.as_str()?));
        let holder = holder.map_err(failed)?;
        if *name != *holder {
            name = Arc::from(holder);
        }
        for (target, held) in unpacked(row, 1).map_err(failed)? {
            each(StoredHold {
                target,
                hold: Hold {
                    holder: Arc::clone(&name),
                    since: held.since,
                    until: held.until,
                    bancount: held.bancount,
                    failures: held.failures,
                    reason: held.reason,
                },
                offences: 0,
            });
            count += 1;
        }
    }
    Ok(count)
}

//! What an operator changed, kept over restarts.

use ipnet::IpNet;
use nicban_protocol::Mode;
use rusqlite::{OptionalExtension as _, Transaction, TransactionBehavior, params};

use super::{Clock, Store, StoreError};
use crate::bans::Step;

/// The mode that an operator has set; `None` where nobody has.
pub(super) fn mode(store: &Store) -> Result<Option<Mode>, StoreError> {
    let value: Option<String> = store
        .connection
        .query_row(
            "SELECT value FROM settings WHERE name = 'mode'",
            [],
            |row| row.get(0),
        )
        .optional()
        .map_err(|source| StoreError::sqlite(&store.path, "read the mode", source))?;
    Ok(match value.as_deref() {
        Some("observe") => Some(Mode::Observe),
        Some("enforce") => Some(Mode::Enforce),
        _ => None,
    })
}

pub(super) fn set_mode(store: &Store, mode: Mode) -> Result<(), StoreError> {
    let value = match mode {
        Mode::Observe => "observe",
        Mode::Enforce => "enforce",
    };
    store
        .connection
        .execute(
            "INSERT INTO settings (name, value) VALUES ('mode', ?1)
             ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            params![value],
        )
        .map_err(|source| {
            StoreError::sqlite(&store.path, format!("set the mode to {value}"), source)
        })?;
    Ok(())
}

pub(super) fn clock(store: &Store) -> Result<Option<Clock>, StoreError> {
    let value: Option<String> = store
        .connection
        .query_row(
            "SELECT value FROM settings WHERE name = 'clock'",
            [],
            |row| row.get(0),
        )
        .optional()
        .map_err(|source| StoreError::sqlite(&store.path, "read the clock", source))?;
    Ok(value.as_deref().and_then(Clock::read))
}

pub(super) fn follow(
    store: &mut Store,
    step: Option<Step>,
    clock: &Clock,
) -> Result<(), StoreError> {
    let Store { path, connection } = store;
    let mut follow = || {
        let transaction = Transaction::new(connection, TransactionBehavior::Immediate)?;
        if let Some(step) = step {
            super::holds::follow(&transaction, step)?;
            super::lists::follow(&transaction, step)?;
        }
        transaction.execute(
            "INSERT INTO settings (name, value) VALUES ('clock', ?1)
             ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            [clock.to_string()],
        )?;
        transaction.commit()
    };
    let result: rusqlite::Result<()> = follow();
    result.map_err(|source| StoreError::sqlite(path, "follow the clock", source))
}

pub(super) fn is_begun(store: &Store) -> Result<bool, StoreError> {
    store
        .connection
        .query_row(
            "SELECT count(*) > 0 FROM settings WHERE name = 'begun'",
            [],
            |row| row.get(0),
        )
        .map_err(|source| StoreError::sqlite(&store.path, "read whether it is a new one", source))
}

pub(super) fn begin(store: &Store) -> Result<(), StoreError> {
    store
        .connection
        .execute(
            "INSERT INTO settings (name, value) VALUES ('begun', '1') ON CONFLICT DO NOTHING",
            [],
        )
        .map(drop)
        .map_err(|source| StoreError::sqlite(&store.path, "note that it is taken up", source))
}

pub(super) fn allowed(store: &Store) -> Result<Vec<IpNet>, StoreError> {
    let failed = |source| StoreError::sqlite(&store.path, "read the allow list", source);
    let mut query = store
        .connection
        .prepare_cached("SELECT network FROM allow")
        .map_err(failed)?;
    let networks = query
        .query_map([], |row| super::schema::network(row, 0))
        .map_err(failed)?;
    let mut networks = networks.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    networks.sort_unstable();
    Ok(networks)
}

pub(super) fn add_allowed(store: &Store, network: IpNet, now: i64) -> Result<bool, StoreError> {
    let network = network.trunc().to_string();
    store
        .connection
        .execute(
            "INSERT INTO allow (network, since) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
            params![network, now],
        )
        .map(|rows| rows > 0)
        .map_err(|source| StoreError::sqlite(&store.path, format!("allow {network}"), source))
}

pub(super) fn remove_allowed(store: &Store, network: IpNet) -> Result<bool, StoreError> {
    let network = network.trunc().to_string();
    store
        .connection
        .execute("DELETE FROM allow WHERE network = ?1", params![network])
        .map(|rows| rows > 0)
        .map_err(|source| {
            StoreError::sqlite(
                &store.path,
                format!("take {network} off the allow list"),
                source,
            )
        })
}

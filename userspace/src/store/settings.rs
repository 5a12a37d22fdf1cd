//! What an operator changed, kept over restarts.

use ipnet::IpNet;
use nicban_protocol::Mode;
use rusqlite::params;

use super::{Store, StoreError};

/// Settings that an operator changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Settings {
    /// Observe or enforce; `None` where nobody chose.
    pub mode: Option<Mode>,
    /// `nicban nacl release` took the NACL tier down.
    pub released: bool,
}

pub(super) fn load(store: &Store) -> Result<Settings, StoreError> {
    let failed = |source| StoreError::sqlite(&store.path, "read the settings", source);
    let mut query = store
        .connection
        .prepare_cached("SELECT name, value FROM settings")
        .map_err(failed)?;
    let mut rows = query.query([]).map_err(failed)?;
    let mut settings = Settings::default();
    while let Some(row) = rows.next().map_err(failed)? {
        let name: String = row.get(0).map_err(failed)?;
        let value: String = row.get(1).map_err(failed)?;
        match (name.as_str(), value.as_str()) {
            ("mode", "observe") => settings.mode = Some(Mode::Observe),
            ("mode", "enforce") => settings.mode = Some(Mode::Enforce),
            ("nacl", "released") => settings.released = true,
            _ => {}
        }
    }
    Ok(settings)
}

fn set(store: &Store, name: &str, value: &str) -> Result<(), StoreError> {
    store
        .connection
        .execute(
            "INSERT INTO settings (name, value) VALUES (?1, ?2)
             ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            params![name, value],
        )
        .map_err(|source| {
            StoreError::sqlite(&store.path, format!("set {name} to {value}"), source)
        })?;
    Ok(())
}

pub(super) fn set_mode(store: &Store, mode: Mode) -> Result<(), StoreError> {
    let value = match mode {
        Mode::Observe => "observe",
        Mode::Enforce => "enforce",
    };
    set(store, "mode", value)
}

pub(super) fn set_released(store: &Store, released: bool) -> Result<(), StoreError> {
    set(store, "nacl", if released { "released" } else { "active" })
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

//! Users and groups, by name or by number.

use nix::unistd::{Gid, Uid};
use thiserror::Error;
use toml::de::DeValue;

use super::values;

/// A user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum User {
    /// By name.
    Name(String),
    /// By number.
    Id(u32),
}

/// A group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Group {
    /// By name.
    Name(String),
    /// By number.
    Id(u32),
}

/// Why a name has no number.
#[derive(Debug, Error)]
pub enum PrincipalError {
    /// The system has no such user or group.
    #[error("there is no {kind} {name:?} on this system")]
    Unknown {
        /// `user` or `group`.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// The system's database can't be read.
    #[error("cannot look up the {kind} {name:?}")]
    Lookup {
        /// `user` or `group`.
        kind: &'static str,
        /// The name.
        name: String,
        /// Why.
        source: nix::Error,
    },
}

impl User {
    /// The user's number, from the system's database where a name is given.
    pub fn resolve(&self) -> Result<Uid, PrincipalError> {
        match self {
            Self::Id(id) => Ok(Uid::from_raw(*id)),
            Self::Name(name) => {
                let found = nix::unistd::User::from_name(name).map(|user| user.map(|u| u.uid));
                known("user", name, found)
            }
        }
    }

    pub(super) fn parse(value: &DeValue<'_>) -> Result<Self, String> {
        id(value)
            .map(Self::Id)
            .or_else(|| name(value).map(Self::Name))
            .ok_or_else(|| "a user's name in quotes, or a number".to_owned())
    }
}

impl Group {
    /// The group's number, from the system's database where a name is given.
    pub fn resolve(&self) -> Result<Gid, PrincipalError> {
        match self {
            Self::Id(id) => Ok(Gid::from_raw(*id)),
            Self::Name(name) => {
                let found = nix::unistd::Group::from_name(name).map(|group| group.map(|g| g.gid));
                known("group", name, found)
            }
        }
    }

    pub(super) fn parse(value: &DeValue<'_>) -> Result<Self, String> {
        id(value)
            .map(Self::Id)
            .or_else(|| name(value).map(Self::Name))
            .ok_or_else(|| "a group's name in quotes, or a number".to_owned())
    }
}

fn known<T>(
    kind: &'static str,
    name: &str,
    found: nix::Result<Option<T>>,
) -> Result<T, PrincipalError> {
    let name = name.to_owned();
    match found {
        Ok(Some(id)) => Ok(id),
        Ok(None) => Err(PrincipalError::Unknown { kind, name }),
        Err(source) => Err(PrincipalError::Lookup { kind, name, source }),
    }
}

fn id(value: &DeValue<'_>) -> Option<u32> {
    // The highest number means "nobody in particular" to chown(2) and friends.
    values::integer(0..=u32::MAX - 1)(value).ok()
}

fn name(value: &DeValue<'_>) -> Option<String> {
    let name = value.as_str()?;
    let sound = !name.is_empty() && !name.contains([':', '\0', '\n', '/']);
    sound.then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::{Group, PrincipalError, User};

    #[test]
    fn names_resolve_through_the_systems_database() {
        let root = User::Name("root".to_owned()).resolve().unwrap();
        assert_eq!(root.as_raw(), 0);
        assert_eq!(Group::Id(7).resolve().unwrap().as_raw(), 7);
    }

    #[test]
    fn an_unknown_name_is_named() {
        let error = User::Name("nobody-of-this-name".to_owned())
            .resolve()
            .unwrap_err();
        assert!(matches!(error, PrincipalError::Unknown { .. }));
        assert!(error.to_string().contains("nobody-of-this-name"));
    }
}

//! What a synchronisation with fail2ban found and did.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The longest [`Synced::problem`], in bytes.
pub const MAX_PROBLEM: usize = 1024;

/// What came of it, for one jail. Its text is one line.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Synced {
    /// The jail.
    pub holder: String,
    /// Bans that fail2ban listed.
    pub listed: u32,
    /// In force already: nothing was done about them.
    pub in_force: u32,
    /// Were not in force, or ended too early.
    pub added: u32,
    /// Could not be enforced: protected, no address, no room.
    pub failed: u32,
    /// What cut it short, or why some failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

impl fmt::Display for Synced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            holder,
            listed,
            in_force,
            added,
            failed,
            problem,
        } = self;
        write!(
            f,
            "{holder}: fail2ban lists {listed}: {in_force} in force already, {added} added, {failed} failed"
        )?;
        match problem {
            Some(problem) => write!(f, ": {problem}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Synced;

    #[test]
    fn what_is_usual_is_short() {
        let mut synced = Synced {
            holder: "sshd".to_owned(),
            listed: 3,
            in_force: 2,
            added: 1,
            ..Synced::default()
        };
        let usual = "sshd: fail2ban lists 3: 2 in force already, 1 added, 0 failed";
        assert_eq!(synced.to_string(), usual);
        synced.problem = Some("why".to_owned());
        assert_eq!(synced.to_string(), format!("{usual}: why"));
    }
}

//! The credentials of an instance role, shared by whoever issues and whoever checks.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

/// One set of temporary credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// `ASIA…`.
    pub access_key: String,
    /// The secret.
    pub secret: String,
    /// The session token that a request must carry.
    pub token: String,
    /// From when on.
    pub since: SystemTime,
    /// The end of their life.
    pub until: SystemTime,
}

/// Why a signature's credentials are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Never issued, or another session token.
    Unknown,
    /// Their life is over.
    Expired,
}

/// Everything that was issued.
#[derive(Debug, Clone, Default)]
pub struct Issued(Arc<Mutex<Vec<Credentials>>>);

impl Issued {
    fn list(&self) -> MutexGuard<'_, Vec<Credentials>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The credentials to hand out now: the newest while more than half of their life
    /// is left, else new ones that live for `life`.
    pub fn current(&self, life: Duration, now: SystemTime) -> Credentials {
        let mut list = self.list();
        if let Some(newest) = list.last()
            && newest
                .until
                .duration_since(now)
                .is_ok_and(|left| left > life / 2)
        {
            return newest.clone();
        }
        let n = list.len();
        let credentials = Credentials {
            access_key: format!("ASIASTANDIN{n:09}"),
            secret: format!("stand-in/secret/of/no/value/{n:012}"),
            token: format!("stand-in-session-token-{n}=="),
            since: now,
            until: now + life,
        };
        list.push(credentials.clone());
        credentials
    }

    /// Whether an access key with a session token is good now.
    pub fn check(
        &self,
        access_key: &str,
        token: Option<&str>,
        now: SystemTime,
    ) -> Result<(), Refusal> {
        let list = self.list();
        let credentials = list
            .iter()
            .find(|c| c.access_key == access_key && token == Some(&c.token))
            .ok_or(Refusal::Unknown)?;
        if credentials.until <= now {
            return Err(Refusal::Expired);
        }
        Ok(())
    }

    /// Ends the life of all that was issued; the next to ask gets new ones.
    pub fn revoke(&self, now: SystemTime) {
        for credentials in self.list().iter_mut() {
            credentials.until = credentials.until.min(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFE: Duration = Duration::from_secs(100);

    #[test]
    fn credentials_are_kept_then_renewed_before_they_end() {
        let issued = Issued::default();
        let start = SystemTime::UNIX_EPOCH;
        let first = issued.current(LIFE, start);
        assert_eq!(issued.current(LIFE, start + LIFE / 4), first);
        let second = issued.current(LIFE, start + LIFE / 2);
        assert_ne!(second.access_key, first.access_key);
        let now = start + LIFE / 2;
        assert_eq!(
            issued.check(&first.access_key, Some(&first.token), now),
            Ok(())
        );
        assert_eq!(
            issued.check(&second.access_key, Some(&second.token), now),
            Ok(())
        );
    }

    #[test]
    fn only_what_was_issued_is_good_and_only_while_it_lives() {
        let issued = Issued::default();
        let start = SystemTime::UNIX_EPOCH;
        let one = issued.current(LIFE, start);
        let check = |key: &str, token, now| issued.check(key, token, now);
        assert_eq!(
            check("AKIAOTHER", Some(one.token.as_str()), start),
            Err(Refusal::Unknown)
        );
        assert_eq!(check(&one.access_key, None, start), Err(Refusal::Unknown));
        assert_eq!(
            check(&one.access_key, Some("x"), start),
            Err(Refusal::Unknown)
        );
        assert_eq!(
            check(&one.access_key, Some(one.token.as_str()), start + LIFE),
            Err(Refusal::Expired)
        );
        issued.revoke(start);
        assert_eq!(
            check(&one.access_key, Some(one.token.as_str()), start),
            Err(Refusal::Expired)
        );
        assert_ne!(issued.current(LIFE, start).access_key, one.access_key);
    }
}

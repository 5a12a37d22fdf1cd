//! Waiting for something to become true, for as long as it takes but no longer than a limit.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

const POLL: Duration = Duration::from_millis(50);

/// By how much limits grow where the machine is emulated, a whole number.
const PATIENCE: &str = "NICBAN_PATIENCE";

/// A limit as it is on this machine.
pub fn patient(limit: Duration) -> Duration {
    let factor = std::env::var(PATIENCE).ok();
    limit * factor.and_then(|number| number.parse().ok()).unwrap_or(1)
}

/// Looks again and again until `look` finds something.
///
/// # Errors
/// `look` fails, or has found nothing when `limit` is over.
pub fn until<T>(
    what: &str,
    limit: Duration,
    mut look: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let limit = patient(limit);
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if Instant::now() >= deadline {
            bail!("waited {limit:?} in vain until {what}");
        }
        thread::sleep(POLL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_looks_until_it_finds() {
        let mut left = 3;
        let found = until("three looks", Duration::from_mins(1), || {
            left -= 1;
            Ok((left == 0).then_some("found"))
        });
        assert_eq!(found.unwrap(), "found");
    }

    #[test]
    fn it_says_what_it_waited_for() {
        let error = until::<()>("pigs fly", Duration::ZERO, || Ok(None)).unwrap_err();
        assert!(error.to_string().contains("pigs fly"), "{error}");
    }
}

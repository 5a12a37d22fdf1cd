//! What the suites of a guest did, from what they said.

use std::{fmt, fs, path::Path};

use anyhow::{Context as _, Result};

use super::script::{self, Suite};
use crate::test::Tally;

/// The sum over a guest's suites.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    tally: Tally,
    /// Parts of suites of which nothing passed and nothing failed.
    idle: Vec<String>,
}

impl Outcome {
    /// Reads what each suite left in the shared folder. One that left nothing ran nothing.
    pub(super) fn read(shared: &Path, filter: Option<&str>) -> Result<Self> {
        let mut outcome = Self::default();
        for suite in script::SUITES {
            let file = shared.join(script::said(suite));
            let said = if file.exists() {
                fs::read_to_string(&file)
                    .with_context(|| format!("cannot read {}", file.display()))?
            } else {
                String::new()
            };
            outcome.take(suite, &said, filter);
        }
        Ok(outcome)
    }

    fn take(&mut self, suite: &Suite, said: &str, filter: Option<&str>) {
        for line in said.lines() {
            self.tally.read(line);
        }
        if filter.is_none() {
            let idle = suite.parts.iter().filter(|part| !has_run(said, part));
            self.idle
                .extend(idle.map(|part| format!("{}, {part}", suite.name)));
            if suite.parts.is_empty() && !has_run(said, "") {
                self.idle.push(suite.name.to_owned());
            }
        }
    }

    /// What failed, by name. That nothing ran is a failure: a filter or a part that no test has
    /// in its name would pass for good.
    pub(super) fn failures(&self) -> Vec<String> {
        let mut failures = self.tally.failures().to_vec();
        failures.extend(self.idle.iter().map(|part| format!("no test ran: {part}")));
        if failures.is_empty() && self.tally.passed() == 0 {
            failures.push("no test ran".to_owned());
        }
        failures
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.tally.fmt(out)
    }
}

/// Whether a test whose name begins so came to an end.
fn has_run(said: &str, part: &str) -> bool {
    said.lines()
        .filter_map(|line| line.strip_prefix("test "))
        .any(|line| {
            line.starts_with(part) && (line.ends_with(" ... ok") || line.ends_with(" ... FAILED"))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAEMON: Suite = Suite {
        name: "daemon",
        parts: &["attach::", "restart::"],
    };

    const PASSED: &str = "\
running 2 tests
test attach::holds ... ok
test restart::holds ... ok

test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s
";

    fn of(suite: &Suite, said: &str, filter: Option<&str>) -> Outcome {
        let mut outcome = Outcome::default();
        outcome.take(suite, said, filter);
        outcome
    }

    #[test]
    fn all_parts_that_ran_and_passed_are_no_failure() {
        let outcome = of(&DAEMON, PASSED, None);
        assert!(outcome.failures().is_empty(), "{:?}", outcome.failures());
        assert!(outcome.to_string().starts_with("2 passed, 0 failed"));
    }

    #[test]
    fn a_part_that_no_test_has_in_its_name_is_a_failure() {
        let renamed = PASSED.replace("attach::", "links::");
        let failures = of(&DAEMON, &renamed, None).failures();
        assert_eq!(failures, ["no test ran: daemon, attach::"]);
        let ignored = PASSED.replace("attach::holds ... ok", "attach::holds ... ignored");
        assert_eq!(of(&DAEMON, &ignored, None).failures().len(), 1);
    }

    #[test]
    fn a_suite_that_said_nothing_is_a_failure() {
        let whole = Suite {
            name: "packets",
            parts: &[],
        };
        assert_eq!(of(&whole, "", None).failures(), ["no test ran: packets"]);
    }

    #[test]
    fn with_a_filter_one_test_in_any_suite_is_enough_and_none_is_a_failure() {
        assert!(of(&DAEMON, PASSED, Some("holds")).failures().is_empty());
        assert_eq!(of(&DAEMON, "", Some("holds")).failures(), ["no test ran"]);
    }

    #[test]
    fn a_test_that_failed_is_named() {
        let failed = PASSED.replace("restart::holds ... ok", "restart::holds ... FAILED");
        assert_eq!(of(&DAEMON, &failed, None).failures(), ["restart::holds"]);
    }
}

//! Failures to order.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A way to fail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// Refuse with an EC2 error; nothing is changed.
    Error {
        /// The code, such as `InternalError`.
        code: String,
    },
    /// Do it, and hold the reply back for so long.
    Delay {
        /// Milliseconds.
        ms: u64,
    },
    /// Do it, and close the connection without a reply.
    ReplyLost,
    /// Answer with bytes that are no EC2 reply; nothing is changed.
    Garbage {
        /// The HTTP status.
        status: u16,
    },
    /// Read the request and never answer; nothing is changed.
    HalfOpen,
}

/// A fault with its occasion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultRule {
    /// The action that it strikes; `None` strikes every one.
    #[serde(default)]
    pub action: Option<String>,
    /// How often; `None` is for ever.
    #[serde(default)]
    pub times: Option<u32>,
    /// The way to fail.
    pub fault: Fault,
}

impl FaultRule {
    /// A fault that strikes an action a number of times.
    pub fn times(action: &str, times: u32, fault: Fault) -> Self {
        Self {
            action: Some(action.to_owned()),
            times: Some(times),
            fault,
        }
    }

    /// A fault that strikes an action until the faults are cleared.
    pub fn always(action: &str, fault: Fault) -> Self {
        Self {
            action: Some(action.to_owned()),
            times: None,
            fault,
        }
    }
}

/// What strikes one request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Strike {
    /// How long the reply is held back: all delays that match, added up.
    pub delay: Duration,
    /// The first match that is no delay.
    pub fault: Option<Fault>,
}

/// The faults that are still to come, in the order in which they were asked for.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    rules: Vec<FaultRule>,
}

impl Faults {
    /// Adds one behind the others.
    pub fn add(&mut self, rule: FaultRule) {
        self.rules.push(rule);
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.rules.clear();
    }

    /// What strikes a request for an action; what strikes is counted off.
    pub fn strike(&mut self, action: &str) -> Strike {
        let mut strike = Strike::default();
        for rule in &mut self.rules {
            if rule.action.as_deref().is_some_and(|a| a != action) || rule.times == Some(0) {
                continue;
            }
            match &rule.fault {
                Fault::Delay { ms } => strike.delay += Duration::from_millis(*ms),
                _ if strike.fault.is_some() => continue,
                fault => strike.fault = Some(fault.clone()),
            }
            rule.times = rule.times.map(|left| left - 1);
        }
        self.rules.retain(|rule| rule.times != Some(0));
        strike
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(code: &str) -> Fault {
        Fault::Error { code: code.into() }
    }

    #[test]
    fn faults_strike_in_turn_then_stop() {
        let mut faults = Faults::default();
        faults.add(FaultRule::times("A", 2, error("One")));
        faults.add(FaultRule::times("A", 1, Fault::ReplyLost));
        assert_eq!(faults.strike("B"), Strike::default());
        assert_eq!(faults.strike("A").fault, Some(error("One")));
        assert_eq!(faults.strike("A").fault, Some(error("One")));
        assert_eq!(faults.strike("A").fault, Some(Fault::ReplyLost));
        assert_eq!(faults.strike("A"), Strike::default());
    }

    #[test]
    fn delays_add_up_beside_a_fault() {
        let mut faults = Faults::default();
        faults.add(FaultRule {
            action: None,
            times: None,
            fault: Fault::Delay { ms: 10 },
        });
        faults.add(FaultRule::always("A", Fault::HalfOpen));
        faults.add(FaultRule::times("A", 1, Fault::Delay { ms: 5 }));
        let first = faults.strike("A");
        assert_eq!(first.delay, Duration::from_millis(15));
        assert_eq!(first.fault, Some(Fault::HalfOpen));
        assert_eq!(faults.strike("A").delay, Duration::from_millis(10));
        faults.clear();
        assert_eq!(faults.strike("A"), Strike::default());
    }

    #[test]
    fn rules_read_from_json_and_refuse_unknown_words() {
        let rule: FaultRule = serde_json::from_str(
            r#"{"action":"A","times":3,"fault":{"kind":"garbage","status":500}}"#,
        )
        .unwrap();
        assert_eq!(
            rule,
            FaultRule::times("A", 3, Fault::Garbage { status: 500 })
        );
        assert!(
            serde_json::from_str::<FaultRule>(r#"{"fault":{"kind":"reply_lost"},"x":1}"#).is_err()
        );
    }
}

//! Measures several things alternately, so that what the machine does beside them
//! falls on all of them alike.

use anyhow::Result;

/// Something that can be measured again and again.
pub(super) struct Subject<'a> {
    /// What it is called in an error.
    pub(super) name: String,
    sample: Box<dyn FnMut() -> Result<f64> + 'a>,
}

impl<'a> Subject<'a> {
    pub(super) fn new(name: impl Into<String>, sample: impl FnMut() -> Result<f64> + 'a) -> Self {
        Self {
            name: name.into(),
            sample: Box::new(sample),
        }
    }

    /// One that fails, whatever is asked of it: a peer that could not be set up.
    pub(super) fn failed(name: impl Into<String>, error: &anyhow::Error) -> Self {
        let said = format!("{error:#}");
        Self::new(name, move || Err(anyhow::anyhow!("{said}")))
    }
}

/// The samples of a subject, one a round, or why there are none.
pub(super) type Samples = Result<Vec<f64>, String>;

/// Measures each subject once in each round. Who goes first changes by round. One
/// that fails is left out from then on, and what it gave before does not count.
pub(super) fn alternate(rounds: u32, subjects: Vec<Subject<'_>>) -> Vec<Samples> {
    let mut results: Vec<Samples> = subjects.iter().map(|_| Ok(Vec::new())).collect();
    let mut entries: Vec<_> = subjects.into_iter().zip(&mut results).collect();
    for _ in 0..rounds {
        for (subject, result) in &mut entries {
            let Ok(samples) = result else { continue };
            match (subject.sample)() {
                Ok(sample) => samples.push(sample),
                Err(error) => **result = Err(format!("{}: {error:#}", subject.name)),
            }
        }
        if !entries.is_empty() {
            entries.rotate_left(1);
        }
    }
    drop(entries);
    results
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn subjects_take_turns_and_each_goes_first() {
        let order = RefCell::new(String::new());
        let subject = |name: &'static str| {
            let order = &order;
            Subject::new(name, move || {
                order.borrow_mut().push_str(name);
                Ok(1.0)
            })
        };
        let samples = alternate(3, vec![subject("a"), subject("b"), subject("c")]);
        assert_eq!(samples, vec![Ok(vec![1.0; 3]); 3]);
        assert_eq!(*order.borrow(), "abcbcacab");
    }

    #[test]
    fn samples_stay_with_their_subject() {
        let samples = alternate(
            3,
            vec![
                Subject::new("one", || Ok(1.0)),
                Subject::new("two", || Ok(2.0)),
            ],
        );
        assert_eq!(samples, [Ok(vec![1.0; 3]), Ok(vec![2.0; 3])]);
    }

    #[test]
    fn one_that_fails_late_has_no_samples_and_is_not_asked_again() {
        let mut asked = 0;
        let failing = Subject::new("peer", || {
            asked += 1;
            anyhow::ensure!(asked == 1, "gone");
            Ok(1.0)
        });
        let samples = alternate(5, vec![failing, Subject::new("nicban", || Ok(2.0))]);
        assert_eq!(samples[0], Err("peer: gone".to_owned()));
        assert_eq!(samples[1], Ok(vec![2.0; 5]));
        assert_eq!(asked, 2);
    }

    #[test]
    fn one_that_could_not_be_set_up_fails_with_the_reason() {
        let error = anyhow::anyhow!("no such program").context("set up the peer");
        let samples = alternate(2, vec![Subject::failed("peer", &error)]);
        assert_eq!(
            samples,
            [Err("peer: set up the peer: no such program".to_owned())]
        );
    }
}

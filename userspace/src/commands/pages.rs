//! A long answer, page by page.

use crate::exit::{Exit, Failure};

/// Pages as `ask` gets them: one, and what names the next one, from what named this one.
pub(super) struct Pages<F> {
    ask: F,
    after: Option<String>,
    ended: bool,
}

impl<T, F> Pages<F>
where
    F: FnMut(Option<String>) -> Result<(T, Option<String>), Failure>,
{
    /// From the first page on.
    pub(super) fn new(ask: F) -> Self {
        Self {
            ask,
            after: None,
            ended: false,
        }
    }

    fn page(&mut self) -> Result<T, Failure> {
        let (page, next) = (self.ask)(self.after.clone())?;
        if next.is_some() && next == self.after {
            return Err(Failure::new(
                Exit::Failed,
                "the daemon gives the same page again and again; restart it: systemctl restart nicban",
            ));
        }
        self.ended = next.is_none();
        self.after = next;
        Ok(page)
    }
}

impl<T, F> Iterator for Pages<F>
where
    F: FnMut(Option<String>) -> Result<(T, Option<String>), Failure>,
{
    type Item = Result<T, Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let page = self.page();
        self.ended |= page.is_err();
        Some(page)
    }
}

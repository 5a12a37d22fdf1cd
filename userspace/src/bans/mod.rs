//! Who holds which ban until when: pure state, changed by plans that are committed.
//!
//! Every request is planned on `&Bans` and gives a [`Change`]: what to tell who
//! asked, what the kernel must do, what the store must keep. Once both have done
//! it, [`Bans::commit`] makes it so here. To batch, commit each change as it is
//! planned, keep the [`Undo`]s, and hand them back in reverse order to
//! [`Bans::undo`] if the kernel or the store refuses.
//!
//! All times are whole seconds since the Unix epoch, `now` among them: fail2ban
//! tells sentences so, and people read the store so. The one span that is short
//! enough to suffer, the wait after a flush, is rounded up.

mod change;
mod entry;
mod jail;
mod many;
mod names;
mod plan;
mod restored;
mod state;
mod step;
mod unbanned;
mod view;

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

pub use change::{Change, Full, Hold, KernelChange, RECOVERED, SentenceError, StoreChange, Until};
pub use many::{Fresh, ManyChange, TooMany, UndoMany};
pub use restored::{Restored, Served};
pub use state::{Bans, Limits, Undo};
pub use step::Step;
pub use unbanned::Unbanned;
pub use view::Ban;

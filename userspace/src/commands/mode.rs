//! `nicban observe`, `nicban enforce`.

use nicban_protocol::{Mode, Request};

use super::link::Link;
use super::{Globals, output};
use crate::exit::Failure;

pub(super) fn set(globals: &Globals, mode: Mode) -> Result<(), Failure> {
    let (_, note) = Link::new(globals)?.done(&Request::SetMode { mode })?;
    let said = match mode {
        Mode::Observe => {
            "observing: the packets of the banned are counted and passed, also after a restart\n"
        }
        Mode::Enforce => "enforcing: the packets of the banned are dropped, also after a restart\n",
    };
    output::text(said)?;
    note.map_or(Ok(()), |note| output::text(&format!("  {note}\n")))
}

//! `nicban export`.

use std::io;

use super::bulk;
use super::link::Link;
use super::{Globals, output};
use crate::exit::Failure;
use crate::lists::write::{WriteFormat, Writer};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only the bans of this holder, each with this holder's end: a jail, `manual`, `import:NAME`
    #[arg(long, value_name = "NAME")]
    holder: Option<String>,
    /// How to write them
    #[arg(long, value_enum, default_value = "plain")]
    format: WriteFormat,
}

/// Page by page, so that a million bans need no more memory than a few.
pub(super) fn run(globals: &Globals, args: &Args) -> Result<(), Failure> {
    let link = Link::new(globals)?;
    let out = io::BufWriter::new(io::stdout().lock());
    let mut writer = output::written(Writer::new(out, args.format, output::now()))?;
    for page in bulk::dump(&link, args.holder.as_deref()) {
        for (network, until) in page?.bans {
            output::written(writer.network(network, until))?;
        }
    }
    let cut = writer.cut;
    output::written(writer.finish())?;
    if cut > 0 {
        eprintln!(
            "nicban: {cut} ends lie further away than ipset can say, and were cut to 24 days; --format json keeps them"
        );
    }
    Ok(())
}

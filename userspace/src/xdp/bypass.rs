//! The way out past a daemon that does not answer: the program passes everything.

use std::path::Path;

use aya::maps::{Array, Map, MapData, MapError};
use nicban_ebpf::abi::{Settings, maps};

use super::{XdpError, tables::failed};

/// Makes the program whose maps are pinned in a folder drop nothing. Where nothing
/// is pinned, there is nothing to do. The next daemon sets its own mode.
pub(super) fn drop_nothing(pin_dir: &Path) -> Result<(), XdpError> {
    let pin = pin_dir.join(maps::SETTINGS);
    match pin.try_exists() {
        Ok(true) => {}
        Ok(false) => return Ok(()),
        Err(source) => return Err(XdpError::file("look for", &pin, source)),
    }
    observe(&pin).map_err(failed("write", maps::SETTINGS, &"the mode"))
}

fn observe(pin: &Path) -> Result<(), MapError> {
    let mut settings: Array<_, Settings> = Map::Array(MapData::from_pin(pin)?).try_into()?;
    let mut now = settings.get(&0, 0)?;
    now.enforce = 0;
    settings.set(0, now, 0)
}

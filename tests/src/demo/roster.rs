//! The table of who is dropped where.

use comfy_table::{CellAlignment, Table, presets};

use super::cast::Attacker;
use super::evidence::{Evidence, Fate};

/// A row for each attacker, the loudest first.
pub(super) fn table(attackers: &[Attacker], evidence: &Evidence) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY).set_header([
        "attacker",
        "banned by",
        "packets/s",
        "sent",
        "dropped by XDP",
        "NACL rule",
        "dropped at the boundary",
        "leaked",
    ]);
    let mut loudest_first = attackers.to_vec();
    loudest_first.sort_by(|a, b| b.rate.total_cmp(&a.rate));
    for attacker in loudest_first {
        if let Some(fate) = evidence.fates.get(&attacker.address) {
            table.add_row(row(&attacker, fate));
        }
    }
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}

fn row(attacker: &Attacker, fate: &Fate) -> [String; 8] {
    [
        attacker.address.to_string(),
        fate.holders
            .as_ref()
            .map_or("nobody".to_owned(), |holders| holders.join(", ")),
        format!("{:.0}", attacker.rate),
        fate.sent.to_string(),
        fate.at_xdp.to_string(),
        fate.rule
            .map_or("-".to_owned(), |number| number.to_string()),
        fate.at_boundary.to_string(),
        fate.leaked.to_string(),
    ]
}

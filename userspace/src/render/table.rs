//! Tables without lines or colours, so that `awk` and a screen reader get on with them.

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, ContentArrangement, Row, Table};

/// A column's heading and how its cells stand.
#[derive(Debug, Clone, Copy)]
pub(super) enum Column {
    /// Words.
    Left(&'static str),
    /// Numbers.
    Right(&'static str),
}

/// A table with `indent` blanks before each line, ended by a newline. Text is
/// never wrapped: a line is a row.
pub(super) fn table<R: Into<Row>>(
    indent: u16,
    columns: &[Column],
    rows: impl IntoIterator<Item = R>,
) -> String {
    let mut table = Table::new();
    table
        .load_style(NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(columns.iter().map(|column| match column {
            Column::Left(name) | Column::Right(name) => *name,
        }))
        .add_rows(rows);
    for (i, column) in table.column_iter_mut().enumerate() {
        column.set_padding((if i == 0 { indent } else { 0 }, 2));
        if matches!(columns.get(i), Some(Column::Right(_))) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.trim_fmt().chars().map(shown).collect::<String>() + "\n"
}

/// A letter; a mark in its place if it would part a line, move the cursor or turn the direction
/// of writing. A jail may be called anything.
fn shown(letter: char) -> char {
    match letter {
        '\n' | ' '..='~' => letter,
        _ if letter.escape_debug().len() > 1 => char::REPLACEMENT_CHARACTER,
        _ => letter,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_turns_nothing_around_and_parts_no_line() {
        let cell = ["\u{202e}trap\u{2028}\u{1b}[2J 'ä' \"\\"];
        assert_eq!(
            table(0, &[Column::Left("holder")], [cell]),
            "holder\n\u{fffd}trap\u{fffd}\u{fffd}[2J 'ä' \"\\\n"
        );
    }
}

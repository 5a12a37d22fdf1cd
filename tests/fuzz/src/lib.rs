//! What several targets ask of what they are given.

mod plan;

pub use plan::{account, changes_only_ours};

/// Fails where a text could forge a line of a log or a table, or move the cursor.
pub fn one_line(text: &str) {
    assert!(
        !text.chars().any(char::is_control),
        "{text:?} is not one line"
    );
}

//! nftables in a namespace.

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::namespace::Namespace;

/// Applies a ruleset, whole or not at all.
///
/// # Errors
/// nft refuses it.
pub(crate) fn apply(namespace: &Namespace, ruleset: &str) -> Result<()> {
    namespace
        .run_with_input(&["nft", "-f", "-"], ruleset)
        .map(drop)
        .with_context(|| format!("apply the ruleset\n{ruleset}"))
}

/// What `nft -j list …` prints, as the objects of one kind.
///
/// # Errors
/// The command fails, or doesn't print what nft prints.
pub(crate) fn list(namespace: &Namespace, what: &[&str], kind: &str) -> Result<Vec<Value>> {
    let text = namespace.run(&[&["nft", "-j", "list"], what].concat())?;
    let mut root: Value = serde_json::from_str(&text).context("nft's JSON")?;
    let Value::Array(objects) = root["nftables"].take() else {
        anyhow::bail!("nft printed no list: {text}");
    };
    Ok(objects
        .into_iter()
        .filter_map(|mut object| object.get_mut(kind).map(Value::take))
        .collect())
}

//! How many cases a property is tried with.

/// `most`, or fewer where `PROPTEST_CASES` says so: an emulated machine takes minutes for what
/// takes seconds elsewhere.
pub fn at_most(most: u32) -> u32 {
    let fewer = std::env::var("PROPTEST_CASES").ok();
    let fewer = fewer.and_then(|number| number.parse::<u32>().ok());
    fewer.map_or(most, |fewer| fewer.min(most))
}

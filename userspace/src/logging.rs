//! placeholder
/// x
pub fn init(_: &crate::config::Log) -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    Ok(())
}

//! placeholder
use std::sync::Arc;
use tokio::sync::watch;
/// x
pub struct Source {
    /// x
    pub engine: watch::Receiver<Arc<crate::engine::Snapshot>>,
    /// x
    pub nacl: watch::Receiver<Arc<crate::nacl::NaclView>>,
}
/// x
pub async fn serve(_l: tokio::net::TcpListener, _s: Source, _q: impl Future<Output = ()>) {
    std::future::pending::<()>().await;
}

//! Sockets that say nothing, half a greeting, or a whole one and nothing more.

use super::crowd::{End, GREETING};
use super::target::Target;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Stays until the server closes the connection. Whoever has greeted answers no ping, as a peer that has vanished.
pub(super) async fn visit(server: Target, number: u64) -> End {
    let said = [&GREETING[..0], &GREETING[..20], GREETING][number as usize % 3];
    let Ok(mut stream) = server.socket().await else { return End::Refused };
    if stream.write_all(said).await.is_ok() {
        // How it is closed is the system's affair.
        let _ = stream.read_to_end(&mut Vec::new()).await;
    }
    End::Refused
}

//! Greetings and messages that come byte by byte.

use super::call::{call_with, message};
use super::crowd::{End, GREETING};
use super::target::Target;
use futures_util::stream;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::time::{Interval, interval};
use tonic::codegen::Bytes;

/// Between two bytes: slow enough that nothing is whole before its deadline.
const DROP_EVERY: Duration = Duration::from_millis(500);
/// Bytes of a message.
const MESSAGE: u32 = 1 << 10;

/// A greeting on a connection of its own, or a message on the one that all share.
pub(super) async fn visit(server: Target, number: u64) -> End {
    if number.is_multiple_of(2) { greeting(server).await } else { search(server).await }
}

async fn greeting(server: Target) -> End {
    let Ok(mut stream) = server.socket().await else { return End::Refused };
    let mut drops = interval(DROP_EVERY);
    for byte in GREETING {
        drops.tick().await;
        if stream.write_all(&[*byte]).await.is_err() {
            return End::Refused;
        }
    }
    End::Left
}

async fn search(server: Target) -> End {
    let bytes = message(MESSAGE, &[0; MESSAGE as usize]);
    let drops = stream::unfold((interval(DROP_EVERY), bytes), drop_of);
    call_with(server.channel, "Search", drops).await
}

/// The next byte, when it is time.
async fn drop_of((mut drops, mut left): (Interval, Bytes)) -> Option<(Bytes, (Interval, Bytes))> {
    drops.tick().await;
    let byte = left.split_to(left.len().min(1));
    (!byte.is_empty()).then_some((byte, (drops, left)))
}

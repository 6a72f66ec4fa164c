//! Calls of `SearchService` whose body is bytes, whether they are messages or not.

use super::crowd::End;
use crate::raw;
use futures_util::{Stream, stream};
use tonic::Code;
use tonic::codegen::Bytes;
use tonic::transport::Channel;

pub(super) use raw::message;

/// Calls a method with one piece of a body and nothing after it.
pub(super) async fn call(channel: Channel, method: &str, piece: Bytes) -> End {
    call_with(channel, method, stream::iter([piece])).await
}

/// Calls a method with a body that comes in pieces.
pub(super) async fn call_with(
    channel: Channel,
    method: &str,
    pieces: impl Stream<Item = Bytes> + Send + 'static,
) -> End {
    let path = format!("lapel.v1.SearchService/{method}");
    match raw::code(raw::open(channel, &path, None, pieces).await).await {
        Some(Code::Ok) => End::Answered,
        Some(_) | None => End::Refused,
    }
}

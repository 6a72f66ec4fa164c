//! Calls that have begun a message and never go on.

use super::call::{call_with, message};
use super::crowd::End;
use super::target::Target;
use futures_util::{StreamExt, stream};

/// What is announced, and what comes.
const ANNOUNCED: u32 = 1 << 20;
const SENT: usize = 32 << 10;

/// Stays until the server gives it up.
pub(super) async fn visit(server: Target) -> End {
    let begun = stream::iter([message(ANNOUNCED, &[0; SENT])]);
    call_with(server.channel, "Search", begun.chain(stream::pending())).await
}

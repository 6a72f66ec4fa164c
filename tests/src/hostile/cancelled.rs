//! Searches by photos of 40 megapixels whose callers leave before the answer.

use super::crowd::End;
use super::target::Target;
use crate::by_image;
use lapel_client::v1::search_service_client::SearchServiceClient;
use lapel_heads::Photo;
use lapel_render::to_jpeg;
use std::time::Duration;
use tokio::time::timeout;

/// Sides of the largest photo that the server accepts.
const SIDES: (u32, u32) = (8000, 5000);

/// A photo of 40 megapixels.
pub(super) fn photo() -> Vec<u8> {
    let (width, height) = SIDES;
    let grey = vec![200; width as usize * height as usize * 3];
    to_jpeg(&Photo::from_rgb(width, height, grey).expect("sized"))
}

/// Leaves at any moment: while the message is on its way, while the photo is decoded, or later.
pub(super) async fn visit(server: Target, number: u64) -> End {
    let patience = Duration::from_millis(20 + number * 37 % 300);
    let mut client = SearchServiceClient::new(server.channel);
    let search = client.search(by_image(server.photo.to_vec(), 1));
    timeout(patience, search).await.map_or(End::Left, |answer| End::of(&answer))
}

//! Rendered photos for measurements that need more of them than there is time to render.

use lapel_client::v1;
use lapel_render::{render, to_jpeg};
use std::collections::BTreeMap;

/// A rendered photo with its labels.
pub struct TestPhoto {
    jpeg: Vec<u8>,
    labels: BTreeMap<String, String>,
}

/// Renders `count` garments on all cores.
///
/// # Panics
/// When a thread does.
#[must_use]
pub fn rendered(seed: u64, count: u64) -> Vec<TestPhoto> {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get) as u64;
    let part = |thread: u64| {
        std::thread::spawn(move || {
            let one = |index| {
                let garment = render(seed, index);
                TestPhoto { jpeg: to_jpeg(&garment.photo), labels: garment.labels }
            };
            (thread..count).step_by(threads as usize).map(one).collect::<Vec<_>>()
        })
    };
    let parts: Vec<_> = (0..threads).map(part).collect();
    parts.into_iter().flat_map(|p| p.join().expect("rendered")).collect()
}

impl TestPhoto {
    /// An item with this photo. Its file has the number in a comment, so that the same picture is another file.
    #[must_use]
    pub fn item(&self, id: String, number: u64) -> v1::UpsertItemsRequest {
        let (start, rest) = self.jpeg.split_at(2);
        let comment = [&[0xFF, 0xFE, 0, 10][..], &number.to_be_bytes()].concat();
        let image = [start, &comment, rest].concat();
        v1::UpsertItemsRequest { id, image, labels: self.labels.clone(), ..Default::default() }
    }
}

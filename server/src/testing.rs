//! What unit tests share.

use crate::store::{Disk, StoreConfig};
use lapel_heads::{AlexNet, Attribute, BACKBONE_FILE, Bundle, Head, Manifest, shipped_folder};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};

/// A store in a folder.
pub(crate) fn store_in(folder: &Path) -> StoreConfig {
    StoreConfig { folder: folder.to_owned(), cache_bytes: 1 << 20, receipts_max: 3, disk: Disk::default() }
}

/// An external head for tests.
pub(crate) fn external_head(name: &str, dim: usize, labels: &[&str]) -> Arc<Head> {
    static BACKBONE: OnceLock<AlexNet> = OnceLock::new();
    let backbone =
        BACKBONE.get_or_init(|| AlexNet::load(&shipped_folder().join(BACKBONE_FILE)).expect("shipped"));
    let labels = labels.iter().map(|l| (*l).to_owned()).collect();
    let manifest = Manifest::external(name, dim, vec![Attribute { name: name.into(), labels }]);
    let bundle = Bundle { manifest, tensors: BTreeMap::new() };
    Arc::new(Head::from_bytes(&bundle.to_bytes().expect("written"), backbone).expect("sound"))
}

//! What unit tests share.

use lapel_heads::{
    AlexNet, Attribute, BACKBONE_FILE, Bundle, FORMAT, Head, HeadKind, Manifest, Region, shipped_folder,
};
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

/// An external head for tests.
pub(crate) fn external_head(name: &str, dim: usize, labels: &[&str]) -> Arc<Head> {
    static BACKBONE: OnceLock<AlexNet> = OnceLock::new();
    let backbone =
        BACKBONE.get_or_init(|| AlexNet::load(&shipped_folder().join(BACKBONE_FILE)).expect("shipped"));
    let bundle = Bundle {
        manifest: Manifest {
            format: FORMAT,
            name: name.into(),
            kind: HeadKind::External,
            backbone: None,
            region: Region::Whole,
            hidden: 0,
            dim,
            scale: 1.0,
            attributes: vec![Attribute {
                name: name.into(),
                labels: labels.iter().map(|l| (*l).to_owned()).collect(),
            }],
            prototype_counts: BTreeMap::new(),
            description: String::new(),
        },
        tensors: BTreeMap::new(),
    };
    Arc::new(Head::from_bytes(&bundle.to_bytes().expect("written"), backbone).expect("sound"))
}

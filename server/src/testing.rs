//! What unit tests share.

use crate::store::{Disk, StoreConfig};
use lapel_heads::{Attribute, Bundle, Head, HeadKind, Manifest, Weights};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Numbers that heads of tests read.
const INPUTS: usize = 3;

/// A store in a folder.
pub(crate) fn store_in(folder: &Path) -> StoreConfig {
    StoreConfig { folder: folder.to_owned(), cache_bytes: 1 << 20, receipts_max: 3, disk: Disk::default() }
}

/// An external head for tests.
pub(crate) fn external_head(name: &str, dim: usize, labels: &[&str]) -> Arc<Head> {
    let labels = labels.iter().map(|l| (*l).to_owned()).collect();
    let manifest = Manifest::external(name, dim, vec![Attribute { name: name.into(), labels }]);
    head(&Bundle { manifest, tensors: BTreeMap::new(), graph: None })
}

/// The head of an external head's manifest, with a network: its classifiers' logits are the signature's
/// numbers.
pub(crate) fn network_head(manifest: Manifest) -> Arc<Head> {
    let weights = |shape: &[usize], data: Vec<f32>| Weights { shape: shape.to_vec(), data };
    let dim = manifest.dim;
    let identity = || {
        let data = (0..dim * dim).map(|at| f32::from(u8::from(at % (dim + 1) == 0)));
        weights(&[dim, dim], data.collect())
    };
    let mut tensors = BTreeMap::from([
        ("fc6.weight".to_owned(), weights(&[dim, INPUTS], vec![0.0; dim * INPUTS])),
        ("fc6.bias".to_owned(), weights(&[dim], vec![0.0; dim])),
        ("fc7.weight".to_owned(), identity()),
        ("fc7.bias".to_owned(), weights(&[dim], vec![1.0; dim])),
    ]);
    for Attribute { name, .. } in &manifest.attributes {
        tensors.insert(format!("classifier.{name}.weight"), identity());
        tensors.insert(format!("classifier.{name}.bias"), weights(&[dim], vec![0.0; dim]));
    }
    let backbone = Some(manifest.backbone.clone().unwrap_or_else(|| "tests/1".to_owned()));
    head(&Bundle {
        manifest: Manifest { kind: HeadKind::Network, hidden: dim, backbone, ..manifest },
        tensors,
        graph: None,
    })
}

/// The head of a bundle.
pub(crate) fn head(bundle: &Bundle) -> Arc<Head> {
    let bytes = bundle.to_bytes().expect("written");
    Arc::new(Head::reading(&Bundle::parse(&bytes).expect("read"), Bundle::id(&bytes), INPUTS).expect("sound"))
}

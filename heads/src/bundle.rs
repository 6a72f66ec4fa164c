//! One file that holds a head: safetensors, with the manifest and a content hash in its metadata; docs/bundle.md has the
//! format for those who write bundles without this code.
//!
//! | metadata key | value |
//! |---|---|
//! | `lapel.manifest` | the [`Manifest`] as JSON |
//! | `lapel.content_sha256` | SHA-256 over the manifest's bytes and every tensor's name, type, shape and bytes, by name |

use crate::graph::GraphError;
use crate::hash::sha256_hex;
use crate::manifest::Manifest;
use data_encoding::HEXLOWER;
use half::f16;
use safetensors::tensor::{Dtype, SafeTensors, TensorView, View};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

const MANIFEST_KEY: &str = "lapel.manifest";
const HASH_KEY: &str = "lapel.content_sha256";
/// The tensor whose bytes are an ONNX file.
pub(crate) const GRAPH: &str = "graph";
/// Where the metadata's JSON object lies in a file: behind the header's length and the name of its first entry.
const METADATA_AT: usize = size_of::<u64>() + r#"{"__metadata__":"#.len();

/// Why bytes are no sound bundle.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// Not safetensors, or cut short.
    #[error("the bundle is not a sound safetensors file: {reason}")]
    Damaged {
        /// The parser's words.
        reason: String,
    },
    /// A metadata entry is missing.
    #[error("the bundle's metadata lacks {key}; docs/bundle.md has the format")]
    NoMetadata {
        /// The key.
        key: &'static str,
    },
    /// The manifest is no JSON of the known shape.
    #[error("the bundle's manifest cannot be read: {reason}")]
    Manifest {
        /// The parser's words.
        reason: String,
    },
    /// The manifest contradicts itself or a bound.
    #[error("the bundle's manifest is unsound: {}", faults.join("; "))]
    Unsound {
        /// Every fault.
        faults: Vec<String>,
    },
    /// The content does not match its own hash.
    #[error(
        "the bundle's content has hash {found}, its metadata says {stated}: it was changed after it was written"
    )]
    ContentHash {
        /// Hash of the content.
        found: String,
        /// Hash in the metadata.
        stated: String,
    },
    /// It reads what the backbone does not give.
    #[error("the head cannot read this backbone: {fault}")]
    Inputs {
        /// What is amiss.
        fault: String,
    },
    /// Trained on another backbone.
    #[error(
        "{}; this server has {found}: train it on that one (`lapel-train train --backbone FILE`), or change the server's \
         (`lapel generations build`)",
        trained_on(.wanted)
    )]
    Backbone {
        /// The bundle's; empty where it names none.
        wanted: String,
        /// The server's.
        found: String,
    },
    /// A tensor is missing.
    #[error("the bundle lacks the tensor {name} of shape {shape:?}")]
    MissingTensor {
        /// Its name.
        name: String,
        /// The shape it should have.
        shape: Vec<usize>,
    },
    /// A tensor that no head has.
    #[error("the bundle has a tensor {name} that its manifest does not account for")]
    UnknownTensor {
        /// Its name.
        name: String,
    },
    /// A tensor of another shape.
    #[error("the tensor {name} has shape {found:?}; the manifest and the backbone ask for {wanted:?}")]
    Shape {
        /// Its name.
        name: String,
        /// Shape in the file.
        found: Vec<usize>,
        /// Shape wanted.
        wanted: Vec<usize>,
    },
    /// A tensor of an unsupported type.
    #[error("the tensor {name} has type {found}; F32 and F16 are read, and U8 of the tensor {GRAPH}")]
    Dtype {
        /// Its name.
        name: String,
        /// Type in the file.
        found: String,
    },
    /// NaN or infinite weights, also once they are multiplied by the manifest's scale and added up.
    #[error("the tensor {name} holds a number that is not finite, or too large for the manifest's scale")]
    NotFinite {
        /// Its name.
        name: String,
    },
    /// The ONNX graph in it cannot be the head's layers.
    #[error("the head's ONNX graph cannot be used: {0}")]
    Graph(#[from] GraphError),
    /// A probe image gave no signature, or a probe signature no probabilities.
    #[error("the head gives no finite signature for a probe image, or no finite probabilities")]
    Probe,
}

fn trained_on(backbone: &str) -> String {
    match backbone {
        "" => "the head names no backbone that it was trained on".to_owned(),
        backbone => format!("the head was trained on backbone {backbone}"),
    }
}

/// A tensor as f32, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its numbers.
    pub data: Vec<f32>,
}

/// A parsed bundle; its content hash has been verified and every number is finite.
#[derive(Clone, Debug, PartialEq)]
pub struct Bundle {
    /// The manifest, free of faults.
    pub manifest: Manifest,
    /// The tensors by name.
    pub tensors: BTreeMap<String, Weights>,
    /// The ONNX file in the tensor `graph`, not yet read; it is there where [`Manifest::graph`] says so.
    pub graph: Option<Vec<u8>>,
}

impl Bundle {
    /// Parses and verifies a bundle's bytes.
    ///
    /// # Errors
    /// [`BundleError`], one variant a cause.
    pub fn parse(bytes: &[u8]) -> Result<Self, BundleError> {
        let damaged = |e: safetensors::SafeTensorError| BundleError::Damaged { reason: e.to_string() };
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(damaged)?;
        let entry = |key: &'static str| {
            let found = metadata.metadata().as_ref().and_then(|m| m.get(key));
            found.ok_or(BundleError::NoMetadata { key })
        };
        let (json, stated) = (entry(MANIFEST_KEY)?, entry(HASH_KEY)?);
        let file = SafeTensors::deserialize(bytes).map_err(damaged)?;
        let views: BTreeMap<String, TensorView<'_>> = file.tensors().into_iter().collect();
        let found =
            content_hash(json, views.iter().map(|(n, v)| (n.as_str(), v.dtype(), v.shape(), v.data())));
        if &found != stated {
            return Err(BundleError::ContentHash { found, stated: stated.clone() });
        }
        let manifest: Manifest =
            serde_json::from_str(json).map_err(|e| BundleError::Manifest { reason: e.to_string() })?;
        let faults = manifest.faults();
        if !faults.is_empty() {
            return Err(BundleError::Unsound { faults });
        }
        let graph = views.get(GRAPH).filter(|view| view.dtype() == Dtype::U8);
        let graph = graph.map(graph_bytes).transpose()?;
        let numbers = views.iter().filter(|(name, _)| graph.is_none() || *name != GRAPH);
        let tensors = numbers.map(|(name, view)| Ok((name.clone(), weights(name, view)?)));
        Ok(Self { manifest, tensors: tensors.collect::<Result<_, BundleError>>()?, graph })
    }

    /// The bundle as a file: fc6 in f16, everything else in f32. The same bundle gives the same bytes.
    ///
    /// # Errors
    /// [`BundleError::Damaged`] when the tensor library refuses a tensor.
    pub fn to_bytes(&self) -> Result<Vec<u8>, BundleError> {
        let damaged = |reason: String| BundleError::Damaged { reason };
        let json = serde_json::to_string(&self.manifest).map_err(|e| damaged(e.to_string()))?;
        let mut stored: BTreeMap<&str, Stored> =
            self.tensors.iter().map(|(n, w)| (n.as_str(), Stored::new(n, w))).collect();
        if let Some(bytes) = &self.graph {
            stored.insert(GRAPH, Stored { dtype: Dtype::U8, shape: vec![bytes.len()], bytes: bytes.clone() });
        }
        let hash = content_hash(
            &json,
            stored.iter().map(|(n, s)| (*n, s.dtype, s.shape.as_slice(), s.bytes.as_slice())),
        );
        let metadata = BTreeMap::from([(MANIFEST_KEY.to_owned(), json), (HASH_KEY.to_owned(), hash)]);
        let in_order = serde_json::to_string(&metadata).map_err(|e| damaged(e.to_string()))?;
        let unordered: HashMap<String, String> = metadata.into_iter().collect();
        let mut bytes =
            safetensors::serialize(stored, Some(unordered)).map_err(|e| damaged(e.to_string()))?;
        // The library writes the entries in the order of a hash map, another one each time.
        if let Some(metadata) = bytes.get_mut(METADATA_AT..).and_then(|rest| rest.get_mut(..in_order.len())) {
            metadata.copy_from_slice(in_order.as_bytes());
        }
        Ok(bytes)
    }

    /// The identity of a bundle file: the SHA-256 of all its bytes.
    #[must_use]
    pub fn id(bytes: &[u8]) -> String {
        sha256_hex(bytes)
    }
}

fn content_hash<'a>(
    json: &str,
    tensors: impl Iterator<Item = (&'a str, Dtype, &'a [usize], &'a [u8])>,
) -> String {
    let mut hash = Sha256::new();
    hash.update(json.as_bytes());
    for (name, dtype, shape, data) in tensors {
        hash.update(format!("\0{name}\0{dtype:?}\0{shape:?}\0").as_bytes());
        hash.update(data);
    }
    HEXLOWER.encode(&hash.finalize())
}

pub(crate) fn weights(name: &str, view: &TensorView<'_>) -> Result<Weights, BundleError> {
    let data: Vec<f32> = match view.dtype() {
        Dtype::F32 => view.data().as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
        Dtype::F16 => view.data().as_chunks().0.iter().map(|b| f16::from_le_bytes(*b).to_f32()).collect(),
        other => return Err(BundleError::Dtype { name: name.into(), found: format!("{other:?}") }),
    };
    if data.iter().any(|v| !v.is_finite()) {
        return Err(BundleError::NotFinite { name: name.into() });
    }
    Ok(Weights { shape: view.shape().to_vec(), data })
}

fn graph_bytes(view: &TensorView<'_>) -> Result<Vec<u8>, BundleError> {
    let (found, wanted) = (view.shape().to_vec(), vec![view.data().len()]);
    if found != wanted {
        return Err(BundleError::Shape { name: GRAPH.to_owned(), found, wanted });
    }
    Ok(view.data().to_vec())
}

/// A tensor in the file's own encoding.
struct Stored {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Stored {
    fn new(name: &str, weights: &Weights) -> Self {
        let shape = weights.shape.clone();
        if name == "fc6.weight" {
            let bytes = weights.data.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect();
            return Self { dtype: Dtype::F16, shape, bytes };
        }
        Self { dtype: Dtype::F32, shape, bytes: weights.data.iter().flat_map(|v| v.to_le_bytes()).collect() }
    }
}

impl View for Stored {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        (&self.bytes).into()
    }

    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Attribute;
    use proptest::prelude::*;

    fn external() -> Bundle {
        Bundle {
            manifest: Manifest {
                prototype_counts: BTreeMap::from([("style".into(), vec![3])]),
                ..Manifest::external(
                    "style",
                    2,
                    vec![Attribute { name: "style".into(), labels: vec!["boho".into()] }],
                )
            },
            tensors: BTreeMap::from([(
                "prototypes.style".into(),
                Weights { shape: vec![1, 2], data: vec![0.6, 0.8] },
            )]),
            graph: None,
        }
    }

    #[test]
    fn a_bundle_survives_the_round_trip() {
        let bytes = external().to_bytes().expect("written");
        assert_eq!(Bundle::parse(&bytes).expect("read"), external());
    }

    #[test]
    fn a_graph_is_bytes_and_is_part_of_the_content() {
        let with = Bundle { graph: Some(vec![8, 9, 255]), ..external() };
        let mut bytes = with.to_bytes().expect("written");
        assert_eq!(Bundle::parse(&bytes).expect("read"), with);
        let at = bytes.windows(3).position(|three| three == [8, 9, 255]).expect("the graph's bytes");
        bytes[at] = 7;
        assert!(matches!(Bundle::parse(&bytes), Err(BundleError::ContentHash { .. })));
        let mut numbers = external();
        numbers.tensors.insert(GRAPH.into(), Weights { shape: vec![1], data: vec![1.0] });
        let read = Bundle::parse(&numbers.to_bytes().expect("written")).expect("read");
        assert!(read.graph.is_none(), "numbers are no graph");
    }

    #[test]
    fn the_same_bundle_gives_the_same_bytes() {
        let bytes = external().to_bytes().expect("written");
        assert!((0..20).all(|_| external().to_bytes().expect("written") == bytes));
    }

    #[test]
    fn changed_content_and_bad_numbers_are_found() {
        let mut bytes = external().to_bytes().expect("written");
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        assert!(matches!(Bundle::parse(&bytes), Err(BundleError::ContentHash { .. })));
        assert!(matches!(Bundle::parse(&bytes[..last]), Err(BundleError::Damaged { .. })));
        let mut nan = external();
        nan.tensors.values_mut().for_each(|w| w.data[0] = f32::NAN);
        let bytes = nan.to_bytes().expect("written");
        assert!(matches!(Bundle::parse(&bytes), Err(BundleError::NotFinite { .. })));
    }

    proptest! {
        #[test]
        fn any_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Bundle::parse(&bytes);
        }

        #[test]
        fn any_flipped_byte_is_refused_or_harmless(at in 0usize..10_000, bit in 0u8..8) {
            let mut bytes = external().to_bytes().expect("written");
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            if let Ok(bundle) = Bundle::parse(&bytes) {
                prop_assert_eq!(bundle, external());
            }
        }
    }
}

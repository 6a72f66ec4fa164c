//! How the numbers that a backbone gives for a photo are arranged.

use crate::manifest::Manifest;
use crate::roi::pooled_len;
use std::ops::Range;
use std::sync::Arc;

/// Shape of a feature map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapShape {
    /// Channels.
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

/// One of the vectors of a photo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The name by which heads ask for it, e.g. `upper`.
    pub name: String,
    /// Its numbers.
    pub len: usize,
}

/// What a backbone gives for a photo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeatureLayout {
    /// One map, flat, `[channels, height, width]`; heads pool regions of it.
    Map(MapShape),
    /// Vectors, one after the other; heads read some of them, by name.
    Vectors(Arc<[Source]>),
}

impl FeatureLayout {
    /// Numbers of one photo.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Map(MapShape { channels, height, width }) => channels * height * width,
            Self::Vectors(sources) => sources.iter().map(|source| source.len).sum(),
        }
    }

    /// Whether a photo has no numbers at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The shape of the map, where there is one.
    #[must_use]
    pub fn map_shape(&self) -> Option<MapShape> {
        match self {
            Self::Map(shape) => Some(*shape),
            Self::Vectors(_) => None,
        }
    }

    /// Where the vector of a name lies.
    #[must_use]
    pub fn source(&self, name: &str) -> Option<Range<usize>> {
        let Self::Vectors(sources) = self else { return None };
        let at = sources.iter().position(|source| source.name == name)?;
        let first = sources[..at].iter().map(|source| source.len).sum();
        Some(first..first + sources[at].len)
    }

    /// Numbers that a head with this manifest reads.
    ///
    /// # Errors
    /// A fault in words: a head of regions on vectors, a head of vectors on a map, or a vector that there is not.
    pub fn inputs_of(&self, manifest: &Manifest) -> Result<usize, String> {
        match self {
            Self::Map(shape) if manifest.inputs.is_empty() => Ok(pooled_len(*shape) * manifest.parts()),
            Self::Map(_) => Err(format!(
                "inputs names {}; this backbone gives one map, of which heads read a region",
                manifest.inputs.join(", ")
            )),
            Self::Vectors(sources) => {
                let known = || sources.iter().map(|s| s.name.as_str()).collect::<Vec<_>>().join(", ");
                if manifest.inputs.is_empty() {
                    return Err(format!("inputs is empty; this backbone gives the vectors {}", known()));
                }
                let len = |name: &String| {
                    let range = self.source(name);
                    let range = range.ok_or_else(|| format!("inputs names {name}; there are {}", known()))?;
                    Ok(range.len())
                };
                manifest.inputs.iter().map(len).sum()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_are_found_by_name() {
        let source = |name: &str, len| Source { name: name.into(), len };
        let layout = FeatureLayout::Vectors(Arc::from([source("garment", 5), source("colour", 3)]));
        assert_eq!((layout.len(), layout.source("colour"), layout.source("upper")), (8, Some(5..8), None));
        let manifest = |inputs: &[&str]| Manifest {
            inputs: inputs.iter().map(|&i| i.to_owned()).collect(),
            ..Manifest::external("style", 2, Vec::new())
        };
        assert_eq!(layout.inputs_of(&manifest(&["colour", "garment"])), Ok(8));
        assert!(layout.inputs_of(&manifest(&["upper"])).is_err_and(|e| e.contains("garment, colour")));
        assert!(layout.inputs_of(&manifest(&[])).is_err());
        let map = FeatureLayout::Map(MapShape { channels: 2, height: 3, width: 3 });
        assert_eq!(map.inputs_of(&manifest(&[])), Ok(2));
        assert!(map.inputs_of(&manifest(&["colour"])).is_err());
    }
}

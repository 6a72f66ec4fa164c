//! Tensors in an ONNX file: weights, and the whole numbers that shapes and axes are made of.

use super::GraphError;
use super::error::shown;
use super::model::set;
use super::operator::FLOAT;
use super::wire::fields;

/// Whole numbers of a constant or of an attribute: shapes, axes and bounds of slices.
pub(super) const INTS_MAX: usize = 64;
/// Axes of a tensor.
pub(super) const RANK_MAX: usize = 6;
/// ONNX's number of the type of whole numbers of 64 bits.
pub(super) const INT64: i64 = 7;

/// A tensor in the file.
pub(super) struct Constant<'a> {
    pub(super) name: &'a str,
    pub(super) shape: Vec<usize>,
    pub(super) numbers: Numbers,
}

/// A tensor's numbers.
pub(super) enum Numbers {
    /// Finite.
    Floats(Vec<f32>),
    /// In one row.
    Ints(Vec<i64>),
}

impl<'a> Constant<'a> {
    /// Reads a tensor; `named`: of an attribute, which has the name.
    pub(super) fn read(bytes: &'a [u8], named: Option<&'a str>) -> Result<Self, GraphError> {
        let (mut name, mut element, mut raw) = ("", 0, None);
        let (mut dims, mut floats, mut ints) = (Vec::new(), Vec::new(), Vec::new());
        for field in fields(bytes) {
            let field = field?;
            match field.number {
                1 => field.ints(&mut dims, RANK_MAX)?,
                2 => element = field.int()?,
                4 => field.floats(&mut floats)?,
                7 => field.ints(&mut ints, INTS_MAX)?,
                8 => name = field.text()?,
                9 => set(&mut raw, field.bytes()?)?,
                12 | 16 => {}
                // In this file, which is the default.
                14 if field.int()? == 0 => {}
                number => return Err(GraphError::Field { place: "tensor", field: number }),
            }
        }
        let name = named.unwrap_or(name);
        let faulty = |fault: String| GraphError::Constant { name: shown(name), fault };
        let raw = raw.unwrap_or_default();
        let numbers = match element {
            FLOAT => {
                floats.extend(raw.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)));
                Numbers::Floats(floats)
            }
            INT64 => {
                ints.extend(
                    raw.as_chunks().0.iter().take(INTS_MAX + 1).map(|bytes| i64::from_le_bytes(*bytes)),
                );
                Numbers::Ints(ints)
            }
            other => {
                return Err(faulty(format!(
                    "its type is ONNX's number {other}; {FLOAT} (f32) and, for shapes and axes, {INT64} (i64) are read"
                )));
            }
        };
        let shape = dims.iter().map(|dim| usize::try_from(*dim)).collect::<Result<Vec<_>, _>>();
        let shape = shape.map_err(|_| faulty(format!("its shape {dims:?} is none")))?;
        Self { name, shape, numbers }.checked()
    }

    /// The constant, if it has as many numbers as its shape says, at least one, and all of them finite.
    pub(super) fn checked(self) -> Result<Self, GraphError> {
        let faulty = |fault: String| Err(GraphError::Constant { name: shown(self.name), fault });
        let Self { shape, numbers, .. } = &self;
        let count = match numbers {
            Numbers::Floats(floats) => floats.len(),
            Numbers::Ints(ints) => ints.len(),
        };
        let wanted = shape.iter().try_fold(1usize, |count, side| count.checked_mul(*side));
        if wanted != Some(count) || count == 0 {
            return faulty(format!("it has {count} numbers; its shape {shape:?} has others, or none"));
        }
        match numbers {
            Numbers::Floats(floats) if !floats.iter().all(|value| value.is_finite()) => {
                faulty("it holds a number that is not finite".to_owned())
            }
            Numbers::Ints(ints) if shape.len() > 1 || ints.len() > INTS_MAX => faulty(format!(
                "it has whole numbers in shape {shape:?}; up to {INTS_MAX} in one row are read"
            )),
            Numbers::Floats(_) | Numbers::Ints(_) => Ok(self),
        }
    }
}

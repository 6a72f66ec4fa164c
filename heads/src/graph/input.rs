//! Inputs and outputs as an ONNX file declares them.

use super::GraphError;
use super::constant::RANK_MAX;
use super::error::shown;
use super::model::push;
use super::operator::FLOAT;
use super::wire::{Field, fields};

/// An input as the file declares it.
pub(super) struct Input<'a> {
    pub(super) name: &'a str,
    /// ONNX's number of its type.
    element: i64,
    /// Its axes; one whose length is not fixed is `None`.
    axes: Vec<Option<i64>>,
}

impl<'a> Input<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, GraphError> {
        let (mut name, mut element, mut shape): (_, _, &[u8]) = ("", 0, &[]);
        for field in fields(bytes) {
            let field = field?;
            match field.number {
                1 => name = field.text()?,
                2 => {
                    for field in fields(field.bytes()?) {
                        let field = field?;
                        match field.number {
                            1 => (element, shape) = tensor_type(field.bytes()?)?,
                            6 => {}
                            number => return Err(GraphError::Field { place: "type", field: number }),
                        }
                    }
                }
                3 | 4 => {}
                number => return Err(GraphError::Field { place: "input", field: number }),
            }
        }
        let mut axes = Vec::new();
        for field in fields(shape) {
            push(&mut axes, axis(&field?)?, "axes of an input", RANK_MAX)?;
        }
        Ok(Self { name, element, axes })
    }

    /// Whether it can be `[1, inputs]`, and what is wrong otherwise.
    pub(super) fn check(&self, inputs: usize) -> Result<(), GraphError> {
        let is_free = |axis: &Option<i64>, wanted: usize| {
            axis.is_none_or(|length| usize::try_from(length).is_ok_and(|length| length == wanted))
        };
        match self.axes.as_slice() {
            [batch, numbers] if self.element == FLOAT && is_free(batch, 1) && is_free(numbers, inputs) => {
                Ok(())
            }
            axes => {
                let axes: Vec<String> = axes
                    .iter()
                    .map(|axis| axis.map_or_else(|| "N".to_owned(), |axis| axis.to_string()))
                    .collect();
                let (name, axes) = (shown(self.name), axes.join(", "));
                let fault = format!(
                    "its input {name} is [{axes}] of ONNX's type {}; wanted is [N, {inputs}] of {FLOAT} (f32)",
                    self.element
                );
                Err(GraphError::Interface { fault })
            }
        }
    }
}

/// A tensor's type: ONNX's number of its numbers' type, and the message that has its shape.
fn tensor_type(bytes: &[u8]) -> Result<(i64, &[u8]), GraphError> {
    let (mut element, mut shape): (_, &[u8]) = (0, &[]);
    for field in fields(bytes) {
        let field = field?;
        match field.number {
            1 => element = field.int()?,
            2 => shape = field.bytes()?,
            number => return Err(GraphError::Field { place: "tensor's type", field: number }),
        }
    }
    Ok((element, shape))
}

/// The length of an axis, where it is fixed.
fn axis(field: &Field<'_>) -> Result<Option<i64>, GraphError> {
    if field.number != 1 {
        return Err(GraphError::Field { place: "shape", field: field.number });
    }
    let mut length = None;
    for field in fields(field.bytes()?) {
        let field = field?;
        match field.number {
            1 => length = Some(field.int()?),
            2 | 3 => {}
            number => return Err(GraphError::Field { place: "axis", field: number }),
        }
    }
    Ok(length)
}

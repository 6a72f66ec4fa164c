//! Fields of protobuf messages, read where they lie: nothing is allocated for what nobody asks for.

use super::GraphError;

/// What a field holds, by the encoding.
enum Value<'a> {
    Varint(u64),
    Fixed32(u32),
    /// Of doubles alone, which are not read.
    Fixed64,
    Bytes(&'a [u8]),
}

/// A field of a message.
pub(super) struct Field<'a> {
    /// Its number in the message's definition.
    pub(super) number: u32,
    value: Value<'a>,
}

const ENCODING: GraphError =
    GraphError::Damaged { reason: "a field is of another type than its number says" };

/// The fields of a message, in their order; after the first error there are no more.
pub(super) fn fields(mut bytes: &[u8]) -> impl Iterator<Item = Result<Field<'_>, GraphError>> {
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let field = take_field(&mut bytes);
        if field.is_none() {
            bytes = &[];
        }
        Some(field.ok_or(GraphError::Damaged { reason: "it is cut short, or no protobuf" }))
    })
}

impl<'a> Field<'a> {
    /// Bytes, or an inner message.
    pub(super) fn bytes(&self) -> Result<&'a [u8], GraphError> {
        match self.value {
            Value::Bytes(bytes) => Ok(bytes),
            Value::Varint(_) | Value::Fixed32(_) | Value::Fixed64 => Err(ENCODING),
        }
    }

    /// A text.
    pub(super) fn text(&self) -> Result<&'a str, GraphError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| GraphError::Damaged { reason: "a text is no UTF-8" })
    }

    /// A whole number.
    pub(super) fn int(&self) -> Result<i64, GraphError> {
        match self.value {
            Value::Varint(value) => Ok(value.cast_signed()),
            Value::Bytes(_) | Value::Fixed32(_) | Value::Fixed64 => Err(ENCODING),
        }
    }

    /// A number of single precision.
    pub(super) fn float(&self) -> Result<f32, GraphError> {
        match self.value {
            Value::Fixed32(bits) => Ok(f32::from_bits(bits)),
            Value::Bytes(_) | Value::Varint(_) | Value::Fixed64 => Err(ENCODING),
        }
    }

    /// Adds the whole numbers of a repeated field, packed or one by one, to those before; `most` of them.
    pub(super) fn ints(&self, all: &mut Vec<i64>, most: usize) -> Result<(), GraphError> {
        let mut add = |value: u64| {
            all.push(value.cast_signed());
            let (found, most) = (all.len() as u64, most as u64);
            if found > most {
                return Err(GraphError::Bound { what: "whole numbers in one place", found, most });
            }
            Ok(())
        };
        match self.value {
            Value::Varint(value) => add(value),
            Value::Bytes(mut packed) => {
                while !packed.is_empty() {
                    add(take_varint(&mut packed).ok_or(ENCODING)?)?;
                }
                Ok(())
            }
            Value::Fixed32(_) | Value::Fixed64 => Err(ENCODING),
        }
    }

    /// Adds the numbers of a repeated field, packed or one by one, to those before.
    pub(super) fn floats(&self, all: &mut Vec<f32>) -> Result<(), GraphError> {
        match self.value {
            Value::Fixed32(bits) => all.push(f32::from_bits(bits)),
            Value::Bytes(packed) => {
                let (numbers, rest) = packed.as_chunks();
                if !rest.is_empty() {
                    return Err(ENCODING);
                }
                all.extend(numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)));
            }
            Value::Varint(_) | Value::Fixed64 => return Err(ENCODING),
        }
        Ok(())
    }
}

fn take_field<'a>(bytes: &mut &'a [u8]) -> Option<Field<'a>> {
    let key = take_varint(bytes)?;
    let number = u32::try_from(key >> 3).ok().filter(|number| *number > 0)?;
    let value = match key & 7 {
        0 => Value::Varint(take_varint(bytes)?),
        1 => {
            take(bytes, 8)?;
            Value::Fixed64
        }
        2 => {
            let len = usize::try_from(take_varint(bytes)?).ok()?;
            Value::Bytes(take(bytes, len)?)
        }
        5 => Value::Fixed32(u32::from_le_bytes(take(bytes, 4)?.try_into().ok()?)),
        _ => return None,
    };
    Some(Field { number, value })
}

fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(taken)
}

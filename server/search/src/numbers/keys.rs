//! Keys of values: 64 bits that are ordered as the values of one kind.

use lapel_values::{FieldKind, FieldValue, Finite};

/// The sign bit of 64-bit numbers.
const SIGN: u64 = 1 << 63;

/// The key of a value; `None` of a kind that has no order.
pub(crate) fn key(value: &FieldValue) -> Option<u64> {
    match value {
        FieldValue::Integer(number) | FieldValue::Timestamp(number) => Some(number.cast_unsigned() ^ SIGN),
        FieldValue::Number(number) => {
            let bits = number.get().to_bits();
            // Negative numbers are ordered against their bits.
            Some(if bits & SIGN == 0 { bits | SIGN } else { !bits })
        }
        FieldValue::Keyword(_) | FieldValue::Keywords(_) | FieldValue::Boolean(_) => None,
    }
}

/// The value of a key.
pub(crate) fn value(kind: FieldKind, key: u64) -> Option<FieldValue> {
    match kind {
        FieldKind::Integer => Some(FieldValue::Integer((key ^ SIGN).cast_signed())),
        FieldKind::Timestamp => Some(FieldValue::Timestamp((key ^ SIGN).cast_signed())),
        FieldKind::Number => {
            let bits = if key & SIGN == 0 { !key } else { key ^ SIGN };
            Finite::new(f64::from_bits(bits)).map(FieldValue::Number)
        }
        FieldKind::Keyword | FieldKind::Keywords | FieldKind::Boolean => None,
    }
}

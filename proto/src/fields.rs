//! How many fields the bytes of a message hold, counted before anything is decoded.
//!
//! An empty message takes two bytes of the one that it is repeated in, and about 430 once it is decoded: 11 MB of
//! empty searches in a batch would be 2.4 GB. What has a length on the wire (texts, bytes, messages, entries of maps) is
//! therefore counted first. Numbers take no more room decoded than a few times their bytes, and unknown fields none.

use crate::FILE_DESCRIPTOR_SET;
use prost::Message;
use prost_types::field_descriptor_proto::Type;
use prost_types::{DescriptorProto, FileDescriptorSet};
use std::collections::HashMap;
use std::sync::LazyLock;

/// The fields with a length that a request may have in all, at any depth: 10,000 ids to delete, or 100 searches with 160
/// names each. Decoded, so many take 7 MiB at the most beside their own bytes.
pub const FIELDS_MAX: usize = 16_384;

/// Groups in groups that prost reads before it gives up.
const GROUPS_MAX: usize = 100;

/// The known fields with a length in the bytes of a message, at any depth; those of a message type that is not known here
/// are not counted. Counting ends behind [`FIELDS_MAX`], and where the bytes are no message: prost, which reads them in
/// the same order, ends there too.
#[must_use]
pub fn fields_of(message: &str, bytes: &[u8]) -> usize {
    let Some(message) = SCHEMA.names.get(message) else { return 0 };
    let mut count = 0;
    // Ends when the bytes do, or with the first that are not sound.
    let _ = count_into(&mut count, *message, &mut Reader { bytes, at: 0 });
    count
}

/// `None` where the bytes are not sound, or there are enough of them.
fn count_into(count: &mut usize, message: usize, reader: &mut Reader<'_>) -> Option<()> {
    // The messages that are being read, each with the place of its end.
    let mut open = vec![(message, reader.bytes.len())];
    while let Some((message, end)) = open.last().copied() {
        if reader.at >= end {
            // A length that leads beyond the message around it is told by prost once it has read so far.
            (reader.at == end).then_some(())?;
            open.pop();
            continue;
        }
        let (number, wire) = reader.key()?;
        let field = SCHEMA.messages[message].get(&number);
        // Also where its value is written otherwise: prost makes an empty message before it refuses that.
        *count += usize::from(field.is_some());
        if *count > FIELDS_MAX {
            return None;
        }
        match (wire, field) {
            (2, field) => {
                let end = reader.end()?;
                match field {
                    Some(Some(inner)) => open.push((*inner, end)),
                    Some(None) | None => reader.at = end,
                }
            }
            (_, Some(_)) => return None,
            // No field here is a group; unknown ones are passed over.
            (3, None) => reader.skip_group(number)?,
            (wire, None) => reader.skip(wire)?,
        }
    }
    Some(())
}

/// Reads as prost does: what is there is bounded by all bytes, not by the message around.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    /// A field's number and how its value is written.
    fn key(&mut self) -> Option<(u64, u64)> {
        let key = self.varint()?;
        Some((key >> 3, key & 7))
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = *self.bytes.get(self.at)?;
            self.at += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    /// Where the value with a length that begins here ends.
    fn end(&mut self) -> Option<usize> {
        let len = usize::try_from(self.varint()?).ok()?;
        self.at.checked_add(len).filter(|end| *end <= self.bytes.len())
    }

    /// Passes over a value that is neither a group nor looked into.
    fn skip(&mut self, wire: u64) -> Option<()> {
        let end = match wire {
            0 => {
                self.varint()?;
                self.at
            }
            1 => self.at + 8,
            2 => self.end()?,
            5 => self.at + 4,
            _ => return None,
        };
        self.at = end;
        (end <= self.bytes.len()).then_some(())
    }

    /// Passes over a group that has begun.
    fn skip_group(&mut self, number: u64) -> Option<()> {
        let mut open = vec![number];
        while let Some(innermost) = open.last().copied() {
            match self.key()? {
                (number, 3) if open.len() < GROUPS_MAX => open.push(number),
                (number, 4) if number == innermost => {
                    open.pop();
                }
                (_, wire) => self.skip(wire)?,
            }
        }
        Some(())
    }
}

/// The fields of a message with a length, by number: the place of the message that one is, or `None` for texts and bytes.
type Fields = HashMap<u64, Option<usize>>;

struct Schema {
    /// Places of messages, by name, e.g. `lapel.v1.SearchRequest`.
    names: HashMap<String, usize>,
    messages: Vec<Fields>,
}

static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
    // The build wrote them; were they not sound, nothing would be counted, and a test would tell.
    let files = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap_or_default();
    let mut found = Vec::new();
    for file in &files.file {
        file.message_type.iter().for_each(|message| collect(file.package(), message, &mut found));
    }
    let names: HashMap<String, usize> =
        found.iter().enumerate().map(|(at, (name, _))| (name.clone(), at)).collect();
    let messages = found.iter().map(|(_, message)| with_length(message, &names)).collect();
    Schema { names, messages }
});

/// A message and those that are declared in it, under their full names.
fn collect<'a>(parent: &str, message: &'a DescriptorProto, found: &mut Vec<(String, &'a DescriptorProto)>) {
    let name = format!("{parent}.{}", message.name());
    message.nested_type.iter().for_each(|nested| collect(&name, nested, found));
    found.push((name, message));
}

fn with_length(message: &DescriptorProto, names: &HashMap<String, usize>) -> Fields {
    let fields = message.field.iter().filter_map(|field| {
        let inner = match field.r#type() {
            Type::Message => names.get(field.type_name().trim_start_matches('.')).copied(),
            Type::String | Type::Bytes => None,
            _ => return None,
        };
        Some((u64::try_from(field.number()).ok()?, inner))
    });
    fields.collect()
}

#[cfg(test)]
mod tests;

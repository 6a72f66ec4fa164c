//! The text of a table, from the bytes that spreadsheets write.

use crate::TableFault;

const UTF8_MARK: &[u8] = b"\xef\xbb\xbf";

/// The text without its byte order mark, and the separator that a first line `sep=;` names. That line is left empty, so
/// that lines keep their numbers.
pub(crate) fn decode(bytes: &[u8]) -> Result<(String, Option<u8>), TableFault> {
    let mut text = match bytes {
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes)?,
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes)?,
        _ => utf8(bytes.strip_prefix(UTF8_MARK).unwrap_or(bytes))?,
    };
    let first = text.lines().next().unwrap_or("");
    let Some(separator) = named_separator(first) else { return Ok((text, None)) };
    text.replace_range(..first.len(), "");
    Ok((text, Some(separator)))
}

/// The separator that a line `sep=;` names: in any case, in quotes, a tab as itself or as `\t`, and with the separators behind
/// it that programs write which take it for a short row.
fn named_separator(line: &str) -> Option<u8> {
    let line = line.trim_end_matches(' ');
    let cell = match line.strip_prefix('"') {
        Some(quoted) => {
            let (cell, rest) = quoted.split_once('"')?;
            rest.trim_matches([',', ';', '\t']).is_empty().then_some(cell)?
        }
        None => line,
    };
    let (key, value) = cell.split_at_checked("sep=".len())?;
    match value.as_bytes() {
        _ if !key.eq_ignore_ascii_case("sep=") => None,
        b"\\t" => Some(b'\t'),
        [separator, rest @ ..] if rest.iter().all(|byte| byte == separator || b",;\t".contains(byte)) => {
            Some(*separator)
        }
        _ => None,
    }
}

fn utf8(bytes: &[u8]) -> Result<String, TableFault> {
    let lines_of = |text: &[u8]| text.iter().filter(|byte| **byte == b'\n').count();
    let text = std::str::from_utf8(bytes);
    text.map(str::to_owned)
        .map_err(|error| TableFault::Encoding { line: 1 + lines_of(&bytes[..error.valid_up_to()]) })
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<String, TableFault> {
    let (pairs, rest) = bytes.as_chunks();
    let mut text = String::new();
    let letters = char::decode_utf16(pairs.iter().map(|pair| unit(*pair)));
    text.extend(letters.map_while(Result::ok));
    // Half a unit at the end is no letter either.
    let whole = text.encode_utf16().count() == pairs.len() && rest.is_empty();
    if whole { Ok(text) } else { Err(TableFault::Encoding { line: 1 + text.matches('\n').count() }) }
}

//! Pages: sizes within bounds, tokens that name the last key of the page before.

use crate::error::Error;

const PAGE_SIZE: u32 = 100;
const PAGE_SIZE_MAX: u32 = 1000;

/// The page size asked for, or the default.
pub(super) fn page_size(asked: u32) -> Result<usize, Error> {
    match asked {
        0 => Ok(PAGE_SIZE as usize),
        1..=PAGE_SIZE_MAX => Ok(asked as usize),
        _ => Err(Error::invalid("page_size", format!("{asked} is too many; up to {PAGE_SIZE_MAX} a page"))),
    }
}

/// Cuts `found`, which may hold one more than a page, to the page, and gives the next page's token.
pub(super) fn cut<T>(mut found: Vec<T>, size: usize, key: impl Fn(&T) -> String) -> (Vec<T>, String) {
    let more = found.len() > size;
    found.truncate(size);
    let token = if more { found.last().map(key).unwrap_or_default() } else { String::new() };
    (found, token)
}

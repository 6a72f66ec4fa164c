//! Pages: sizes within bounds, tokens that name the last key of the page before.

use crate::error::Error;
use prost::Message;

const PAGE_SIZE: u32 = 100;
const PAGE_SIZE_MAX: u32 = 1000;
/// Bytes of a page's messages: clients read answers of 4 MiB unless they are told otherwise.
pub(super) const PAGE_BYTES: usize = 3 << 20;

/// The page size asked for, or the default.
pub(super) fn page_size(asked: u32) -> Result<usize, Error> {
    match asked {
        0 => Ok(PAGE_SIZE as usize),
        1..=PAGE_SIZE_MAX => Ok(asked as usize),
        _ => Err(Error::invalid("page_size", format!("{asked} is too many; up to {PAGE_SIZE_MAX} a page"))),
    }
}

/// Cuts `found`, which may hold one more than a page, to the page, and gives the next page's token. What would make the
/// page larger than stock clients read comes with the next one.
pub(super) fn cut<M: Message>(
    mut found: Vec<M>,
    size: usize,
    key: impl Fn(&M) -> String,
) -> (Vec<M>, String) {
    let mut bytes = 0;
    let fits = |message: &&M| {
        bytes += message.encoded_len();
        bytes <= PAGE_BYTES
    };
    let fitting = found.iter().take(size).take_while(fits).count().max(1);
    let more = found.len() > fitting;
    found.truncate(fitting);
    let token = if more { found.last().map(key).unwrap_or_default() } else { String::new() };
    (found, token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_cut_by_number_and_by_bytes() {
        let cut_of = |found: Vec<String>, size| {
            let (page, token) = cut(found, size, Clone::clone);
            (page.len(), token)
        };
        let names = |count: usize| (0..count).map(|n| n.to_string()).collect::<Vec<_>>();
        assert_eq!(cut_of(names(0), 2), (0, String::new()));
        assert_eq!(cut_of(names(2), 2), (2, String::new()));
        assert_eq!(cut_of(names(3), 2), (2, "1".into()));
        let mib = |letter: char| letter.to_string().repeat(1 << 20);
        assert_eq!(cut_of("abcd".chars().map(mib).collect(), 10), (2, mib('b')));
        assert_eq!(cut_of(vec![mib('a').repeat(5), mib('b')], 10), (1, mib('a').repeat(5)), "one at least");
    }
}

//! Where what is stored of an item's pictures lies.
//!
//! An item's own key holds its first image and, in a head's table, the signature that it is found by: its only picture's,
//! or the mean of several. Further images, and the signatures of each picture where there are several, lie under keys made
//! of the id and the picture's number. An item with one picture has its own key alone.

/// Stands between an id and a picture's number; no id holds it.
const MARK: char = '\u{1f}';

/// Most pictures that an item can have.
pub const PICTURES_MAX: u32 = 8;

/// The key of a picture of an item, in the tables of images and signatures.
#[must_use]
pub fn picture_key(id: &str, number: u32) -> String {
    format!("{id}{MARK}{number}")
}

/// The id that a key of the table of signatures belongs to, and which picture of it: `None` for the item's own.
#[must_use]
pub fn of_key(key: &str) -> (&str, Option<u32>) {
    let picture = key.rsplit_once(MARK);
    picture.and_then(|(id, number)| Some((id, Some(number.parse().ok()?)))).unwrap_or((key, None))
}

/// Of so many pictures, how many have keys of their own for their signatures: all, or none of one alone.
pub(crate) fn keyed(pictures: u32) -> u32 {
    if pictures > 1 { pictures } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_tell_the_item_and_the_picture() {
        for id in ["a", "7", "a b", "ä\u{1e}"] {
            assert_eq!(of_key(id), (id, None));
            for number in [0, 7, 12] {
                let key = picture_key(id, number);
                assert_eq!(of_key(&key), (id, Some(number)));
                // Behind its item, and before every id that begins alike.
                assert!(*id < *key && *key < *format!("{id} "));
            }
        }
        assert_eq!(of_key("\u{1f}shop"), ("\u{1f}shop", None));
    }
}

//! The words, texts and signs of a filter.

use super::Fault;

/// Signs, longer ones before those that they begin with.
const SIGNS: [&str; 10] = ["!=", "<=", ">=", "=", "<", ">", "(", ")", ",", "@"];
/// Words that are part of the grammar where they are not in quotes.
const RESERVED: [&str; 6] = ["and", "or", "not", "in", "exists", "missing"];

/// A piece of a filter.
#[derive(Debug)]
pub(super) struct Token {
    /// Where it begins and ends, in bytes.
    pub(super) at: usize,
    pub(super) end: usize,
    pub(super) kind: TokenKind,
}

#[derive(Debug)]
pub(super) enum TokenKind {
    /// A name, a value or a reserved word.
    Word(String),
    /// What stands in quotes.
    Quoted(String),
    Sign(&'static str),
    End,
}

/// Whether a word is part of the grammar.
pub(super) fn is_reserved(word: &str) -> bool {
    RESERVED.iter().any(|reserved| word.eq_ignore_ascii_case(reserved))
}

/// Takes a filter apart. The last token is [`TokenKind::End`].
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, Fault> {
    let (mut found, mut at) = (Vec::new(), 0);
    while let Some(rest) = text.get(at..) {
        let Some(first) = rest.chars().next() else { break };
        if first.is_whitespace() {
            at += first.len_utf8();
            continue;
        }
        // `@acme` is a value.
        let is_at = |next: Option<char>| {
            next.is_none_or(|next| next.is_whitespace() || next.is_ascii_digit() || next == '.')
        };
        let is_sign = |sign: &&str| rest.starts_with(*sign) && (*sign != "@" || is_at(rest.chars().nth(1)));
        let (kind, len) = if let Some(sign) = SIGNS.into_iter().find(is_sign) {
            (TokenKind::Sign(sign), sign.len())
        } else if first == '"' || first == '\'' {
            let (quoted, len) = quoted(rest, first).map_err(|what| Fault { at, what })?;
            (TokenKind::Quoted(quoted), len)
        } else if first == '!' {
            return Err(Fault { at, what: "expected != behind this, or `not` in its place".to_owned() });
        } else {
            let len = rest.find(ends_word).unwrap_or(rest.len());
            (TokenKind::Word(rest[..len].to_owned()), len)
        };
        found.push(Token { at, end: at + len, kind });
        at += len;
    }
    found.push(Token { at: text.len(), end: text.len(), kind: TokenKind::End });
    Ok(found)
}

fn ends_word(letter: char) -> bool {
    letter.is_whitespace() || "()<>=!,\"'".contains(letter)
}

/// What stands in quotes at the beginning of a text, and its length with them.
fn quoted(text: &str, quote: char) -> Result<(String, usize), String> {
    let mut content = String::new();
    let mut letters = text.char_indices().skip(1);
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some((_, escaped)) if escaped == '\\' || escaped == '"' || escaped == '\'' => {
                    content.push(escaped);
                }
                Some(_) | None => {
                    return Err("a backslash in this text stands before neither a quote nor another \
                                              backslash; write two of them for one"
                        .to_owned());
                }
            },
            letter if letter == quote => return Ok((content, at + letter.len_utf8())),
            letter => content.push(letter),
        }
    }
    Err("this quote is never closed".to_owned())
}

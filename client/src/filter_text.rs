//! Filters as people write them, e.g. `in_stock = true and price < 50 and not (brand in ("acme", "x y")) and color = red`.
//!
//! ```text
//! filter    = all { "or" all }
//! all       = one { "and" one }
//! one       = "not" one | "(" filter ")" | ("exists" | "missing") NAME | condition
//! condition = NAME ("=" | "!=") VALUE                  any field or attribute
//!           | NAME ("<" | "<=" | ">" | ">=") VALUE     integers, numbers and timestamps
//!           | NAME ["not"] "in" "(" VALUE { "," VALUE } ")"
//!           | PREDICTED ("=" | "!=" | ["not"] "in") ... ["@" PROBABILITY]
//!           | "id" ("=" | "!=" | ["not"] "in") ...
//! ```
//!
//! A NAME is a field or else an attribute of stored labels; `field.NAME` and `label.NAME` say which. `id` is the item's id where
//! no field or attribute is called so, and `item.id` always. PREDICTED is
//! `predicted.NAME`: the label that the head of an attribute sees, where it is sure of it or else with at least the
//! PROBABILITY, as in `predicted.color in (red, blue) @ 0.8`. What holds spaces, signs or one of the words above stands in
//! single or double quotes, in which `\` stands before a quote or another `\`.
//! Values are read by their field's kind, timestamps as RFC 3339 or a date. As `not` does, `!=` and `not in` let items pass
//! that have no value; `and exists NAME` leaves them out.

mod known;
mod nodes;
mod token;

pub use known::{Known, Named};

use crate::fields::{is_ordered, kind_name};
use crate::v1;
use crate::v1::filter::Node;
use known::{FIELD, LABEL, PREDICTED};
use nodes::{among, existence, joined, negated, range, typed};
use std::fmt;
use token::{Token, TokenKind, is_reserved, tokens};

/// Parentheses and `not`s within one another, so that reading ends. The server bounds the tree by itself.
const DEPTH_MAX: usize = 16;

/// Why a text is no filter, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterFault {
    text: String,
    /// Characters before the fault.
    column: usize,
    what: String,
}

impl FilterFault {
    /// Characters before the place where it goes wrong.
    #[must_use]
    pub fn column(&self) -> usize {
        self.column
    }
}

impl fmt::Display for FilterFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Of one line, so that the mark stands below its place.
        let text: String = self.text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        write!(f, "{}\n  {text}\n  {}^", self.what, " ".repeat(self.column))
    }
}

impl std::error::Error for FilterFault {}

/// A fault at a byte of the text.
#[derive(Debug)]
struct Fault {
    at: usize,
    what: String,
}

/// Reads a filter; see the [module](self) for how it is written.
///
/// # Errors
/// [`FilterFault`], which shows the place and says what is expected there.
pub fn parse(text: &str, known: &Known) -> Result<v1::Filter, FilterFault> {
    let parsed = tokens(text).and_then(|tokens| Parser { tokens, next: 0, known }.filter());
    parsed.map_err(|Fault { at, what }| FilterFault {
        text: text.to_owned(),
        column: text.get(..at).map_or(0, |before| before.chars().count()),
        what,
    })
}

struct Parser<'a> {
    /// The last one is [`TokenKind::End`].
    tokens: Vec<Token>,
    next: usize,
    known: &'a Known,
}

/// How a condition compares.
enum Test {
    In { negated: bool },
    Equals { negated: bool },
    Order(&'static str),
}

/// A value and where it stands.
struct Value {
    at: usize,
    text: String,
}

impl Parser<'_> {
    fn filter(mut self) -> Result<v1::Filter, Fault> {
        let filter = self.any(0)?;
        match self.token() {
            None => Ok(filter),
            Some(token) => Err(Fault { at: token.at, what: "expected `and`, `or` or the end".to_owned() }),
        }
    }

    fn any(&mut self, depth: usize) -> Result<v1::Filter, Fault> {
        let mut filters = vec![self.all(depth)?];
        while self.take_word("or") {
            filters.push(self.all(depth)?);
        }
        Ok(joined(filters, Node::Any))
    }

    fn all(&mut self, depth: usize) -> Result<v1::Filter, Fault> {
        let mut filters = vec![self.one(depth)?];
        while self.take_word("and") {
            filters.push(self.one(depth)?);
        }
        Ok(joined(filters, Node::All))
    }

    fn one(&mut self, depth: usize) -> Result<v1::Filter, Fault> {
        if depth > DEPTH_MAX {
            return Err(
                self.fault(format!("more than {DEPTH_MAX} parentheses and `not`s within one another"))
            );
        }
        if self.take_word("not") {
            return Ok(negated(self.one(depth + 1)?));
        }
        if self.take_sign("(") {
            let inner = self.any(depth + 1)?;
            return if self.take_sign(")") {
                Ok(inner)
            } else {
                Err(self.fault("expected `and`, `or` or )"))
            };
        }
        for (word, exists) in [("exists", true), ("missing", false)] {
            if self.take_word(word) {
                let at = self.place();
                return existence(self.name()?, exists).map_err(|what| Fault { at, what });
            }
        }
        self.condition()
    }

    fn condition(&mut self) -> Result<v1::Filter, Fault> {
        let named = self.name()?;
        let test_at = self.place();
        match self.test()? {
            Test::In { negated: is_negated } => {
                let values = self.values()?;
                self.among(named, values, is_negated)
            }
            Test::Equals { negated: is_negated } => {
                let values = vec![self.value()?];
                self.among(named, values, is_negated)
            }
            Test::Order(sign) => match named {
                Named::Field(field, kind) if is_ordered(kind) => {
                    let value = typed(&field, kind, &self.value()?)?;
                    Ok(range(field, sign, value))
                }
                Named::Field(field, kind) => Err(Fault {
                    at: test_at,
                    what: format!(
                        "{field} is a field of the kind {}, which has no order; expected =, != or in",
                        kind_name(kind)
                    ),
                }),
                Named::Label(attribute) => Err(Fault {
                    at: test_at,
                    what: format!("{attribute} is an attribute; expected =, != or in"),
                }),
                Named::Predicted(attribute) => Err(Fault {
                    at: test_at,
                    what: format!(
                        "{attribute} is an attribute; expected =, != or in, as in predicted.{attribute} = LABEL @ 0.8"
                    ),
                }),
                Named::Id => {
                    Err(Fault { at: test_at, what: "ids have no order; expected =, != or in".to_owned() })
                }
            },
        }
    }

    /// The value of what is named is one of these, or none of them; behind a predicted one may stand its least probability.
    fn among(&mut self, named: Named, values: Vec<Value>, is_negated: bool) -> Result<v1::Filter, Fault> {
        let least = if matches!(named, Named::Predicted(_)) { self.least()? } else { None };
        let filter = among(named, values, least)?;
        Ok(if is_negated { negated(filter) } else { filter })
    }

    /// A least probability, where one is given.
    fn least(&mut self) -> Result<Option<f32>, Fault> {
        if !self.take_sign("@") {
            return Ok(None);
        }
        let Value { at, text } = self.value()?;
        let least = text.parse::<f32>().ok().filter(|least| (0.0..=1.0).contains(least));
        least.map(Some).ok_or_else(|| Fault { at, what: format!("{text:?} is no probability, 0 to 1") })
    }

    /// A name and what it is.
    fn name(&mut self) -> Result<Named, Fault> {
        let expected = "expected the name of a field or an attribute";
        let at = self.place();
        let (mut name, end) = match self.token() {
            Some(Token { kind: TokenKind::Word(word), end, .. }) if !is_reserved(word) => {
                (word.clone(), *end)
            }
            Some(Token { kind: TokenKind::Quoted(text), end, .. }) => (text.clone(), *end),
            Some(_) | None => return Err(self.fault(expected)),
        };
        self.next += 1;
        // `field."two words"`.
        if [FIELD, LABEL, PREDICTED].contains(&name.as_str()) {
            match self.token() {
                Some(Token { kind: TokenKind::Quoted(text), at, .. }) if *at == end => name.push_str(text),
                Some(_) | None => return Err(self.fault(expected)),
            }
            self.next += 1;
        }
        self.known.resolve(&name).map_err(|what| Fault { at, what })
    }

    fn test(&mut self) -> Result<Test, Fault> {
        let negated = self.take_word("not");
        if self.take_word("in") {
            return Ok(Test::In { negated });
        }
        if !negated {
            if self.take_sign("=") {
                return Ok(Test::Equals { negated: false });
            }
            if self.take_sign("!=") {
                return Ok(Test::Equals { negated: true });
            }
            for sign in ["<", "<=", ">", ">="] {
                if self.take_sign(sign) {
                    return Ok(Test::Order(sign));
                }
            }
            return Err(self.fault("expected =, !=, <, <=, >, >= or in"));
        }
        Err(self.fault("expected `in`"))
    }

    fn values(&mut self) -> Result<Vec<Value>, Fault> {
        if !self.take_sign("(") {
            return Err(self.fault("expected ( and values, as in brand in (acme, \"x y\")"));
        }
        let mut values = vec![self.value()?];
        while self.take_sign(",") {
            values.push(self.value()?);
        }
        if self.take_sign(")") { Ok(values) } else { Err(self.fault("expected , or )")) }
    }

    fn value(&mut self) -> Result<Value, Fault> {
        let value = match self.token() {
            Some(Token { kind: TokenKind::Word(word), at, .. }) if !is_reserved(word) => {
                Value { at: *at, text: word.clone() }
            }
            Some(Token { kind: TokenKind::Quoted(text), at, .. }) => Value { at: *at, text: text.clone() },
            Some(Token { kind: TokenKind::Word(word), .. }) => {
                return Err(self.fault(format!("expected a value; the value {word} must stand in quotes")));
            }
            Some(_) | None => return Err(self.fault("expected a value")),
        };
        self.next += 1;
        Ok(value)
    }

    /// The next token; `None` at the end.
    fn token(&self) -> Option<&Token> {
        self.tokens.get(self.next).filter(|token| !matches!(token.kind, TokenKind::End))
    }

    /// Where the next token begins.
    fn place(&self) -> usize {
        let token = self.tokens.get(self.next).or(self.tokens.last());
        token.map_or(0, |token| token.at)
    }

    fn fault(&self, what: impl Into<String>) -> Fault {
        Fault { at: self.place(), what: what.into() }
    }

    fn take_word(&mut self, wanted: &str) -> bool {
        let is_next = matches!(self.token(), Some(Token { kind: TokenKind::Word(word), .. })
            if word.eq_ignore_ascii_case(wanted));
        self.next += usize::from(is_next);
        is_next
    }

    fn take_sign(&mut self, wanted: &str) -> bool {
        let is_next =
            matches!(self.token(), Some(Token { kind: TokenKind::Sign(sign), .. }) if *sign == wanted);
        self.next += usize::from(is_next);
        is_next
    }
}

#[cfg(test)]
mod tests;

//! Rows of numbers in NumPy's format NPY, of versions 1 to 3: one vector a row, as float32 or float64.

use std::io::{self, Read};

/// Longest header that is read, in bytes; that of a table of numbers has about 120.
const HEADER_BYTES_MAX: u32 = 64 << 10;
/// Bytes before the header of version 1, and of later ones.
const START: [u64; 2] = [10, 12];
/// A header that is not all there.
const ENDS: &str = "the file ends within it";
/// The right way, for messages.
const RIGHT: &str = "numpy.save(FILE, array.astype('float32', order='C')) writes what is read here";

/// Why a file is not read.
#[derive(Debug, thiserror::Error)]
pub enum NpyError {
    /// Reading failed.
    #[error("it cannot be read")]
    Io(#[from] io::Error),
    /// It does not begin as such files do.
    #[error("it is no NPY file; {RIGHT}")]
    Magic,
    /// It is of another version of the format.
    #[error("it is an NPY file of version {0}; 1 to 3 are read")]
    Version(u8),
    /// Its header is longer than any.
    #[error("its header has {0} bytes; at most {HEADER_BYTES_MAX} are read")]
    HeaderLength(u32),
    /// Its header is none.
    #[error("its header cannot be understood: {0}")]
    Header(&'static str),
    /// It holds other numbers.
    #[error("its numbers are {found}; float32 ('<f4') and float64 ('<f8') are read, little-endian; {RIGHT}")]
    Type {
        /// What they are.
        found: String,
    },
    /// Its columns lie one after the other.
    #[error("it is in Fortran order (columns first), and rows are read; {RIGHT}")]
    FortranOrder,
    /// It has another number of dimensions than two.
    #[error("it has the shape {found}; [items, dim] is read, one row an item, with at least one number each")]
    Shape {
        /// The shape.
        found: String,
    },
    /// It is longer or shorter than its header says.
    #[error("it has {bytes} bytes where its {items} rows of {dim} numbers make {expected}")]
    Length {
        /// How long it is.
        bytes: u64,
        /// Rows in its header.
        items: u64,
        /// Numbers a row.
        dim: u64,
        /// The length of a file of that many; `None` where there is no such number.
        expected: Expected,
    },
}

/// How long a file should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected(Option<u64>);

impl std::fmt::Display for Expected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(bytes) => write!(f, "{bytes}"),
            None => f.write_str("more than any file has"),
        }
    }
}

/// How a number is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Number {
    F32,
    F64,
}

impl Number {
    fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }
}

/// Reads the rows of a file, one after the other.
#[derive(Debug)]
pub struct NpyReader<R> {
    input: R,
    number: Number,
    items: u64,
    dim: usize,
    read: u64,
}

impl<R: Read> NpyReader<R> {
    /// Reads the header of a file that is `bytes` long in all. No memory is taken for what a header promises and the file
    /// does not have.
    ///
    /// # Errors
    /// Where it is not a file of [items, dim] numbers in rows, or its length is not what its header says.
    pub fn new(mut input: R, bytes: u64) -> Result<Self, NpyError> {
        let (start, text) = header(&mut input)?;
        let Header { descr, fortran_order, shape } = Header::parse(&text)?;
        let number = match descr.as_str() {
            "<f4" => Number::F32,
            "<f8" => Number::F64,
            _ => return Err(NpyError::Type { found: named_type(&descr) }),
        };
        let (items, dim) = match *shape.as_slice() {
            [items, dim] if dim > 0 => (items, dim),
            _ => return Err(NpyError::Shape { found: told(&shape) }),
        };
        // The order of a single row or column is both.
        if fortran_order && items > 1 && dim > 1 {
            return Err(NpyError::FortranOrder);
        }
        let row = dim.checked_mul(number.bytes() as u64);
        let expected = row.and_then(|row| row.checked_mul(items)).and_then(|all| all.checked_add(start));
        let dim_read = usize::try_from(dim).ok().filter(|_| expected == Some(bytes));
        let Some(dim) = dim_read else {
            return Err(NpyError::Length { bytes, items, dim, expected: Expected(expected) });
        };
        Ok(Self { input, number, items, dim, read: 0 })
    }

    /// How many rows there are.
    #[must_use]
    pub fn items(&self) -> u64 {
        self.items
    }

    /// How many numbers a row has.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// The next row, rounded to float32; `None` behind the last one. What is too large for float32 becomes infinite.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn next_row(&mut self) -> Result<Option<Vec<f32>>, NpyError> {
        if self.read == self.items {
            return Ok(None);
        }
        // The file is as long as all rows, so that a row fits in memory as it does on the disk.
        let mut bytes = vec![0; self.dim * self.number.bytes()];
        self.input.read_exact(&mut bytes)?;
        self.read += 1;
        let values = match self.number {
            Number::F32 => bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
            Number::F64 => bytes.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b) as f32).collect(),
        };
        Ok(Some(values))
    }
}

/// The header's text, and where it ends.
fn header(input: &mut impl Read) -> Result<(u64, String), NpyError> {
    let mut magic = [0; 8];
    exact(input, &mut magic, NpyError::Magic)?;
    let [prefix @ .., major, _minor] = magic;
    if prefix != *b"\x93NUMPY" {
        return Err(NpyError::Magic);
    }
    let [short, long] = START;
    let (start, length) = match major {
        1 => {
            let mut length = [0; 2];
            exact(input, &mut length, NpyError::Header(ENDS))?;
            (short, u32::from(u16::from_le_bytes(length)))
        }
        2 | 3 => {
            let mut length = [0; 4];
            exact(input, &mut length, NpyError::Header(ENDS))?;
            (long, u32::from_le_bytes(length))
        }
        other => return Err(NpyError::Version(other)),
    };
    if length > HEADER_BYTES_MAX {
        return Err(NpyError::HeaderLength(length));
    }
    let mut text = vec![0; length as usize];
    exact(input, &mut text, NpyError::Header(ENDS))?;
    // What the reader looks for is ASCII in every version.
    Ok((start + u64::from(length), String::from_utf8_lossy(&text).into_owned()))
}

/// Fills a buffer; `short` where the file ends before.
fn exact(input: &mut impl Read, buffer: &mut [u8], short: NpyError) -> Result<(), NpyError> {
    input.read_exact(buffer).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => short,
        _ => NpyError::Io(error),
    })
}

/// A type in the words of NumPy's users, where they are known.
fn named_type(descr: &str) -> String {
    let name = match descr.trim_start_matches(['<', '>', '|', '=']) {
        "f2" => "float16",
        "f4" => "float32",
        "f8" => "float64",
        "i1" | "i2" | "i4" | "i8" | "u1" | "u2" | "u4" | "u8" => "integers",
        "b1" => "booleans",
        "c8" | "c16" => "complex",
        "O" => "objects",
        _ => return format!("{descr:?}"),
    };
    let order = if descr.starts_with('>') { ", big-endian" } else { "" };
    format!("{name} ({descr:?}{order})")
}

fn told(shape: &[u64]) -> String {
    let numbers: Vec<String> = shape.iter().map(u64::to_string).collect();
    format!("[{}]", numbers.join(", "))
}

/// What a header says: the literal of a Python dictionary with three keys.
#[derive(Debug, Default, PartialEq, Eq)]
struct Header {
    descr: String,
    fortran_order: bool,
    shape: Vec<u64>,
}

/// Most dimensions of an array, which is NumPy's bound too.
const DIMENSIONS_MAX: usize = 64;

impl Header {
    fn parse(text: &str) -> Result<Self, NpyError> {
        let mut rest = Rest(text);
        let (mut descr, mut fortran_order, mut shape) = (None, None, None);
        rest.require('{', "it is no dictionary")?;
        while !rest.take('}') {
            let key = rest.text()?;
            rest.require(':', "a key has no value")?;
            match key {
                "descr" => descr = Some(rest.descr()?),
                "fortran_order" => fortran_order = Some(rest.boolean()?),
                "shape" => shape = Some(rest.shape()?),
                _ => {
                    return Err(NpyError::Header(
                        "it has a key that is none of descr, fortran_order and shape",
                    ));
                }
            }
            if !rest.take(',') {
                rest.require('}', "it does not end with }")?;
                break;
            }
        }
        match (descr, fortran_order, shape) {
            (Some(descr), Some(fortran_order), Some(shape)) => Ok(Self { descr, fortran_order, shape }),
            _ => Err(NpyError::Header("it lacks one of descr, fortran_order and shape")),
        }
    }
}

/// What of a header is still to be read.
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    /// Takes a character, behind blanks, where it comes next.
    fn take(&mut self, wanted: char) -> bool {
        self.0 = self.0.trim_start();
        let rest = self.0.strip_prefix(wanted);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn require(&mut self, wanted: char, otherwise: &'static str) -> Result<(), NpyError> {
        if self.take(wanted) { Ok(()) } else { Err(NpyError::Header(otherwise)) }
    }

    /// A text in quotes.
    fn text(&mut self) -> Result<&'a str, NpyError> {
        let quote = if self.take('\'') {
            '\''
        } else if self.take('"') {
            '"'
        } else {
            return Err(NpyError::Header("a text in quotes is missing"));
        };
        let (text, rest) = self.0.split_once(quote).ok_or(NpyError::Header("a text has no end"))?;
        self.0 = rest;
        Ok(text)
    }

    fn descr(&mut self) -> Result<String, NpyError> {
        if self.take('[') {
            return Err(NpyError::Type { found: "of several kinds (a structured array)".to_owned() });
        }
        Ok(self.text()?.to_owned())
    }

    fn boolean(&mut self) -> Result<bool, NpyError> {
        self.0 = self.0.trim_start();
        for (word, value) in [("True", true), ("False", false)] {
            if let Some(rest) = self.0.strip_prefix(word) {
                self.0 = rest;
                return Ok(value);
            }
        }
        Err(NpyError::Header("fortran_order is neither True nor False"))
    }

    fn shape(&mut self) -> Result<Vec<u64>, NpyError> {
        const NUMBERS: &str = "its shape has something other than whole numbers";
        self.require('(', "its shape is no tuple")?;
        let (numbers, rest) = self.0.split_once(')').ok_or(NpyError::Header("its shape has no end"))?;
        self.0 = rest;
        let mut shape = Vec::new();
        let mut parts = numbers.split(',').map(str::trim).peekable();
        while let Some(part) = parts.next() {
            // A comma may follow the last one, and a number without dimensions has none.
            if part.is_empty() && parts.peek().is_none() {
                break;
            }
            if shape.len() == DIMENSIONS_MAX {
                return Err(NpyError::Header("it has more dimensions than an array may have"));
            }
            let is_number = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
            let number = part.parse().ok().filter(|_| is_number);
            shape.push(number.ok_or(NpyError::Header(NUMBERS))?);
        }
        Ok(shape)
    }
}

#[cfg(test)]
mod tests;

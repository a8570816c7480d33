//! The reader, and what can be read from it.

use std::borrow::Cow;
use std::fmt;

use serde::de::IgnoredAny;

use super::scan;

/// A text, and how far it was read.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    text: &'a str,
    at: usize,
}

/// What reads itself from JSON.
pub trait Read<'a>: Default {
    /// Reads the next value into this default. Whatever was read before an error stays.
    ///
    /// # Errors
    /// When the value isn't of the right kind, `null` included, or no JSON.
    fn read(&mut self, reader: &mut Reader<'a>) -> Result<(), Error>;

    /// Makes of this default what a field is that holds `null`: the same as one that isn't there.
    fn read_null(&mut self) {}
}

/// Why a text can't be read further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error {
    expected: &'static str,
    /// From 1, in bytes.
    pub line: usize,
    pub column: usize,
}

/// Reads a text that is one value.
///
/// # Errors
/// When it isn't of the right kind, or no JSON.
pub fn read<'a, T: Read<'a>>(text: &'a str) -> Result<T, Error> {
    let mut reader = Reader::of(text);
    let mut value = T::default();
    value.read(&mut reader)?;
    match reader.peek() {
        None => Ok(value),
        Some(_) => reader.expected("nothing more"),
    }
}

// === impl Reader ===

impl<'a> Reader<'a> {
    #[must_use]
    pub fn of(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// How much was read, in bytes: up to the end of a value, or up to the next one where there was no [`null`](Self::null).
    #[must_use]
    pub fn place(&self) -> usize {
        self.at
    }

    /// How much there is from here on, in bytes.
    #[must_use]
    pub fn left(&self) -> usize {
        self.text.len() - self.at
    }

    /// Reads the value of a field, which may be `null`.
    ///
    /// # Errors
    /// When the value isn't of the right kind, or no JSON.
    #[inline]
    pub fn field(&mut self, value: &mut impl Read<'a>) -> Result<(), Error> {
        if self.null() {
            value.read_null();
            return Ok(());
        }
        value.read(self)
    }

    /// Whether there was a `null`, which then was read.
    #[inline]
    pub fn null(&mut self) -> bool {
        self.word("null")
    }

    /// # Errors
    /// When neither `true` nor `false` is next.
    pub fn boolean(&mut self) -> Result<bool, Error> {
        if self.word("true") {
            Ok(true)
        } else if self.word("false") {
            Ok(false)
        } else {
            self.expected("true or false")
        }
    }

    /// # Errors
    /// When no string is next.
    #[inline]
    pub fn string(&mut self) -> Result<Cow<'a, str>, Error> {
        if !self.mark(b'"') {
            return self.expected("a string");
        }
        let (start, length) = (self.at, scan::plain(&self.bytes()[self.at..]));
        self.at += length;
        if self.bytes().get(self.at) != Some(&b'"') {
            return self.string_with_escapes(start).map(Cow::Owned);
        }
        self.at += 1;
        Ok(Cow::Borrowed(&self.text[start..start + length]))
    }

    /// Calls `field` with each key of an object, to read the value or to skip it.
    ///
    /// # Errors
    /// When no object is next, or one of the calls fails.
    #[inline]
    pub fn object(&mut self, mut field: impl FnMut(&mut Self, Cow<'a, str>) -> Result<(), Error>) -> Result<(), Error> {
        if !self.mark(b'{') {
            return self.expected("an object");
        }
        if self.mark(b'}') {
            return Ok(());
        }
        loop {
            let key = self.string()?;
            if !self.mark(b':') {
                return self.expected("a colon");
            }
            field(self, key)?;
            if self.mark(b'}') {
                return Ok(());
            }
            if !self.mark(b',') {
                return self.expected("a comma or the object's end");
            }
        }
    }

    /// Calls `item` for each item of a list, to read it or to skip it.
    ///
    /// # Errors
    /// When no list is next, or one of the calls fails.
    #[inline]
    pub fn list(&mut self, mut item: impl FnMut(&mut Self) -> Result<(), Error>) -> Result<(), Error> {
        if !self.mark(b'[') {
            return self.expected("a list");
        }
        if self.mark(b']') {
            return Ok(());
        }
        loop {
            item(self)?;
            if self.mark(b']') {
                return Ok(());
            }
            if !self.mark(b',') {
                return self.expected("a comma or the list's end");
            }
        }
    }

    /// Passes over the next value, whatever it is; its text.
    ///
    /// # Errors
    /// When there is none, or it has no end.
    pub fn skip(&mut self) -> Result<&'a str, Error> {
        let next = self.peek();
        let start = self.at;
        match next {
            Some(b'{' | b'[') => match scan::bracketed(&self.bytes()[start..]) {
                Some(length) => self.at += length,
                None => return self.expected("as many closing brackets as opening ones"),
            },
            Some(b'"') => {
                self.at += 1;
                self.end_of_string()?;
            }
            _ => {
                let length = self.bytes()[start..].iter().take_while(|byte| is_of_a_scalar(**byte)).count();
                if serde_json::from_str::<IgnoredAny>(&self.text[start..start + length]).is_err() {
                    return self.expected("a value");
                }
                self.at += length;
            }
        }
        Ok(&self.text[start..self.at])
    }

    fn bytes(&self) -> &'a [u8] {
        self.text.as_bytes()
    }

    /// The next byte that is no white space.
    #[inline]
    fn peek(&mut self) -> Option<u8> {
        loop {
            match self.bytes().get(self.at) {
                Some(b' ' | b'\n' | b'\t' | b'\r') => self.at += 1,
                next => return next.copied(),
            }
        }
    }

    /// Whether that punctuation mark was next, which then was read.
    #[inline]
    fn mark(&mut self, mark: u8) -> bool {
        let is_next = self.peek() == Some(mark);
        self.at += usize::from(is_next);
        is_next
    }

    #[inline]
    fn word(&mut self, word: &str) -> bool {
        let is_next = self.peek() == word.bytes().next() && self.bytes()[self.at..].starts_with(word.as_bytes());
        if is_next {
            self.at += word.len();
        }
        is_next
    }

    /// Behind the quote that ends the string.
    fn end_of_string(&mut self) -> Result<(), Error> {
        loop {
            let rest = &self.bytes()[self.at..];
            let plain = scan::plain(rest);
            match rest[plain..] {
                [b'"', ..] => {
                    self.at += plain + 1;
                    return Ok(());
                }
                [b'\\', _, ..] => self.at += plain + 2,
                _ => {
                    self.at += plain;
                    return self.expected("the string's end");
                }
            }
        }
    }

    /// A string that began at `start`, and has so far been read up to its first byte that isn't plain.
    #[cold]
    fn string_with_escapes(&mut self, start: usize) -> Result<String, Error> {
        self.end_of_string()?;
        match unescaped(&self.text[start..self.at - 1]) {
            Some(text) => Ok(text),
            None => self.expected("escapes that mean something"),
        }
    }

    /// The error that something else was expected here.
    ///
    /// # Errors
    /// Always.
    #[cold]
    pub fn expected<T>(&self, expected: &'static str) -> Result<T, Error> {
        let (mut line, mut column) = (1, 1);
        for byte in &self.bytes()[..self.at] {
            (line, column) = if *byte == b'\n' { (line + 1, 1) } else { (line, column + 1) };
        }
        Err(Error { expected, line, column })
    }
}

/// What stands between a string's quotes, by RFC 8259, in one allocation.
fn unescaped(mut rest: &str) -> Option<String> {
    let mut text = String::with_capacity(rest.len());
    while let Some((plain, escape)) = rest.split_once('\\') {
        text.push_str(plain);
        let mut escape = escape.chars();
        match escape.next()? {
            sign @ ('"' | '\\' | '/') => text.push(sign),
            'b' => text.push('\u{8}'),
            'f' => text.push('\u{c}'),
            'n' => text.push('\n'),
            'r' => text.push('\r'),
            't' => text.push('\t'),
            'u' => {
                let (sign, behind) = code_point(escape.as_str())?;
                text.push(sign);
                escape = behind.chars();
            }
            _ => return None,
        }
        rest = escape.as_str();
    }
    text.push_str(rest);
    Some(text)
}

/// The character of one UTF-16 unit in hexadecimal, or of two that belong together, and what is behind it.
fn code_point(escape: &str) -> Option<(char, &str)> {
    let unit = |text: &str| -> Option<u16> {
        let digits = text.get(..4)?;
        digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| u16::from_str_radix(digits, 16).ok())?
    };
    let (first, behind) = (unit(escape)?, escape.get(4..)?);
    let second = behind.strip_prefix("\\u").and_then(unit);
    let mut decoded = char::decode_utf16([Some(first), second].into_iter().flatten());
    let sign = decoded.next()?.ok()?;
    Some((sign, if sign.len_utf16() == 2 { behind.get(6..)? } else { behind }))
}

/// Of `true`, `false`, `null` and numbers.
fn is_of_a_scalar(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'+' | b'.' | b'E')
}

// === impl Error ===

impl std::error::Error for Error {}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { expected, line, column } = self;
        write!(f, "expected {expected} at line {line}, column {column}")
    }
}

// === impl Read ===

impl<'a> Read<'a> for bool {
    fn read(&mut self, reader: &mut Reader<'a>) -> Result<(), Error> {
        *self = reader.boolean()?;
        Ok(())
    }
}

impl<'a, T: Read<'a>> Read<'a> for Option<T> {
    fn read(&mut self, reader: &mut Reader<'a>) -> Result<(), Error> {
        self.insert(T::default()).read(reader)
    }
}

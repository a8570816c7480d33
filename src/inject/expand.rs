//! `$(NAME)` as Kubernetes reads it.
//!
//! Source: `third_party/forked/golang/expansion` in Kubernetes. `$$` is a `$`, `$(NAME)` a reference, and any other `$`
//! stands for itself, as does the `$(` of a reference that is never closed.

use std::borrow::Cow;

/// A piece of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    Text(&'a str),
    Reference(&'a str),
    /// `$(` without its `)`: whatever is appended could close it.
    Unclosed,
}

/// The pieces of a value, in their order.
#[derive(Clone, Debug)]
pub struct Pieces<'a> {
    rest: &'a str,
    /// There may be a `)` in the rest. Once there is none, it isn't looked for again at each `$(`.
    may_close: bool,
}

/// Stands before a reference that could not be resolved; no variable can hold it.
pub const UNRESOLVED: char = '\0';
const UNRESOLVED_TEXT: &str = "\0$(";

/// A value with its references resolved, as far as they can be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expanded<'a> {
    pub text: Cow<'a, str>,
    /// A reference stands for something that can't be seen here.
    pub unresolved: bool,
    pub unclosed: bool,
}

/// The literal that Kubernetes reads back as `text`.
#[must_use]
pub fn double_dollars(text: &str) -> Cow<'_, str> {
    if text.contains('$') { Cow::Owned(text.replace('$', "$$")) } else { Cow::Borrowed(text) }
}

/// Resolves each reference by `lookup`; what it doesn't know stays as it is, behind [`UNRESOLVED`].
pub fn expand<'a>(value: &'a str, mut lookup: impl FnMut(&str) -> Option<Cow<'a, str>>) -> Expanded<'a> {
    if !value.contains('$') {
        return Expanded { text: Cow::Borrowed(value), ..Expanded::default() };
    }
    let mut expanded = Expanded::default();
    for piece in Pieces::of(value) {
        match piece {
            Piece::Text(text) => expanded.text.to_mut().push_str(text),
            Piece::Reference(name) => {
                let found = lookup(name);
                expanded.unresolved |= found.is_none();
                let text = expanded.text.to_mut();
                match found {
                    Some(found) => text.push_str(&found),
                    None => text.extend([UNRESOLVED_TEXT, name, ")"]),
                }
            }
            Piece::Unclosed => {
                expanded.text.to_mut().push_str("$(");
                expanded.unclosed = true;
            }
        }
    }
    expanded
}

// === impl Pieces ===

impl<'a> Pieces<'a> {
    #[must_use]
    pub fn of(value: &'a str) -> Self {
        Self { rest: value, may_close: true }
    }

    /// The piece at the start of the rest, which begins with `$`, and its length.
    fn dollar(&mut self) -> (Piece<'a>, usize) {
        let rest = self.rest;
        match rest.as_bytes().get(1) {
            Some(b'$') => (Piece::Text(&rest[..1]), 2),
            Some(b'(') => {
                let end = self.may_close.then(|| rest.find(')')).flatten();
                self.may_close = end.is_some();
                end.map_or((Piece::Unclosed, 2), |end| (Piece::Reference(&rest[2..end]), end + 1))
            }
            _ => (Piece::Text(&rest[..1]), 1),
        }
    }
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        let rest = self.rest;
        if rest.is_empty() {
            return None;
        }
        let (piece, length) = match rest.find('$') {
            None => (Piece::Text(rest), rest.len()),
            Some(0) => self.dollar(),
            Some(at) => (Piece::Text(&rest[..at]), at),
        };
        self.rest = &rest[length..];
        Some(piece)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(value: &str) -> Expanded<'_> {
        expand(value, |name| (name == "A").then_some(Cow::Borrowed("1")))
    }

    #[test]
    fn reads_values_as_the_kubelet_does() {
        for (value, text) in [
            ("plain", "plain"),
            ("$(A)", "1"),
            ("$$(A)", "$(A)"),
            ("$$$(A)", "$1"),
            ("p$$w", "p$w"),
            ("end$", "end$"),
            ("$x", "$x"),
            ("a$(A)b$(A)c", "a1b1c"),
        ] {
            assert_eq!(expanded(value).text, text, "{value}");
            assert!(!expanded(value).unresolved, "{value}");
        }
    }

    #[test]
    fn an_unclosed_reference_is_text_that_must_not_be_appended_to() {
        let unclosed = expanded("a=$(A");
        assert_eq!((unclosed.text.as_ref(), unclosed.unclosed), ("a=$(A", true));
        assert!(!expanded("a=$$(A").unclosed);
    }

    #[test]
    fn what_cannot_be_resolved_is_said() {
        assert!(expanded("$(B)").unresolved);
        assert!(expanded("$()").unresolved);
    }

    #[test]
    fn doubled_dollars_read_back_as_they_were() {
        for text in ["", "$", "$$", "$(A)", "a$", "$$(", "p$w$(A)$"] {
            assert_eq!(expanded(&double_dollars(text)).text, text);
        }
    }
}

//! The text in which programs tell their metrics: read line by line as it comes, so that a long one takes no memory.

use std::borrow::Cow;

/// One line that has a value.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample<'l> {
    pub name: &'l str,
    labels: Labels<'l>,
    pub value: f64,
}

type Labels<'l> = Vec<(&'l str, Cow<'l, str>)>;

/// Puts lines together from the pieces in which they come.
#[derive(Debug, Default)]
pub struct Lines {
    rest: Vec<u8>,
    seen: usize,
}

/// More than any Collector has to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

const MAX_LINE: usize = 64 << 10;
const MAX_TEXT: usize = 16 << 20;

// === impl Lines ===

impl Lines {
    /// Tells every line that the piece completes.
    pub fn push(&mut self, mut piece: &[u8], each: &mut impl FnMut(&str)) -> Result<(), TooLong> {
        self.seen += piece.len();
        while let Some(end) = piece.iter().position(|byte| *byte == b'\n') {
            let (head, behind) = piece.split_at(end);
            if self.rest.is_empty() {
                tell(head, each);
            } else {
                self.rest.extend_from_slice(head);
                tell(&self.rest, each);
                self.rest.clear();
            }
            piece = &behind[1..];
        }
        self.rest.extend_from_slice(piece);
        if self.rest.len() > MAX_LINE || self.seen > MAX_TEXT { Err(TooLong) } else { Ok(()) }
    }

    /// Tells what is left without an end.
    pub fn end(self, each: &mut impl FnMut(&str)) {
        tell(&self.rest, each);
    }
}

fn tell(line: &[u8], each: &mut impl FnMut(&str)) {
    if let Ok(line) = std::str::from_utf8(line) {
        each(line);
    }
}

// === impl Sample ===

impl<'l> Sample<'l> {
    /// `None` for comments, and for what can't be read.
    #[must_use]
    pub fn read(line: &'l str) -> Option<Self> {
        let line = line.trim();
        if line.starts_with('#') {
            return None;
        }
        let end = line.find(|it: char| it == '{' || it.is_ascii_whitespace())?;
        let (name, rest) = line.split_at(end);
        let (labels, rest) = match rest.strip_prefix('{') {
            Some(rest) => labels(rest)?,
            None => (Vec::new(), rest),
        };
        // A time or an exemplar may follow.
        let value = rest.split_ascii_whitespace().next()?.parse().ok()?;
        (!name.is_empty()).then_some(Self { name, labels, value })
    }

    /// Empty where it has none of that name.
    #[must_use]
    pub fn label(&self, name: &str) -> &str {
        self.labels.iter().find(|(label, _)| *label == name).map_or("", |(_, value)| value)
    }
}

/// Up to the brace that ends them; and what follows.
fn labels(mut rest: &str) -> Option<(Labels<'_>, &str)> {
    let mut labels = Vec::new();
    loop {
        rest = rest.trim_start_matches([' ', ',', '\t']);
        if let Some(behind) = rest.strip_prefix('}') {
            return Some((labels, behind));
        }
        let (name, behind) = rest.split_once("=\"")?;
        let (value, behind) = quoted(behind)?;
        labels.push((name.trim(), value));
        rest = behind;
    }
}

/// Up to the quote that ends it; and what follows.
fn quoted(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let mut unescaped = String::new();
    let mut from = 0;
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' if from == 0 => return Some((Cow::Borrowed(&text[..at]), &text[at + 1..])),
            '"' => {
                unescaped.push_str(&text[from..at]);
                return Some((Cow::Owned(unescaped), &text[at + 1..]));
            }
            '\\' => {
                unescaped.push_str(&text[from..at]);
                let (at, escaped) = characters.next()?;
                unescaped.push(if escaped == 'n' { '\n' } else { escaped });
                from = at + escaped.len_utf8();
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    type Read = (String, Vec<(String, String)>, f64);

    fn read(line: &str) -> Option<Read> {
        let Sample { name, labels, value } = Sample::read(line)?;
        let labels = labels.into_iter().map(|(name, value)| (name.to_owned(), value.into_owned())).collect();
        Some((name.to_owned(), labels, value))
    }

    #[test]
    fn lines_as_programs_write_them() {
        let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        for (line, expected) in [
            ("up 1", Some(("up", vec![], 1.0))),
            ("  up\t1e+06 1700000000000", Some(("up", vec![], 1e6))),
            ("up{} 2", Some(("up", vec![], 2.0))),
            ("a{b=\"c\",d=\"e\"} 3", Some(("a", vec![label("b", "c"), label("d", "e")], 3.0))),
            ("a{b=\"c\",} 3 # {trace_id=\"x\"} 1", Some(("a", vec![label("b", "c")], 3.0))),
            (r#"a{b="x\"y\\z\n", c=""} 4"#, Some(("a", vec![label("b", "x\"y\\z\n"), label("c", "")], 4.0))),
            (r#"a{b="}{,= ü"} +Inf"#, Some(("a", vec![label("b", "}{,= ü")], f64::INFINITY))),
            ("# TYPE up gauge", None),
            ("", None),
            ("up", None),
            ("up one", None),
            ("a{b=\"c\" 3", None),
            ("a{b=\"c 3", None),
            (r#"a{b="c\"#, None),
            ("{a=\"b\"} 1", None),
        ] {
            let expected = expected.map(|(name, labels, value)| (name.to_owned(), labels, value));
            assert_eq!(read(line), expected, "{line}");
        }
    }

    #[test]
    fn however_a_text_is_cut_its_lines_are_the_same() {
        let text = "a 1\nbü{c=\"d\"} 2\n\n# e\nf 3";
        for size in 1..=text.len() {
            let (mut lines, mut told) = (Lines::default(), Vec::new());
            let mut each = |line: &str| told.push(line.to_owned());
            for piece in text.as_bytes().chunks(size) {
                lines.push(piece, &mut each).expect("short");
            }
            lines.end(&mut each);
            assert_eq!(told, text.split('\n').collect::<Vec<_>>(), "{size}");
        }
    }

    #[test]
    fn what_never_ends_is_given_up() {
        let mut lines = Lines::default();
        let piece = [b'x'; 4096];
        let until = (0..=MAX_LINE).find(|_| lines.push(&piece, &mut |_| ()).is_err());
        assert!(until.is_some_and(|pieces| pieces <= MAX_LINE / 4096));
        let mut lines = Lines::default();
        let piece = "x 1\n".repeat(1 << 18);
        assert!((0..32).any(|_| lines.push(piece.as_bytes(), &mut |_| ()).is_err()));
    }
}

//! Strings as they are written: runs of what needs no escape are found as the reader finds them, and copied whole.

use std::fmt;
use std::io::Write as _;

use super::scan;

/// Writes what is formatted into the inside of a string.
pub struct Inside<'o>(pub &'o mut Vec<u8>);

/// Appends a string, with its quotes.
pub fn push_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    push_inside(out, text);
    out.push(b'"');
}

fn push_inside(out: &mut Vec<u8>, text: &str) {
    let mut rest = text.as_bytes();
    loop {
        let (plain, behind) = rest.split_at(scan::plain(rest));
        out.extend_from_slice(plain);
        let Some((special, behind)) = behind.split_first() else { return };
        push_escape(out, *special);
        rest = behind;
    }
}

fn push_escape(out: &mut Vec<u8>, special: u8) {
    match special {
        b'"' | b'\\' => out.extend_from_slice(&[b'\\', special]),
        b'\x08' => out.extend_from_slice(b"\\b"),
        b'\x0c' => out.extend_from_slice(b"\\f"),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        control => write!(out, "\\u{control:04x}").expect("memory takes everything"),
    }
}

impl fmt::Write for Inside<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        push_inside(self.0, text);
        Ok(())
    }
}

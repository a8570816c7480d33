//! Values as YAML that readers of YAML 1.1 and of 1.2 read alike.
//!
//! What some reader takes for a boolean, a number, a date, null or a merge is quoted; what can't stand in a line is
//! escaped with escapes that both versions have; texts of several lines are literal blocks where that is exact.

use granit_parser::ScalarStyle;
use serde_json::{Map, Number, Value};

use super::scalar::{Scalar, resolve};

/// How a document lays its lists out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Layout {
    /// Columns by which a list stands to the right of its key: kubectl and Helm write 0, others 2.
    pub list_offset: usize,
}

/// Columns by which a map stands to the right of its key.
const STEP: usize = 2;
/// YAML 1.1 lets a key on one line with its value have 1,024 characters.
const LONGEST_KEY: usize = 1000;

/// A whole document, with a newline at its end.
#[must_use]
pub fn document(value: &Value) -> String {
    let mut out = String::new();
    let layout = Layout::default();
    match value {
        Value::Object(map) if !map.is_empty() => mapping(&mut out, map, 0, layout),
        Value::Array(items) if !items.is_empty() => sequence(&mut out, items, 0, layout),
        scalar => {
            inline(&mut out, scalar, 0);
            out.push('\n');
        }
    }
    out
}

/// `key: value`, indented by as many columns, on as many lines as it takes.
pub fn entry(out: &mut String, key: &str, value: &Value, indent: usize, layout: Layout) {
    pad(out, indent);
    entry_at(out, key, value, indent, layout);
}

/// `- value`, likewise.
pub fn item(out: &mut String, value: &Value, indent: usize, layout: Layout) {
    pad(out, indent);
    out.push_str("- ");
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (index, (key, value)) in map.iter().enumerate() {
                if index > 0 {
                    pad(out, indent + STEP);
                }
                entry_at(out, key, value, indent + STEP, layout);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            let mut nested = String::new();
            sequence(&mut nested, items, indent + STEP, layout);
            out.push_str(&nested[indent + STEP..]);
        }
        scalar => {
            inline(out, scalar, indent);
            out.push('\n');
        }
    }
}

/// A text on one line, quoted as the one was whose place it takes where that is possible.
pub fn like(out: &mut String, text: &str, style: ScalarStyle) {
    match style {
        ScalarStyle::SingleQuoted if is_one_line(text) => single_quoted(out, text),
        ScalarStyle::Plain if is_plain(text) => out.push_str(text),
        ScalarStyle::DoubleQuoted => double_quoted(out, text),
        _ => quoted(out, text),
    }
}

/// What a text in that style ends with.
#[must_use]
pub fn closing(style: ScalarStyle) -> &'static str {
    match style {
        ScalarStyle::SingleQuoted => "'",
        ScalarStyle::DoubleQuoted => "\"",
        ScalarStyle::Plain | ScalarStyle::Literal | ScalarStyle::Folded => "",
    }
}

/// How a text goes on in that style from there to its end, on the line where it is; `None` where it can't.
#[must_use]
pub fn tail(text: &str, from: usize, style: ScalarStyle, in_flow: bool) -> Option<String> {
    let tail = &text[from..];
    let mut out = String::new();
    match style {
        ScalarStyle::DoubleQuoted => {
            escaped(&mut out, tail);
            return Some(out);
        }
        ScalarStyle::Plain if in_flow => flow_text(&mut out, text),
        _ => {}
    }
    let fits = match style {
        ScalarStyle::Plain if in_flow => out == text,
        ScalarStyle::Plain => is_plain(text),
        _ => is_one_line(tail),
    };
    let quoted = style == ScalarStyle::SingleQuoted;
    fits.then(|| if quoted { tail.replace('\'', "''") } else { tail.to_owned() })
}

/// A value on one line, as it stands in `{…}` and `[…]` or behind a key.
pub fn flow(out: &mut String, value: &Value) {
    match value {
        Value::Object(map) => {
            out.push('{');
            for (index, (key, value)) in map.iter().enumerate() {
                out.push_str(if index > 0 { ", " } else { "" });
                flow_text(out, key);
                out.push_str(": ");
                flow(out, value);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                out.push_str(if index > 0 { ", " } else { "" });
                flow(out, item);
            }
            out.push(']');
        }
        Value::String(text) => flow_text(out, text),
        Value::Number(number) => out.push_str(&self::number(number)),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Null => out.push_str("null"),
    }
}

fn mapping(out: &mut String, map: &Map<String, Value>, indent: usize, layout: Layout) {
    for (key, value) in map {
        entry(out, key, value, indent, layout);
    }
}

fn sequence(out: &mut String, items: &[Value], indent: usize, layout: Layout) {
    for value in items {
        item(out, value, indent, layout);
    }
}

fn entry_at(out: &mut String, key: &str, value: &Value, indent: usize, layout: Layout) {
    if key.chars().count() > LONGEST_KEY {
        out.push_str("? ");
        quoted(out, key);
        out.push('\n');
        pad(out, indent);
    } else if is_plain(key) {
        out.push_str(key);
    } else {
        quoted(out, key);
    }
    out.push(':');
    match value {
        Value::Object(map) if !map.is_empty() => {
            out.push('\n');
            mapping(out, map, indent + STEP, layout);
        }
        Value::Array(items) if !items.is_empty() => {
            out.push('\n');
            sequence(out, items, indent + layout.list_offset, layout);
        }
        scalar => {
            out.push(' ');
            inline(out, scalar, indent);
            out.push('\n');
        }
    }
}

/// A scalar or an empty collection, without the newline at its end.
fn inline(out: &mut String, value: &Value, indent: usize) {
    match value {
        Value::String(text) if is_literal(text) => literal(out, text, indent + STEP),
        Value::String(text) if is_plain(text) => out.push_str(text),
        Value::String(text) => quoted(out, text),
        other => flow(out, other),
    }
}

/// Readers of YAML 1.1 and 1.2 agree about little more than words here.
fn flow_text(out: &mut String, text: &str) {
    let plain = text.starts_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '/' | '$'))
        && text.chars().all(|c| c.is_ascii_alphanumeric() || " _-./$()+=".contains(c));
    if plain && is_plain(text) { out.push_str(text) } else { quoted(out, text) }
}

fn literal(out: &mut String, text: &str, indent: usize) {
    out.push_str(if text.ends_with('\n') { "|" } else { "|-" });
    for line in text.lines() {
        out.push('\n');
        if !line.is_empty() {
            pad(out, indent);
            out.push_str(line);
        }
    }
}

fn pad(out: &mut String, columns: usize) {
    out.extend(std::iter::repeat_n(' ', columns));
}

/// Both versions want a point and a signed exponent in a float, or some reader takes it for text.
fn number(number: &Number) -> String {
    let text = number.to_string();
    if !number.is_f64() {
        return text;
    }
    let (mantissa, exponent) = text.split_once('e').map_or((text.as_str(), None), |(m, e)| (m, Some(e)));
    let point = if mantissa.contains('.') { "" } else { ".0" };
    match exponent {
        None => format!("{mantissa}{point}"),
        Some(exponent) if exponent.starts_with(['-', '+']) => format!("{mantissa}{point}e{exponent}"),
        Some(exponent) => format!("{mantissa}{point}e+{exponent}"),
    }
}

/// Whether a text is the same, and nothing but a text, without quotes.
fn is_plain(text: &str) -> bool {
    const INDICATORS: [char; 17] =
        [',', '[', ']', '{', '}', '#', '&', '*', '!', '|', '>', '\'', '"', '%', '@', '`', '='];
    let Some(first) = text.chars().next() else { return false };
    let second = text[first.len_utf8()..].chars().next();
    let starts_well = match first {
        '-' | '?' | ':' => second.is_some_and(|second| !matches!(second, ' ' | ',' | '[' | ']' | '{' | '}')),
        _ => !INDICATORS.contains(&first),
    };
    starts_well
        && !text.starts_with(char::is_whitespace)
        && !text.ends_with(char::is_whitespace)
        && !text.ends_with(':')
        && !text.contains(": ")
        && !text.contains(" #")
        && !text.starts_with("---")
        && !text.starts_with("...")
        && text.chars().all(|c| is_printable(c) && c != '\t')
        && resolve(text) == Scalar::Text
        && !is_special_elsewhere(text)
}

/// What some reader, if not kubectl, takes for something else than text.
fn is_special_elsewhere(text: &str) -> bool {
    const WORDS: [&str; 15] =
        ["y", "n", "yes", "no", "true", "false", "on", "off", "null", "nil", "none", "nan", "inf", "infinity", "<<"];
    let numeric = text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.'))
        && text.contains(|c: char| c.is_ascii_digit() || c == '.')
        // Numbers of any base and of base 60, dates and times are made of these.
        && text.chars().all(|c| c.is_ascii_hexdigit() || "xXoO_+-.:, tTzZiInN".contains(c));
    numeric || WORDS.iter().any(|word| text.eq_ignore_ascii_case(word))
}

/// Whether a literal block gives the text back exactly, in both versions.
fn is_literal(text: &str) -> bool {
    text.trim_end_matches('\n').contains('\n')
        && !text.ends_with("\n\n")
        && !text.starts_with([' ', '\t', '\n'])
        && text.chars().all(|c| is_printable(c) || c == '\n')
        && text.lines().all(|line| line.is_empty() || !line.starts_with('\t') && !line.trim().is_empty())
}

/// Characters that stand for themselves in both versions: no control, no line break but the newline, no order mark.
fn is_printable(c: char) -> bool {
    matches!(c, '\t' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
        && !matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}')
}

fn quoted(out: &mut String, text: &str) {
    // Text with double quotes in it, such as JSON, is easier to read between single ones.
    if text.contains(['"', '\\']) && is_one_line(text) { single_quoted(out, text) } else { double_quoted(out, text) }
}

fn is_one_line(text: &str) -> bool {
    text.chars().all(|c| is_printable(c) && c != '\t')
}

fn single_quoted(out: &mut String, text: &str) {
    out.push('\'');
    out.push_str(&text.replace('\'', "''"));
    out.push('\'');
}

fn double_quoted(out: &mut String, text: &str) {
    out.push('"');
    escaped(out, text);
    out.push('"');
}

fn escaped(out: &mut String, text: &str) {
    use std::fmt::Write as _;

    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if is_printable(c) => out.push(c),
            c if u32::from(c) < 0x100 => write!(out, "\\x{:02x}", u32::from(c)).expect("a String takes all"),
            c if u32::from(c) < 0x1_0000 => write!(out, "\\u{:04x}", u32::from(c)).expect("a String takes all"),
            c => write!(out, "\\U{:08x}", u32::from(c)).expect("a String takes all"),
        }
    }
}

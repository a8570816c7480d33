//! What people read: errors, colours, columns, and lines no wider than their terminal.

use std::borrow::Cow;
use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write};
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};

pub const BOLD: Style = Style::new().bold();
pub const DIM: Style = Style::new().dimmed();
pub const GOOD: Style = AnsiColor::Green.on_default();
pub const BAD: Style = AnsiColor::Red.on_default().bold();
pub const ATTENTION: Style = AnsiColor::Yellow.on_default();
pub const PLACE: Style = AnsiColor::Cyan.on_default();

/// Something that is wrong, where, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// `FILE`, `FILE:LINE` or `FILE:LINE:COLUMN`.
    pub place: String,
    pub message: String,
    pub next: String,
}

/// Complaints that are told at once.
const MOST: usize = 20;

/// Tells complaints on standard error.
pub fn complain(complaints: &[Complaint]) {
    let width = stderr_width();
    let mut out = anstream::stderr().lock();
    for Complaint { place, message, next } in complaints.iter().take(MOST) {
        let [place, message, next] = [place, message, next].map(|text| printable_lines(text));
        let text = format!("{BAD}error{BAD:#}: {PLACE}{place}{PLACE:#}: {message}\n");
        // Nobody is left to tell when standard error is closed.
        let _ = out.write_all(text.as_bytes());
        let _ = out.write_all(wrapped(&format!("next: {next}"), 7, width).as_bytes());
    }
    if let Some(more) = complaints.len().checked_sub(MOST).filter(|more| *more > 0) {
        let _ = writeln!(out, "{BAD}error{BAD:#}: and {more} more");
    }
}

/// Columns of the terminal behind standard error, if it is one.
#[must_use]
pub fn stderr_width() -> Option<usize> {
    columns(io::stderr().is_terminal().then(|| terminal_size::terminal_size_of(io::stderr())).flatten())
}

/// Columns of the terminal behind standard output, if it is one.
#[must_use]
pub fn stdout_width() -> Option<usize> {
    columns(io::stdout().is_terminal().then(|| terminal_size::terminal_size_of(io::stdout())).flatten())
}

fn columns(size: Option<(terminal_size::Width, terminal_size::Height)>) -> Option<usize> {
    size.map(|(width, _)| usize::from(width.0).max(40))
}

/// A text on as many lines as it takes, all indented by as many columns; on one line where nobody has a width.
#[must_use]
pub fn wrapped(text: &str, indent: usize, width: Option<usize>) -> String {
    let pad = " ".repeat(indent);
    let width = width.map_or(usize::MAX, |width| width.saturating_sub(indent).max(20));
    let mut out = String::new();
    let mut column = 0;
    for word in text.split(' ') {
        let length = visible_length(word);
        if column > 0 && column + 1 + length > width {
            out.push('\n');
            column = 0;
        }
        if column == 0 {
            out.push_str(&pad);
        } else {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += length;
    }
    out.push('\n');
    out
}

/// Characters of a text without its colours.
fn visible_length(text: &str) -> usize {
    let mut escaped = false;
    text.chars()
        .filter(|c| {
            let visible = !escaped && *c != '\u{1b}';
            escaped = if *c == '\u{1b}' { true } else { escaped && *c != 'm' };
            visible
        })
        .count()
}

/// What a report calls an object: `Deployment shop/web`, or `Pod shop/web-*` where the API server makes the name.
#[must_use]
pub fn object(kind: &str, namespace: Option<&str>, name: &str, generate_name: &str) -> String {
    let name = match (name, generate_name) {
        ("", "") => "(no name)".into(),
        ("", generated) => format!("{generated}*").into(),
        (name, _) => Cow::Borrowed(name),
    };
    let namespace = namespace.map_or(String::new(), |namespace| format!("{namespace}/"));
    printable(&format!("{kind} {namespace}{name}")).into_owned()
}

/// Somebody else's text for a terminal, which must not act on it: control characters are written out.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return Cow::Borrowed(text);
    }
    let written_out = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(written_out).collect()
}

/// The same of a text that may have lines, such as another program's words.
fn printable_lines(text: &str) -> String {
    text.replace('\t', " ").split('\n').map(printable).collect::<Vec<_>>().join("\n")
}

/// Text in a style, padded to a number of columns.
#[must_use]
pub fn styled(style: Style, text: impl Display, width: usize) -> String {
    let text = text.to_string();
    let blank = " ".repeat(width.saturating_sub(text.chars().count()));
    format!("{style}{text}{style:#}{blank}")
}

/// Writes a result to standard output at once. A reader that has seen enough is no error.
///
/// # Errors
/// When it can't be written, such as to a full disk.
pub fn print(text: &str, coloured: bool) -> anyhow::Result<()> {
    let written = if coloured {
        let mut out = anstream::stdout().lock();
        out.write_all(text.as_bytes()).and_then(|()| out.flush())
    } else {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes()).and_then(|()| out.flush())
    };
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(unwritten(&error)),
        Ok(()) => Ok(()),
    }
}

/// Why a result can't be written.
#[must_use]
pub fn unwritten(error: &io::Error) -> anyhow::Error {
    anyhow::anyhow!("standard output can't be written: {}; see whether there is room for it", plain(error))
}

/// An error of the operating system in its own words, without its number.
#[must_use]
pub fn plain(error: &io::Error) -> String {
    let words = error.to_string();
    let words = words.split(" (os error").next().unwrap_or(&words);
    words.chars().next().map(|first| first.to_lowercase().chain(words.chars().skip(1)).collect()).unwrap_or_default()
}

/// How a command ends whose result can't be written.
#[must_use]
pub fn failed(error: &anyhow::Error) -> ExitCode {
    let _ = writeln!(anstream::stderr(), "{BAD}error{BAD:#}: {error:#}");
    ExitCode::from(super::UNWRITABLE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_no_wider_than_the_terminal() {
        let text = wrapped("one two three four five six seven", 4, Some(24));
        assert_eq!(text, "    one two three four\n    five six seven\n");
        assert_eq!(wrapped("one two", 2, None), "  one two\n");
        assert_eq!(wrapped(&format!("{BAD}one{BAD:#} two"), 0, Some(20)).lines().count(), 1);
    }

    #[test]
    fn no_text_of_others_acts_on_a_terminal() {
        assert_eq!(printable("a\u{1b}[31mb\n\u{9b}c\u{7f}é"), r"a\u{1b}[31mb\n\u{9b}c\u{7f}é");
        assert_eq!(object("Pod", Some("shop"), "\u{1b}c", "p-"), r"Pod shop/\u{1b}c");
        assert_eq!(object("Pod", None, "", "p-"), "Pod p-*");
        assert_eq!(object("Pod", Some("shop"), "", ""), "Pod shop/(no name)");
    }

    #[test]
    fn words_of_the_system_have_no_number() {
        let error = io::Error::from_raw_os_error(2);
        assert_eq!(plain(&error), "no such file or directory");
    }
}

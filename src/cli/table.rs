//! Results, for people as tables that fit their terminal, for programs as JSON or YAML.
//!
//! In a pipe nothing is cut and nothing coloured: there, a line is as long as it has to be.

use std::process::ExitCode;

use anstyle::Style;
use clap::ValueEnum;
use serde::Serialize;

use super::output::{self, BOLD, styled};
use crate::manifest;

/// `-o`: for programs instead of people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Json,
    Yaml,
}

/// Rows below headings.
#[derive(Clone, Debug)]
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
}

/// A heading, and whether what stands below it may be cut where the terminal is narrow.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    heading: &'static str,
    flexible: bool,
}

/// A text in a style.
#[derive(Clone, Debug)]
pub struct Cell {
    text: String,
    style: Style,
}

const GAP: usize = 2;
/// What is left of a column that is cut.
const NARROWEST: usize = 8;

// === impl Column ===

impl Column {
    /// Never cut, such as a number or a state.
    #[must_use]
    pub const fn fixed(heading: &'static str) -> Self {
        Self { heading, flexible: false }
    }

    /// Cut where there isn't room for it, the longest first.
    #[must_use]
    pub const fn flexible(heading: &'static str) -> Self {
        Self { heading, flexible: true }
    }
}

// === impl Cell ===

impl Cell {
    #[must_use]
    pub fn new(style: Style, text: impl Into<String>) -> Self {
        // A tab or a line's end in foreign text would break the columns.
        let text = text.into().replace(|c: char| c.is_control(), " ");
        Self { text, style }
    }

    fn width(&self) -> usize {
        self.text.chars().count()
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::new(Style::new(), text)
    }
}

// === impl Table ===

impl Table {
    #[must_use]
    pub fn new(columns: impl IntoIterator<Item = Column>) -> Self {
        Self { columns: columns.into_iter().collect(), rows: Vec::new() }
    }

    /// A cell for each column.
    pub fn push(&mut self, row: impl IntoIterator<Item = Cell>) {
        let row: Vec<Cell> = row.into_iter().collect();
        debug_assert_eq!(row.len(), self.columns.len(), "a cell for each column");
        self.rows.push(row);
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// All lines, indented, no wider than the terminal, if there is one.
    #[must_use]
    pub fn render(&self, indent: usize, width: Option<usize>) -> String {
        let widths = self.widths(width.map(|width| width.saturating_sub(indent)));
        let headings: Vec<Cell> = self.columns.iter().map(|column| Cell::new(BOLD, column.heading)).collect();
        let mut out = String::new();
        for row in std::iter::once(&headings).chain(&self.rows) {
            out.push_str(&" ".repeat(indent));
            // Blanks at the end of a line would only be blanks.
            let last = row.iter().rposition(|cell| !cell.text.is_empty()).unwrap_or_default();
            for (index, (Cell { text, style }, width)) in row.iter().zip(&widths).enumerate().take(last + 1) {
                let padded = if index == last { 0 } else { width + GAP };
                out.push_str(&styled(*style, cut(text, *width), padded));
            }
            out.push('\n');
        }
        out
    }

    /// What each column gets: what it needs, and less where that is too much in all.
    fn widths(&self, available: Option<usize>) -> Vec<usize> {
        let needed = |(index, column): (usize, &Column)| {
            let cells = self.rows.iter().filter_map(|row| row.get(index)).map(Cell::width);
            cells.max().unwrap_or_default().max(column.heading.chars().count())
        };
        let mut widths: Vec<usize> = self.columns.iter().enumerate().map(needed).collect();
        let Some(available) = available else { return widths };
        let room = available.saturating_sub(GAP * widths.len().saturating_sub(1));
        // The flexible ones give way first; a terminal too narrow for the rest cuts those as well.
        for flexible in [true, false] {
            while widths.iter().sum::<usize>() > room {
                let columns = self.columns.iter().zip(&mut widths);
                let widest = columns.filter(|(column, width)| column.flexible == flexible && **width > NARROWEST);
                let Some((_, width)) = widest.max_by_key(|(_, width)| **width) else { break };
                *width -= 1;
            }
        }
        widths
    }
}

/// What doesn't fit is cut, and said to be.
fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// Prints a result in the format that was asked for; the text is made for the width of the terminal, if there is one.
///
/// # Errors
/// When it can't be written, such as to a full disk.
pub fn print<T: Serialize>(
    result: &T,
    format: Option<Format>,
    text: impl FnOnce(Option<usize>) -> String,
) -> anyhow::Result<()> {
    let text = match format {
        Some(format) => serialized(result, format)?,
        None => text(output::stdout_width()),
    };
    output::print(&text, format.is_none())
}

/// [`print()`], and how the command ends.
pub fn end<T: Serialize>(
    result: &T,
    format: Option<Format>,
    code: ExitCode,
    text: impl FnOnce(Option<usize>) -> String,
) -> ExitCode {
    match print(result, format, text) {
        Ok(()) => code,
        Err(error) => output::failed(&error),
    }
}

fn serialized<T: Serialize>(result: &T, format: Format) -> anyhow::Result<String> {
    let value = serde_json::to_value(result)?;
    Ok(match format {
        Format::Json => format!("{value:#}\n"),
        Format::Yaml => manifest::document(&value),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output::BAD;

    fn table() -> Table {
        let mut table = Table::new([Column::fixed("READY"), Column::flexible("NAME"), Column::flexible("REASON")]);
        table.push(["1/2".into(), "otelgate-webhook".into(), Cell::new(BAD, "one of the replicas isn't ready at all")]);
        table.push(["2/2".into(), "a".into(), "".into()]);
        table
    }

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn a_pipe_gets_all_of_it() {
        assert_eq!(
            plain(&table().render(0, None)),
            "READY  NAME              REASON\n\
             1/2    otelgate-webhook  one of the replicas isn't ready at all\n\
             2/2    a\n"
        );
    }

    #[test]
    fn columns_give_way_to_the_terminal() {
        assert_eq!(
            plain(&table().render(2, Some(44))),
            "  READY  NAME              REASON\n  1/2    otelgate-webhook  one of the repli…\n  2/2    a\n"
        );
        for width in 30..80 {
            let text = plain(&table().render(2, Some(width)));
            assert!(text.lines().all(|line| line.chars().count() <= width), "{width}: {text}");
        }
    }

    #[test]
    fn foreign_text_stays_on_its_line() {
        assert_eq!(Cell::from("a\nb\tc\u{1b}[1m").text, "a b c [1m");
    }

    #[test]
    fn programs_get_json_or_yaml() {
        let value = serde_json::json!({"a": ["yes", 1]});
        assert_eq!(serialized(&value, Format::Json).expect("JSON"), "{\n  \"a\": [\n    \"yes\",\n    1\n  ]\n}\n");
        assert_eq!(serialized(&value, Format::Yaml).expect("YAML"), "a:\n- \"yes\"\n- 1\n");
    }
}

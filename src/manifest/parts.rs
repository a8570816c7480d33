//! Reads texts by several threads: long ones are cut between documents, and each part is read for itself. Where that
//! could give anything but what reading the whole text gives, the whole text is read.

use super::fault::{MAX_ALIASED, ReadError};
use super::{Document, Part, read, read_part, starts_as_json};
use crate::parallel;

/// Bytes of a part, at least.
const LEAST: usize = 64 * 1024;

/// Reads all documents of each text, by so many threads.
#[must_use]
pub fn read_all<'a>(threads: usize, texts: &[&'a str]) -> Vec<Result<Vec<Document<'a>>, ReadError>> {
    read_cut(threads, texts, if threads > 1 { LEAST } else { usize::MAX })
}

/// The same, with parts of so many bytes at least.
pub(super) fn read_cut<'a>(
    threads: usize,
    texts: &[&'a str],
    least: usize,
) -> Vec<Result<Vec<Document<'a>>, ReadError>> {
    let cut: Vec<_> = texts.iter().map(|text| parts(text, least)).collect();
    let all: Vec<_> = cut.iter().flatten().copied().collect();
    let mut done = parallel::map(threads, &all, |part| read_part(part)).into_iter();
    let texts = texts.iter().zip(cut);
    texts.map(|(text, parts)| joined(text, &parts, done.by_ref().take(parts.len()).collect())).collect()
}

/// The text in parts, each up to the separator with which the next one begins, and that as well: what stands at the end
/// of a text is placed otherwise than what stands above a separator.
fn parts(text: &str, least: usize) -> Vec<&str> {
    let (mut parts, mut start) = (Vec::new(), 0);
    if !starts_as_json(text) && is_simple(text) {
        for (newline, _) in text.match_indices("\n---") {
            let at = newline + 1;
            let below = at + "---".len();
            if at - start >= least && matches!(text.as_bytes().get(below), None | Some(b' ' | b'\n' | b'\r')) {
                parts.push(&text[start..below]);
                start = at;
            }
        }
    }
    parts.push(&text[start..]);
    parts
}

/// Whether nothing that belongs to a document stands above its separator, and every line ends with a newline.
fn is_simple(text: &str) -> bool {
    let has_directive = text.starts_with('%') || text.contains("\n%");
    !has_directive && text.split('\r').skip(1).all(|rest| rest.starts_with('\n'))
}

fn joined<'a>(
    text: &'a str,
    parts: &[&'a str],
    done: Vec<Result<Part<'a>, ReadError>>,
) -> Result<Vec<Document<'a>>, ReadError> {
    // A fault's place is one in the whole text, and comments alone belong to the document below them.
    let Ok(mut done) = done.into_iter().collect::<Result<Vec<_>, _>>() else { return read(text) };
    if let Some((_last, others)) = done.split_last_mut() {
        // What the separator at the end begins stands in the next part.
        for part in others {
            part.documents.pop();
        }
    }
    let aliased: usize = done.iter().map(|part| part.aliased).sum();
    if aliased > MAX_ALIASED || done.iter().any(|part| part.documents.is_empty()) {
        return read(text);
    }
    let (mut all, mut above) = (Vec::new(), 0);
    for (part, Part { documents, .. }) in parts.iter().zip(done) {
        all.extend(documents.into_iter().map(|document| Document { line: document.line + above, ..document }));
        above += part.matches('\n').count();
    }
    Ok(all)
}

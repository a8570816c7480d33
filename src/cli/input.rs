//! Files, directories and standard input, as kubectl's `-f` takes them.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::output::{Complaint, plain};
use crate::config::{Configuration, ParseError, parse};
use crate::manifest::{self, Document, MAX_INPUT, ReadError};
use crate::parallel;

/// Endings of a directory's files that are manifests.
const ENDINGS: [&str; 3] = ["json", "yaml", "yml"];

/// Bytes of manifests that are worth a thread.
const WORTH: usize = 64 * 1024;

const STANDARD_INPUT: &str = "-";

#[derive(Debug, clap::Args)]
pub struct FileArgs {
    // First, since each of the others takes its values away.
    #[command(flatten)]
    _once: ReadOnce,
    /// Manifests: a file, a directory with .yaml, .yml and .json files, or - for standard input; may be repeated.
    #[arg(short, long = "filename", value_name = "FILE")]
    pub filename: Vec<PathBuf>,
    /// Look into the directories below as well.
    #[arg(short = 'R', long)]
    pub recursive: bool,
    /// The configuration, or a ConfigMap that holds it; the documented defaults without it.
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The namespace of documents that name none.
    #[arg(short, long, value_name = "NAMESPACE", value_parser = super::namespace_name)]
    pub namespace: Option<String>,
    /// Treat every namespace as labelled otelgate.dev/inject=enabled; a pod's own label still counts.
    #[arg(long)]
    pub opt_in: bool,
}

/// Refuses a command line by which standard input would be read twice, the second time as nothing.
#[derive(Debug)]
struct ReadOnce;

/// A text, and what it is called.
#[derive(Clone, Debug)]
pub struct Input {
    pub name: String,
    pub text: String,
}

/// An input's documents.
#[derive(Clone, Debug)]
pub struct Parsed<'a> {
    pub input: &'a Input,
    pub documents: Vec<Document<'a>>,
}

// === impl ReadOnce ===

impl clap::Args for ReadOnce {
    fn augment_args(command: clap::Command) -> clap::Command {
        command
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        command
    }
}

impl clap::FromArgMatches for ReadOnce {
    fn from_arg_matches(matches: &clap::ArgMatches) -> Result<Self, clap::Error> {
        let is_read = |id| {
            let mut paths = matches.get_many::<PathBuf>(id).into_iter().flatten();
            paths.any(|path| path.as_os_str() == STANDARD_INPUT)
        };
        if is_read("filename") && is_read("config") {
            let says = "standard input can't be the manifests and the configuration at once\n       \
                        next: give one of them as a file\n";
            return Err(clap::Error::raw(clap::error::ErrorKind::ArgumentConflict, says));
        }
        Ok(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &clap::ArgMatches) -> Result<(), clap::Error> {
        *self = <Self as clap::FromArgMatches>::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Reads everything that was named, or tells everything that can't be.
///
/// # Errors
/// When anything can't be read as text.
pub fn load(args: &FileArgs) -> Result<Vec<Input>, Vec<Complaint>> {
    let mut complaints = Vec::new();
    let mut paths = Vec::new();
    for path in &args.filename {
        match files(path, args.recursive) {
            Ok(files) => paths.extend(files),
            Err(complaint) => complaints.push(complaint),
        }
    }
    // A file that is named twice, however it is spelt, would be applied twice.
    let mut seen = BTreeSet::new();
    paths.retain(|path| {
        let file = (path.as_os_str() != STANDARD_INPUT).then(|| fs::canonicalize(path).ok()).flatten();
        seen.insert(file.unwrap_or_else(|| path.clone()))
    });
    let mut inputs = Vec::new();
    for path in paths {
        match text(&path) {
            Ok(text) => inputs.push(Input { name: name(&path), text }),
            Err(complaint) => complaints.push(complaint),
        }
    }
    if complaints.is_empty() { Ok(inputs) } else { Err(complaints) }
}

/// Reads all documents of all inputs.
///
/// # Errors
/// When any can't be read, so that nothing is done with half of them.
pub fn parse_all(inputs: &[Input]) -> Result<Vec<Parsed<'_>>, Vec<Complaint>> {
    let mut complaints = Vec::new();
    let mut parsed = Vec::new();
    let texts: Vec<_> = inputs.iter().map(|input| input.text.as_str()).collect();
    for (input, read) in inputs.iter().zip(manifest::read_all(threads(inputs), &texts)) {
        match read {
            Ok(documents) => parsed.push(Parsed { input, documents }),
            Err(error) => complaints.push(complaint(&input.name, &error)),
        }
    }
    if complaints.is_empty() { Ok(parsed) } else { Err(complaints) }
}

/// The threads that work on them.
#[must_use]
pub fn threads(inputs: &[Input]) -> usize {
    parallel::threads(inputs.iter().map(|input| input.text.len()).sum::<usize>() / WORTH)
}

/// The configuration that was named, or the documented defaults.
///
/// # Errors
/// When it can't be read or used.
pub fn configuration(path: Option<&Path>) -> Result<Configuration, Complaint> {
    let Some(path) = path else { return Ok(Configuration::default()) };
    let next = "see the configuration reference for every key and its values";
    parse(&text(path)?).map_err(|error| match error {
        ParseError::Malformed { at, message } => {
            Complaint { place: format!("{}:{}:{}", name(path), at.line, at.column), message, next: next.to_owned() }
        }
        other => Complaint { place: name(path), message: other.to_string(), next: next.to_owned() },
    })
}

fn complaint(name: &str, error: &ReadError) -> Complaint {
    Complaint {
        place: format!("{name}:{}:{}", error.line, error.column),
        message: error.to_string(),
        next: error.fault.next_step().to_owned(),
    }
}

fn files(path: &Path, recursive: bool) -> Result<Vec<PathBuf>, Complaint> {
    if path.as_os_str() == STANDARD_INPUT {
        return Ok(vec![path.to_owned()]);
    }
    if !fs::metadata(path).map_err(|error| unreadable(path, &error))?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    walk(path, recursive, &mut found)?;
    if found.is_empty() {
        let next = if recursive {
            "name a file; one that is named may have any ending"
        } else {
            "give -R to look into the directories below as well"
        };
        let message = "the directory has no .yaml, .yml or .json file".to_owned();
        return Err(Complaint { place: name(path), message, next: next.to_owned() });
    }
    Ok(found)
}

/// In the order of their names, files and directories alike, so that the output is stable.
fn walk(directory: &Path, recursive: bool, found: &mut Vec<PathBuf>) -> Result<(), Complaint> {
    let entries = fs::read_dir(directory).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let mut entries = entries.map_err(|error| unreadable(directory, &error))?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for path in entries.into_iter().map(|entry| entry.path()) {
        if path.is_dir() {
            // A link could lead in a circle.
            if recursive && !path.is_symlink() {
                walk(&path, recursive, found)?;
            }
        } else if path.extension().and_then(|ending| ending.to_str()).is_some_and(|ending| ENDINGS.contains(&ending)) {
            found.push(path);
        }
    }
    Ok(())
}

fn text(path: &Path) -> Result<String, Complaint> {
    let mut bytes = Vec::new();
    let limit = MAX_INPUT as u64 + 1;
    let read = if path.as_os_str() == STANDARD_INPUT {
        io::stdin().lock().take(limit).read_to_end(&mut bytes)
    } else {
        fs::File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes))
    };
    read.map_err(|error| unreadable(path, &error))?;
    match manifest::decode(&bytes) {
        Ok(text) => Ok(text.to_owned()),
        Err(error) => Err(complaint(&name(path), &error)),
    }
}

fn name(path: &Path) -> String {
    if path.as_os_str() == STANDARD_INPUT { "standard input".to_owned() } else { path.display().to_string() }
}

fn unreadable(path: &Path, error: &io::Error) -> Complaint {
    let next = match error.kind() {
        io::ErrorKind::NotFound if is_url(path) => {
            "fetch it first and give it by -f -: otelgate inject reads no network"
        }
        io::ErrorKind::NotFound => "correct the path",
        io::ErrorKind::PermissionDenied => "make it readable for this user",
        _ => "see whether it is a readable file",
    };
    Complaint { place: name(path), message: plain(error), next: next.to_owned() }
}

fn is_url(path: &Path) -> bool {
    path.to_str().is_some_and(|path| path.starts_with("http://") || path.starts_with("https://"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_opened_says_why_and_what_to_do() {
        // The administrator may read everything, so no file can show this one.
        let denied = unreadable(Path::new("p.yaml"), &io::Error::from_raw_os_error(13));
        assert_eq!((denied.place.as_str(), denied.message.as_str()), ("p.yaml", "permission denied"));
        assert_eq!(denied.next, "make it readable for this user");
    }
}

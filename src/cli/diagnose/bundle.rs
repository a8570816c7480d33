//! The bundle: files, what was left out of it, and a last look for what must not be in it.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::redact::HIDDEN;
use crate::unavailable::Unavailable;

/// Files on their way into an archive.
#[derive(Debug, Default)]
pub struct Bundle {
    files: Vec<File>,
    gaps: Vec<(String, Unavailable)>,
    /// What stands in Secrets that were read, in every form in which it could stand elsewhere.
    secrets: Vec<String>,
}

#[derive(Debug)]
struct File {
    path: String,
    about: String,
    content: String,
}

/// Shorter values stand in too many innocent places.
const SHORTEST: usize = 8;
/// Of what is no Secret's, and may be a word.
const SHORTEST_OF_VARIABLES: usize = 16;

// === impl Bundle ===

impl Bundle {
    pub fn add(&mut self, path: &str, about: &str, content: String) {
        self.files.push(File { path: path.to_owned(), about: about.to_owned(), content });
    }

    /// Says what isn't in it.
    pub fn leave_out(&mut self, what: &str, why: Unavailable) {
        self.gaps.push((what.to_owned(), why));
    }

    /// Remembers a value of a Secret, so that it's in no file.
    pub fn hide(&mut self, value: &[u8]) {
        let Ok(text) = std::str::from_utf8(value) else { return };
        // A key is on many lines, each of which tells a part of it.
        let lines = text.lines().map(str::trim).filter(|line| !line.starts_with("-----"));
        for part in lines.chain([text.trim(), text]).filter(|part| part.len() >= SHORTEST) {
            let escaped = serde_json::to_string(part).unwrap_or_default();
            let escaped = escaped.trim_matches('"').to_owned();
            self.secrets.extend([part.to_owned(), STANDARD.encode(part), escaped]);
        }
    }

    /// Likewise a variable's value that somebody wrote in the clear, if it's long enough to be a key.
    pub fn hide_variable(&mut self, value: &str) {
        if value.len() >= SHORTEST_OF_VARIABLES {
            self.hide(value.as_bytes());
        }
    }

    #[must_use]
    pub fn gaps(&self) -> &[(String, Unavailable)] {
        &self.gaps
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// The index, and all files as they leave: without any value of a Secret that was read.
    #[must_use]
    pub fn finished(&self, title: &str) -> Vec<(String, String)> {
        let mut secrets: Vec<&str> = self.secrets.iter().map(String::as_str).collect();
        // Longest first, so that of a value that holds another nothing is left.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets.dedup();
        let clean = |text: &str| {
            let found = secrets.iter().filter(|secret| text.contains(**secret));
            found.fold(text.to_owned(), |text, secret| text.replace(secret, HIDDEN))
        };
        let index = ("INDEX.md".to_owned(), clean(&self.index(title)));
        std::iter::once(index).chain(self.files.iter().map(|file| (clean(&file.path), clean(&file.content)))).collect()
    }

    fn index(&self, title: &str) -> String {
        let mut out = format!("# {title}\n\n## In this bundle\n\n");
        for File { path, about, .. } in &self.files {
            writeln!(out, "- `{path}`: {about}").expect("a String takes all");
        }
        out.push_str("\n## Left out\n\n");
        for (what, why) in &self.gaps {
            writeln!(out, "- {what}: {why}").expect("a String takes all");
        }
        if self.gaps.is_empty() {
            out.push_str("- nothing of what is looked for\n");
        }
        out.push_str(
            "\n## Never in it\n\n- the data of Secrets: of these, the names of their keys and the dates of certificates\n\
             - values of environment variables and of arguments that aren't otelgate's own flags\n\
             - keys, tokens and texts of files that a DatadogAgent holds in the clear\n\
             - bodies of annotations but otelgate's own\n- anything of other pods than those of otelgate, of Collectors and of Agents\n",
        );
        out
    }
}

/// Writes an archive, which is either there as a whole or not at all, and readable by nobody else.
///
/// # Errors
/// When there is a file of that name, or none can be written.
pub fn write(path: &Path, root: &str, files: &[(String, String)], now: i64) -> io::Result<()> {
    let archive = archive(root, files, now)?;
    let mut options = fs::File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    let written = file.write_all(&archive).and_then(|()| file.sync_all());
    if written.is_err() {
        // Half an archive helps nobody.
        let _ = fs::remove_file(path);
    }
    written
}

fn archive(root: &str, files: &[(String, String)], now: i64) -> io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(u64::try_from(now).unwrap_or_default());
        archive.append_data(&mut header, format!("{root}/{path}"), content.as_bytes())?;
    }
    archive.into_inner()?.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_a_secret_is_in_no_file_in_no_form() {
        let mut bundle = Bundle::default();
        let key =
            "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49\nAgEGCCqGSM49AwEHBG0w\n-----END PRIVATE KEY-----\n";
        for secret in ["0123456789abcdef\n", "with \"quotes\" in it", key] {
            bundle.hide(secret.as_bytes());
        }
        let encoded = STANDARD.encode("0123456789abcdef");
        bundle.add("logs/a", "x", format!("key=0123456789abcdef {encoded} {{\"k\": \"with \\\"quotes\\\" in it\"}}"));
        bundle.add("b", "0123456789abcdef", key.replace('\n', "\\n"));
        let all: String = bundle.finished("t").into_iter().map(|(path, content)| path + &content).collect();
        for secret in ["0123456789abcdef", &encoded, "quotes", "MIGHAgEAMBMG", "AgEGCCqGSM49"] {
            assert!(!all.contains(secret), "{secret} is in {all}");
        }
    }

    #[test]
    fn a_variable_is_hidden_where_it_may_be_a_key() {
        let mut bundle = Bundle::default();
        bundle.hide_variable("production");
        bundle.hide_variable("0123456789abcdef");
        bundle.add("a", "x", "in production with 0123456789abcdef".to_owned());
        assert_eq!(bundle.finished("t")[1].1, format!("in production with {HIDDEN}"));
    }

    #[test]
    fn the_index_says_what_is_missing_and_why() {
        let mut bundle = Bundle::default();
        bundle.add("pods.yaml", "otelgate's pods", String::new());
        bundle.leave_out(
            "events.yaml",
            Unavailable::Forbidden {
                verb: "list".into(),
                resource: "events".into(),
                namespace: Some("otelgate".into()),
            },
        );
        let (path, index) = bundle.finished("otelgate diagnose").remove(0);
        assert_eq!(path, "INDEX.md");
        assert!(index.contains("- `pods.yaml`: otelgate's pods\n"), "{index}");
        assert!(index.contains("- events.yaml: not allowed to list events in namespace otelgate\n"), "{index}");
    }

    #[test]
    fn an_archive_is_never_written_over_another_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.tar.gz");
        let files = [("INDEX.md".to_owned(), "x".to_owned())];
        write(&path, "root", &files, 0).expect("it is written");
        assert_eq!(write(&path, "root", &files, 0).expect_err("it is there").kind(), io::ErrorKind::AlreadyExists);
    }
}

//! Why a text is no manifest, where, and what to do about it.

use std::fmt;

use thiserror::Error;

/// A text that can't be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{fault}")]
pub struct ReadError {
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1, in characters.
    pub column: usize,
    pub fault: Fault,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// In the parser's words.
    Syntax(String),
    /// In the parser's words, of a text that begins as JSON.
    Json(String),
    DuplicateKey(String),
    Template,
    /// A list or a map as a key.
    KeyNotScalar,
    NullKey,
    NotFinite(String),
    /// The tag that the value isn't of.
    WrongTag(String),
    MergeNotMap,
    UnknownAlias,
    AliasOfItself,
    AliasBomb,
    TooDeep,
    /// `---x`, which a YAML parser takes for text and kubectl for a separator; or `--- x`, which kubectl refuses too.
    Separator,
    /// A document behind `...`, with no `---` above it.
    Unseparated,
    Utf16,
    NotUtf8,
    Binary,
    TooLarge,
}

/// Of one input, in bytes.
pub const MAX_INPUT: usize = 64 * 1024 * 1024;
/// Of maps and lists in each other; the API server's JSON has less.
pub const MAX_DEPTH: usize = 100;
/// Values that aliases may make of one input.
pub const MAX_ALIASED: usize = 100_000;

impl Fault {
    /// What to do about it.
    #[must_use]
    pub fn next_step(&self) -> &'static str {
        match self {
            Self::Syntax(_) | Self::Json(_) => "correct the text there; kubectl refuses it too",
            Self::DuplicateKey(_) => "keep one of the two; kubectl would silently take the last",
            Self::Template => {
                "render it first, such as with `helm template`, and give the result: `-f -` reads it from a pipe"
            }
            Self::KeyNotScalar => "if it is text, quote it",
            Self::NullKey => "quote the key, or write one",
            Self::NotFinite(_) => "quote it if it is text; JSON has no such number",
            Self::WrongTag(_) => "remove the tag, or correct the value",
            Self::MergeNotMap => "give << a map or a list of maps, or quote it",
            Self::UnknownAlias => "define the anchor above it in the same document, or quote the text if it is none",
            Self::AliasOfItself => "write the value out",
            Self::AliasBomb => "write the values out, or split the file",
            Self::TooDeep => "this is no Kubernetes object; leave the file out",
            Self::Separator => {
                "write --- on a line of its own between documents; quote or indent the text if it is none"
            }
            Self::Unseparated => {
                "write --- on a line of its own above it; kubectl would silently leave the document out"
            }
            Self::Utf16 => "convert it: iconv -f UTF-16 -t UTF-8",
            Self::NotUtf8 => "convert it to UTF-8, or leave the file out if it is no text",
            Self::Binary => "leave the file out, or unpack it first",
            Self::TooLarge => "split the file",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(words) => write!(f, "not YAML: {words}"),
            Self::Json(words) => write!(f, "not JSON: {words}"),
            Self::DuplicateKey(key) => write!(f, "the key {key:?} stands twice in one map"),
            Self::Template => f.write_str("a template that wasn't rendered: {{ … }}"),
            Self::KeyNotScalar => f.write_str("a map or a list stands where a key should"),
            Self::NullKey => f.write_str("a key is empty or null"),
            Self::NotFinite(text) => write!(f, "{text} is read as a number that JSON doesn't have"),
            Self::WrongTag(tag) => write!(f, "the value is no !!{tag}"),
            Self::MergeNotMap => f.write_str("<< merges something that is no map"),
            Self::UnknownAlias => f.write_str("an alias (*) names an anchor (&) that isn't there"),
            Self::AliasOfItself => f.write_str("an alias stands inside the value it names"),
            Self::AliasBomb => write!(f, "aliases make more than {MAX_ALIASED} values of this file"),
            Self::TooDeep => write!(f, "maps and lists are nested more than {MAX_DEPTH} deep"),
            Self::Separator => f.write_str("a line begins with --- and goes on with text"),
            Self::Unseparated => f.write_str("a second document begins without a line of ---"),
            Self::Utf16 => f.write_str("the text is UTF-16; manifests are UTF-8"),
            Self::NotUtf8 => f.write_str("the text is not UTF-8"),
            Self::Binary => f.write_str("this is no text: it has a zero byte"),
            Self::TooLarge => write!(f, "the input is larger than {} MiB", MAX_INPUT / 1024 / 1024),
        }
    }
}

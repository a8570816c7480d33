//! The annotation `otelgate.dev/status`: what was decided and written, in enough detail to undo it.
//!
//! It never holds a value. Each key that was written has a mark: the digest of what was written, and for a merged
//! variable where in the value it stands. A key counts as otelgate's only while its mark still fits; otherwise somebody
//! edited it, and it is the user's.

use std::array;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::str::{self, FromStr};

use serde::de::Error as _;
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use super::lookup;
use super::view::{Presence, ValueFrom, Variable};

/// The first four bytes of a SHA-256, written as 8 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Digest([u8; 4]);

/// Digests by the place of their text in memory: what all containers share is worked out once.
#[derive(Default)]
pub(super) struct Digests<'e>(Vec<(&'e str, Digest)>);

/// What is shared comes with the first container; what comes later and isn't remembered costs nobody a search.
const MAX_REMEMBERED: usize = 64;

/// What otelgate wrote under a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// The whole value: `1a2b3c4d`.
    Whole(Digest),
    /// A part of a value to which somebody may write: a suffix of the user's, `1a2b3c4d@12+230`, or all that there was,
    /// `1a2b3c4d@none+230`.
    Suffix { digest: Digest, was: Was, length: usize },
}

/// The value that a suffix was appended to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Was {
    /// There was no such variable.
    None,
    Absent,
    Null,
    /// Its length in bytes.
    Text(usize),
}

/// As read back from a pod.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Of otelgate, which wrote it.
    pub version: String,
    /// The configuration's hash.
    pub config: String,
    #[serde(default = "filled")]
    pub metadata: Presence,
    #[serde(default)]
    pub labels: Written,
    #[serde(default)]
    pub annotations: Written,
    #[serde(default)]
    pub containers: BTreeMap<String, Written>,
}

/// What was written into a list or a map, and how that stood before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Written {
    #[serde(default = "filled")]
    pub was: Presence,
    #[serde(default)]
    pub set: BTreeMap<String, Mark>,
    /// Keys that were written once, and that somebody edited since: they are the user's.
    #[serde(default)]
    pub edited: Vec<String>,
    /// What a container has as it was written into another, where nothing proves whose it is: it stays.
    #[serde(default)]
    pub unclaimed: BTreeMap<String, Mark>,
}

/// As written into a pod; the same format as [`Status`], borrowed.
#[derive(Serialize)]
pub(super) struct NewStatus<'a> {
    pub version: &'static str,
    pub decision: &'static str,
    pub config: &'a str,
    #[serde(skip_serializing_if = "is_filled")]
    pub metadata: Presence,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<super::Reason>,
    pub containers: Pairs<'a, NewWritten<'a>>,
    pub annotations: NewWritten<'a>,
    pub labels: NewWritten<'a>,
}

#[derive(Serialize)]
pub(super) struct NewWritten<'a> {
    #[serde(skip_serializing_if = "is_filled")]
    pub was: Presence,
    #[serde(skip_serializing_if = "Pairs::is_empty")]
    pub set: Pairs<'a, Mark>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub edited: &'a [&'a str],
    #[serde(skip_serializing_if = "Pairs::is_empty")]
    pub unclaimed: Pairs<'a, Mark>,
}

/// A JSON object in the order of its pairs.
pub(super) struct Pairs<'a, T>(pub Vec<(&'a str, T)>);

fn filled() -> Presence {
    Presence::Filled
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_filled(presence: &Presence) -> bool {
    *presence == Presence::Filled
}

// === impl Digest ===

impl Digest {
    /// Of a literal.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let hash = Sha256::digest(text.as_bytes());
        Self([hash[0], hash[1], hash[2], hash[3]])
    }

    /// Of a reference to a field of the pod, which no literal's digest is meant to equal.
    #[must_use]
    pub fn of_field(path: &str) -> Self {
        let hash = Sha256::new().chain_update(b"fieldRef\0").chain_update(path.as_bytes()).finalize();
        Self([hash[0], hash[1], hash[2], hash[3]])
    }

    fn digits(self) -> [u8; 8] {
        let digit = |place: usize| (self.0[place / 2] >> (4 - 4 * (place % 2))) & 15;
        array::from_fn(|place| b"0123456789abcdef"[usize::from(digit(place))])
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(str::from_utf8(&self.digits()).expect("digits are ASCII"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        if text.len() != 8 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(());
        }
        u32::from_str_radix(text, 16).map(|number| Self(number.to_be_bytes())).map_err(drop)
    }
}

// === impl Digests ===

impl<'e> Digests<'e> {
    pub fn of(&mut self, text: &'e str) -> Digest {
        self.remembered(text, Digest::of)
    }

    pub fn of_field(&mut self, path: &'e str) -> Digest {
        self.remembered(path, Digest::of_field)
    }

    /// A place holds either a literal or a path, never both.
    fn remembered(&mut self, text: &'e str, work_out: impl FnOnce(&str) -> Digest) -> Digest {
        let mut known = self.0.iter().inspect(|_| lookup::step());
        if let Some((_, digest)) = known.find(|(known, _)| std::ptr::eq(*known, text)) {
            return *digest;
        }
        let digest = work_out(text);
        if self.0.len() < MAX_REMEMBERED {
            self.0.push((text, digest));
        }
        digest
    }
}

// === impl Mark ===

impl Mark {
    /// Where in a literal the marked suffix stands, if it still does. Pairs behind it are the user's; text that makes its
    /// first or last pair another one leaves nothing of it otelgate's.
    #[must_use]
    pub fn suffix_in(self, value: &str) -> Option<std::ops::Range<usize>> {
        let Self::Suffix { digest, was, length } = self else { return None };
        let start = match was {
            Was::None | Was::Absent | Was::Null => 0,
            Was::Text(old) => old,
        };
        let written = |start: usize| {
            let range = start..start.checked_add(length)?;
            let (before, suffix, behind) = (value.get(..start)?, value.get(range.clone())?, &value[range.end..]);
            let begins = suffix.starts_with(',') || matches!(before.trim_end().chars().next_back(), None | Some(','));
            let ends = behind.is_empty() || behind.starts_with(',');
            (begins && ends && Digest::of(suffix) == digest).then_some(range)
        };
        // Who edits only what stands before it leaves the suffix at the end.
        written(start).or_else(|| written(value.len().checked_sub(length)?))
    }

    /// Whether a literal is what was written.
    #[must_use]
    pub fn is_whole(self, value: &str) -> bool {
        match self {
            Self::Whole(digest) => digest == Digest::of(value),
            Self::Suffix { digest, was: Was::None, length } => length == value.len() && digest == Digest::of(value),
            Self::Suffix { .. } => false,
        }
    }

    /// Whether a variable is what was written, as a whole.
    pub(super) fn is_variable(self, variable: &Variable<'_>) -> bool {
        match (variable.value.presence == Presence::Filled, variable.value_from.presence == Presence::Filled) {
            (true, false) => self.is_whole(variable.value.value.as_str()),
            (false, true) => {
                let ValueFrom { field_ref } = &variable.value_from.value;
                self == Self::Whole(Digest::of_field(field_ref.field_path.as_str()))
            }
            _ => false,
        }
    }

    /// Whether a variable has what was written, wherever that was; `literal` is the user's part of its value.
    pub(super) fn fits(self, variable: &Variable<'_>, literal: &str) -> bool {
        match (self, variable.value_from.presence) {
            (Self::Whole(_), Presence::Filled) => self.is_variable(variable),
            (Self::Whole(_), _) => self.is_whole(literal),
            (Self::Suffix { .. }, presence) => presence != Presence::Filled && self.suffix_in(literal).is_some(),
        }
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(digest) => write!(f, "{digest}"),
            Self::Suffix { digest, was, length } => match was {
                Was::None => write!(f, "{digest}@none+{length}"),
                Was::Absent => write!(f, "{digest}@absent+{length}"),
                Was::Null => write!(f, "{digest}@null+{length}"),
                Was::Text(old) => write!(f, "{digest}@{old}+{length}"),
            },
        }
    }
}

impl FromStr for Mark {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let Some((digest, place)) = text.split_once('@') else { return text.parse().map(Self::Whole) };
        let (was, length) = place.split_once('+').ok_or(())?;
        let was = match was {
            "none" => Was::None,
            "absent" => Was::Absent,
            "null" => Was::Null,
            old => Was::Text(old.parse().map_err(drop)?),
        };
        Ok(Self::Suffix { digest: digest.parse()?, was, length: length.parse().map_err(drop)? })
    }
}

impl Serialize for Mark {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Whole(digest) => {
                serializer.serialize_str(str::from_utf8(&digest.digits()).expect("digits are ASCII"))
            }
            Self::Suffix { .. } => serializer.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for Mark {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(|()| D::Error::custom("not a mark"))
    }
}

// === impl Pairs ===

impl<T> Pairs<'_, T> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T: Serialize> Serialize for Pairs<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_read_back() {
        for text in
            ["0123abcd", "0123abcd@0+12", "0123abcd@absent+1", "0123abcd@null+1", "0123abcd@none+9", "ffffffff@99+230"]
        {
            assert_eq!(text.parse::<Mark>().unwrap().to_string(), text);
        }
        for text in ["", "123", "0123abcg", "+123abcd", "0123abcd@", "0123abcd@x+1", "0123abcd@1", "0123abcd@1+-1"] {
            assert!(text.parse::<Mark>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_suffix_is_found_only_where_it_was_written() {
        let mark = Mark::Suffix { digest: Digest::of(",b=2"), was: Was::Text(3), length: 4 };
        assert_eq!(mark.suffix_in("a=1,b=2"), Some(3..7));
        assert_eq!(mark.suffix_in("a=1,b=2,c=3"), Some(3..7));
        assert_eq!(mark.suffix_in("a=11,b=2"), Some(4..8));
        assert_eq!(mark.suffix_in("a=11,b=2,c=3"), None);
        assert_eq!(mark.suffix_in("a=1"), None);
        for longer in ["a=1,b=22", "a=1,b=22,c=3", "a=1,b=2 "] {
            assert_eq!(mark.suffix_in(longer), None, "{longer}");
        }
        let first = Mark::Suffix { digest: Digest::of("b=2"), was: Was::None, length: 3 };
        for (value, place) in [("b=2", Some(0..3)), ("b=2,c=3", Some(0..3)), ("a=1, b=2", Some(5..8)), ("bb=2", None)] {
            assert_eq!(first.suffix_in(value), place, "{value}");
        }
        let cut = Mark::Suffix { digest: Digest::of("x"), was: Was::Text(1), length: 1 };
        assert_eq!(cut.suffix_in("ü"), None, "a range inside a character");
    }
}

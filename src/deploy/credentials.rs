//! Datadog's API key, on its way from the environment into a Secret: never printed, never an argument.

use std::fmt;

use thiserror::Error;

/// Where it comes from.
pub const VARIABLE: &str = "DD_API_KEY";

/// 32 hexadecimal digits.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

/// Says nothing of what was given but its length.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum KeyFault {
    #[error("it has {0} characters, and an API key has 32; an application key is something else")]
    Length(usize),
    #[error("it has characters that are no hexadecimal digits")]
    Digits,
}

const LENGTH: usize = 32;

impl ApiKey {
    /// The key, and whether blanks or line ends around it were taken away: the classic fault of a key from a file.
    ///
    /// # Errors
    /// When it hasn't the shape of a key.
    pub fn parse(text: &str) -> Result<(Self, bool), KeyFault> {
        let key = text.trim();
        let length = key.chars().count();
        if length != LENGTH {
            return Err(KeyFault::Length(length));
        }
        if !key.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(KeyFault::Digits);
        }
        Ok((Self(key.to_owned()), key.len() != text.len()))
    }

    /// For the Secret alone.
    #[must_use]
    pub fn reveal(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "0123456789abcdef0123456789ABCDEF";

    #[test]
    fn a_line_end_is_taken_away_and_said() {
        let (key, trimmed) = ApiKey::parse(&format!("{KEY}\n")).expect("a key");
        assert_eq!((key.reveal(), trimmed), (KEY.as_bytes(), true));
        assert!(ApiKey::parse(KEY).is_ok_and(|(_, trimmed)| !trimmed));
    }

    #[test]
    fn what_is_no_key_is_refused_and_not_told() {
        for (text, fault) in [
            ("", KeyFault::Length(0)),
            ("0123456789abcdef0123456789abcdef01234567", KeyFault::Length(40)),
            ("\"123456789abcdef0123456789abcdef\"", KeyFault::Length(33)),
            ("g123456789abcdef0123456789abcdef", KeyFault::Digits),
        ] {
            let found = ApiKey::parse(text).expect_err("no key");
            assert_eq!(found, fault);
            assert!(text.is_empty() || !found.to_string().contains(text));
        }
        let (key, _) = ApiKey::parse(KEY).expect("a key");
        assert_eq!(format!("{key:?}"), "ApiKey(…)");
    }
}

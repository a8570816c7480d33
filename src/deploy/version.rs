//! Versions, of Helm and of otelgate.

use std::fmt;
use std::str::FromStr;

/// `MAJOR.MINOR.PATCH`; what stands behind it (`-rc.1`, `+build`) decides nothing here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    pub major: u32,
    pub minor: u32,
    pub patch: u32,
}

/// The oldest Helm whose flags are all there.
pub const OLDEST_HELM: Version = Version { major: 3, minor: 14, patch: 0 };

impl Version {
    /// This program's.
    ///
    /// # Panics
    /// Never: Cargo takes no other form.
    #[must_use]
    pub fn own() -> Self {
        env!("CARGO_PKG_VERSION").parse().expect("Cargo takes no other")
    }

    /// Whether a move from `self` goes further back than is promised to work: one minor version.
    #[must_use]
    pub fn is_too_far_above(self, target: Self) -> bool {
        self.major > target.major || (self.major == target.major && self.minor > target.minor + 1)
    }
}

impl FromStr for Version {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let text = text.trim();
        let text = text.strip_prefix('v').unwrap_or(text);
        let numbers = text.split(['-', '+']).next().unwrap_or_default();
        let mut parts = numbers.split('.').map(|part| part.parse().map_err(drop));
        let mut next = || parts.next().unwrap_or(Err(()));
        let version = Self { major: next()?, minor: next()?, patch: next()? };
        parts.next().map_or(Ok(version), |_| Err(()))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { major, minor, patch } = self;
        write!(f, "{major}.{minor}.{patch}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_helm_says_of_itself_is_read() {
        for (text, version) in [("v3.14.0+g3fc9f4b\n", (3, 14, 0)), ("v4.3.1", (4, 3, 1)), ("0.2.0-rc.1", (0, 2, 0))] {
            let (major, minor, patch) = version;
            assert_eq!(text.parse(), Ok(Version { major, minor, patch }), "{text}");
        }
        for text in ["", "v3", "3.14", "3.14.x", "3.14.0.1", "version 3.14.0"] {
            assert_eq!(text.parse::<Version>(), Err(()), "{text}");
        }
        assert!("3.13.9".parse::<Version>().is_ok_and(|version| version < OLDEST_HELM));
    }

    #[test]
    fn one_minor_version_back_is_not_too_far() {
        let too_far = |from: &str, to: &str| {
            from.parse::<Version>().expect("a version").is_too_far_above(to.parse().expect("a version"))
        };
        assert!(!too_far("0.2.0", "0.1.0"));
        assert!(too_far("0.3.0", "0.1.9"));
        assert!(too_far("1.0.0", "0.9.0"));
        assert!(!too_far("0.1.0", "0.9.0") && !too_far("0.1.5", "0.1.0"));
    }
}

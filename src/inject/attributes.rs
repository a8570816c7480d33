//! `OTEL_RESOURCE_ATTRIBUTES`: `key=value` pairs, separated by commas, values percent-encoded.
//!
//! Source: OpenTelemetry's "Resource SDK", "Specifying resource information via an environment variable", which takes
//! its encoding from W3C Baggage.

use super::expand::UNRESOLVED;

/// What a container's own `OTEL_RESOURCE_ATTRIBUTES` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// By key; those of one key in their order.
    pub pairs: Vec<(String, String)>,
    /// An entry that isn't `key=value`, or whose encoding is broken: SDKs may discard the whole variable.
    pub malformed: bool,
}

// === impl Attributes ===

impl Attributes {
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut attributes = Self::default();
        for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            let Some((key, value)) = entry.split_once('=').filter(|(key, _)| !key.trim().is_empty()) else {
                // What the reference stands for may well be pairs.
                attributes.malformed |= !entry.contains(UNRESOLVED);
                continue;
            };
            let value = decode(value.trim()).unwrap_or_else(|| {
                attributes.malformed = true;
                value.trim().to_owned()
            });
            let key = decode(key.trim()).unwrap_or_else(|| key.trim().to_owned());
            attributes.pairs.push((key, value));
        }
        attributes.pairs.sort_by(|(a, _), (b, _)| a.cmp(b));
        attributes
    }

    /// The value of a key; the last one, if it stands twice.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        let behind = self.pairs.partition_point(|(name, _)| name.as_str() <= key);
        self.pairs[..behind].last().filter(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }
}

/// `None` when a `%` isn't followed by two hexadecimal digits, or the bytes aren't UTF-8.
fn decode(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let mut digit = || char::from(bytes.next()?).to_digit(16);
            let (high, low) = (digit()?, digit()?);
            decoded.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            decoded.push(byte);
        }
    }
    String::from_utf8(decoded).ok()
}

/// Appends a value so that both an SDK and Kubernetes read it back: percent-encoded, with every `$` doubled.
pub fn push_encoded(out: &mut String, value: &str) {
    let plain = value.bytes().take_while(|byte| *byte != b'$' && is_plain(*byte)).count();
    let (plain, rest) = value.split_at(plain);
    out.push_str(plain);
    for byte in rest.bytes() {
        match byte {
            b'$' => out.push_str("$$"),
            byte if is_plain(byte) => out.push(char::from(byte)),
            byte => {
                const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
                out.push('%');
                out.push(char::from(DIGITS[usize::from(byte >> 4)]));
                out.push(char::from(DIGITS[usize::from(byte & 15)]));
            }
        }
    }
}

/// A baggage octet that isn't a delimiter here either.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'"' | b',' | b';' | b'\\' | b'%' | b'=')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_what_people_write() {
        let attributes = Attributes::parse(" a = 1 ,, b=x%20y,c=,a=2,");
        assert_eq!(attributes.get("a"), Some("2"));
        assert_eq!(attributes.get("b"), Some("x y"));
        assert_eq!(attributes.get("c"), Some(""));
        assert!(!attributes.malformed);
    }

    #[test]
    fn says_what_sdks_may_discard() {
        for text in ["novalue", "=x", "a=%zz", "a=%f", "a=%ff"] {
            assert!(Attributes::parse(text).malformed, "{text}");
        }
    }

    #[test]
    fn encoded_values_read_back() {
        let encoded = |value: &str| {
            let mut text = String::new();
            push_encoded(&mut text, value);
            text
        };
        for value in ["a,b", "k=v", "a b", "ü", "100%", "\"\\;", "", "v1.2.3+build"] {
            let text = format!("k={}", encoded(value));
            assert_eq!(Attributes::parse(&text).get("k"), Some(value), "{text}");
        }
        assert_eq!(encoded("a$(B)"), "a$$(B)");
    }
}

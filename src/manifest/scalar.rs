//! What an unquoted scalar is to kubectl.
//!
//! kubectl reads YAML with sigs.k8s.io/yaml, that is go-yaml v2: YAML 1.1's booleans and octals, 1.2's `0o`, numbers
//! with underscores, no base 60, timestamps as text. `tests/data/kubectl-yaml.jsonl` holds what it really answers.

use serde_json::{Number, Value};

/// An unquoted scalar, resolved.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar {
    Null,
    Bool(bool),
    Int(i64),
    /// Above `i64::MAX`.
    Uint(u64),
    /// May be infinite or no number, which JSON doesn't have.
    Float(f64),
    /// Anything else: the text as it stands.
    Text,
}

/// What the text of an unquoted scalar stands for.
#[must_use]
pub fn resolve(text: &str) -> Scalar {
    match text.as_bytes().first() {
        None => Scalar::Null,
        Some(b'y' | b'Y' | b'n' | b'N' | b't' | b'T' | b'f' | b'F' | b'o' | b'O' | b'~') => word(text),
        Some(b'0'..=b'9' | b'+' | b'-') => infinity(text).or_else(|| number(text)).unwrap_or(Scalar::Text),
        Some(b'.') => infinity(text).or_else(|| fraction(text)).unwrap_or(Scalar::Text),
        Some(_) => Scalar::Text,
    }
}

fn word(text: &str) -> Scalar {
    match text {
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Scalar::Bool(true),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Scalar::Bool(false),
        "~" | "null" | "Null" | "NULL" => Scalar::Null,
        _ => Scalar::Text,
    }
}

fn infinity(text: &str) -> Option<Scalar> {
    match text {
        ".nan" | ".NaN" | ".NAN" => Some(Scalar::Float(f64::NAN)),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Some(Scalar::Float(f64::INFINITY)),
        "-.inf" | "-.Inf" | "-.INF" => Some(Scalar::Float(f64::NEG_INFINITY)),
        _ => None,
    }
}

/// What begins with a digit or a sign. Underscores count for nothing, wherever they are.
fn number(text: &str) -> Option<Scalar> {
    let plain = text.replace('_', "");
    let (negative, unsigned) = match plain.as_bytes().first()? {
        b'-' => (true, &plain[1..]),
        b'+' => (false, &plain[1..]),
        _ => (false, plain.as_str()),
    };
    let (digits, radix) = match unsigned.as_bytes() {
        [b'0', b'x' | b'X', ..] => (&unsigned[2..], 16),
        [b'0', b'o' | b'O', ..] => (&unsigned[2..], 8),
        [b'0', b'b' | b'B', ..] => (&unsigned[2..], 2),
        [b'0', _, ..] => (&unsigned[1..], 8),
        _ => (unsigned, 10),
    };
    integer(digits, radix, negative).or_else(|| float(&plain))
}

fn integer(digits: &str, radix: u32, negative: bool) -> Option<Scalar> {
    if !digits.bytes().all(|digit| digit.is_ascii_alphanumeric()) {
        return None;
    }
    let magnitude = u64::from_str_radix(digits, radix).ok()?;
    if negative {
        return 0i64.checked_sub_unsigned(magnitude).map(Scalar::Int);
    }
    Some(i64::try_from(magnitude).map_or(Scalar::Uint(magnitude), Scalar::Int))
}

/// `[-+]? (. digits | digits [. digits?]) [e [-+]? digits]`; one that is too large stays text.
fn float(text: &str) -> Option<Scalar> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).map_or((unsigned, None), |(m, e)| (m, Some(e)));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let mantissa_ok = match mantissa.split_once('.') {
        Some(("", fraction)) => digits(fraction),
        Some((whole, fraction)) => digits(whole) && (fraction.is_empty() || digits(fraction)),
        None => digits(mantissa),
    };
    let exponent_ok = exponent.is_none_or(|exponent| digits(exponent.strip_prefix(['-', '+']).unwrap_or(exponent)));
    let value = (mantissa_ok && exponent_ok).then(|| text.parse::<f64>().ok())??;
    value.is_finite().then_some(Scalar::Float(value))
}

/// What begins with a point: here underscores must stand between digits.
fn fraction(text: &str) -> Option<Scalar> {
    let bytes = text.as_bytes();
    let digit_at = |index: Option<usize>| index.and_then(|index| bytes.get(index)).is_some_and(u8::is_ascii_digit);
    let well_placed = bytes
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == b'_')
        .all(|(index, _)| digit_at(index.checked_sub(1)) && digit_at(Some(index + 1)));
    if well_placed { float(&text.replace('_', "")) } else { None }
}

// === impl Scalar ===

impl Scalar {
    /// As JSON; `None` for what JSON doesn't have. A float that is whole is an integer to the API server.
    #[must_use]
    pub fn to_json(&self, text: &str) -> Option<Value> {
        Some(match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(*value),
            Self::Int(value) => Value::Number((*value).into()),
            Self::Uint(value) => Value::Number((*value).into()),
            Self::Float(value) => Value::Number(whole(*value).or_else(|| Number::from_f64(*value))?),
            Self::Text => Value::String(text.to_owned()),
        })
    }

    /// As the key of a map; `None` for null, which is none.
    #[must_use]
    pub fn to_key(&self, text: &str) -> Option<String> {
        Some(match self {
            Self::Null => return None,
            Self::Bool(value) => value.to_string(),
            Self::Int(value) => value.to_string(),
            Self::Uint(value) => value.to_string(),
            Self::Float(value) => float_key(*value),
            Self::Text => text.to_owned(),
        })
    }
}

/// The integer that a whole float is to the API server: its shortest digits, filled up with zeros. Minus zero is none.
fn whole(value: f64) -> Option<Number> {
    if value.fract() != 0.0 || value == 0.0 && value.is_sign_negative() {
        return None;
    }
    let digits = value.to_string();
    digits.parse::<i64>().map(Number::from).or_else(|_| digits.parse::<u64>().map(Number::from)).ok()
}

/// A float as kubectl writes it where it is a key: single precision, the shortest digits, an exponent from 1e+06 on.
#[expect(clippy::cast_possible_truncation, reason = "single precision is what kubectl uses")]
fn float_key(value: f64) -> String {
    let value = value as f32;
    if value.is_nan() {
        return ".nan".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { ".inf" } else { "-.inf" }.to_owned();
    }
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if !(-4..6).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", exponent.abs());
    }
    value.to_string()
}

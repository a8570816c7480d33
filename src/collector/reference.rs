//! `$` in the Collector's configuration.
//!
//! It replaces `${NAME}`, `${env:NAME}`, `${file:PATH}` and the like wherever they stand in a value, again and again
//! until nothing changes, and reads `$$` as `$` at the end. So every `$` of the spec's is doubled, and what users add
//! may refer to nothing but variables that are listed. A variable's value that held `${`, or that ended with `$` in
//! front of a text that begins with `{`, would be replaced again: such values are refused.

use serde_json::Value;

/// A text that stays as it is.
pub fn literal(text: &str) -> Value {
    Value::String(escaped(text))
}

/// Likewise, as a part of a text.
pub fn escaped(text: &str) -> String {
    text.replace('$', "$$")
}

/// The value of a variable of the container.
pub fn variable(name: &str) -> String {
    format!("${{env:{name}}}")
}

/// Names of the variables that a text refers to, or the first reference that isn't one to a variable.
pub fn variables(text: &str) -> Result<Vec<&str>, &str> {
    let mut names = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        let dollars = rest[at..].bytes().take_while(|byte| *byte == b'$').count();
        let behind = &rest[at + dollars..];
        // Of a run of dollars each two are one; the last of an odd number opens a reference.
        if behind.starts_with('{') && dollars % 2 == 1 {
            let end = behind.find('}').ok_or(&rest[at + dollars - 1..])?;
            names.push(name(&behind[1..end]).ok_or(&rest[at + dollars - 1..=at + dollars + end])?);
        }
        rest = behind;
    }
    Ok(names)
}

/// Whether a variable's value is the same wherever a configuration refers to it.
pub fn is_plain(value: &str) -> bool {
    !value.contains("${") && !value.ends_with('$')
}

/// Whether a container's variable may be called so, and be referred to.
pub fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Of `env:NAME`, `NAME`, or either with `:-` and what holds without it.
fn name(inner: &str) -> Option<&str> {
    let (name, default) = inner
        .strip_prefix("env:")
        .unwrap_or(inner)
        .split_once(":-")
        .unwrap_or_else(|| (inner.strip_prefix("env:").unwrap_or(inner), ""));
    (is_name(name) && !default.contains(['$', '{'])).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_to_variables_are_found() {
        for (text, expected) in [
            ("plain, $ and {}", vec![]),
            ("${env:A}", vec!["A"]),
            ("${A}-${env:_b2:-none}", vec!["A", "_b2"]),
            ("$${env:A}", vec![]),
            ("$$${env:A}", vec!["A"]),
            ("$$$${file:/etc/passwd}", vec![]),
            ("$1 $$2 $", vec![]),
        ] {
            assert_eq!(variables(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for (text, found) in [
            ("a ${file:/etc/passwd} b", "${file:/etc/passwd}"),
            ("${yaml:a}", "${yaml:a}"),
            ("${https://example.com/}", "${https://example.com/}"),
            ("${}", "${}"),
            ("${env:}", "${env:}"),
            ("${env:A", "${env:A"),
            ("${env:${file:/etc/passwd}}", "${env:${file:/etc/passwd}"),
            ("$${${file:/x}}", "${file:/x}"),
            ("${A:-${file:/x}}", "${A:-${file:/x}"),
            ("${A:-{}", "${A:-{}"),
            ("${env:A B}", "${env:A B}"),
            ("${ENV:A}", "${ENV:A}"),
        ] {
            assert_eq!(variables(text), Err(found), "{text}");
        }
    }

    #[test]
    fn what_is_escaped_refers_to_nothing() {
        for text in ["${env:DD_API_KEY}", "$", "$$", "$${file:/x}", "a$b${c}$$${d}", "${${x}}"] {
            assert_eq!(variables(&escaped(text)), Ok(vec![]), "{text}");
            assert_eq!(escaped(text).replace("$$", "$"), text);
        }
    }
}

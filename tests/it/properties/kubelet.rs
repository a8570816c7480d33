//! What a container sees: `$(NAME)` and `env` as the kubelet reads them, written from its documentation and behaviour,
//! apart from the engine's own reading.

use std::collections::BTreeMap;

use serde_json::Value;

/// A container's environment as its process gets it.
pub type Environment = BTreeMap<String, Vec<u8>>;

/// Variables that only the API server or the kubelet could know: what `envFrom` brings in these tests.
pub const HIDDEN: [(&str, &str); 3] =
    [("FROM_CONFIG", "hidden"), ("HIDDEN_HOST", "db.internal"), ("OTEL_LOG_LEVEL", "info")];

/// Stands for the value of a downward-API field.
pub fn field(path: &str) -> String {
    match path {
        "metadata.name" => "the-pod-7d4b9".to_owned(),
        "metadata.uid" => "6f0c2b7e-uid".to_owned(),
        "spec.nodeName" => "node-1.example".to_owned(),
        "status.hostIP" => "192.0.2.7".to_owned(),
        other => format!("field-{}", other.replace(|c: char| !c.is_ascii_alphanumeric(), "-")),
    }
}

/// Reads `env` in its order. `known` are the variables that are there before its first entry.
pub fn environment(container: &Value, known: &[(String, Vec<u8>)]) -> Environment {
    let mut seen: Environment = known.iter().cloned().collect();
    if container["envFrom"].as_array().is_some_and(|list| !list.is_empty()) {
        seen.extend(HIDDEN.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())));
    }
    for variable in container["env"].as_array().into_iter().flatten() {
        let Some(name) = variable["name"].as_str() else { continue };
        let literal = variable["value"].as_str().unwrap_or_default();
        let value = if literal.is_empty() { outside(variable) } else { expand(literal, &seen) };
        seen.insert(name.to_owned(), value);
    }
    seen
}

/// The value of an entry that has none of its own.
fn outside(variable: &Value) -> Vec<u8> {
    let from = &variable["valueFrom"];
    if let Some(path) = from["fieldRef"]["fieldPath"].as_str() {
        return field(path).into_bytes();
    }
    if from.is_null() { Vec::new() } else { format!("from-{from}").into_bytes() }
}

/// `$(NAME)` is replaced if known, `$$` is one `$`, everything else stays.
pub fn expand(text: &str, known: &Environment) -> Vec<u8> {
    let mut expanded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        match (first, tail.first()) {
            (b'$', Some(b'$')) => {
                expanded.push(b'$');
                rest = &tail[1..];
            }
            (b'$', Some(b'(')) => {
                if let Some(end) = tail.iter().position(|byte| *byte == b')') {
                    let name = String::from_utf8_lossy(&tail[1..end]).into_owned();
                    match known.get(&name) {
                        Some(value) => expanded.extend_from_slice(value),
                        None => expanded.extend_from_slice(&rest[..=end + 1]),
                    }
                    rest = &tail[end + 1..];
                } else {
                    expanded.extend_from_slice(b"$(");
                    rest = &tail[1..];
                }
            }
            _ => {
                expanded.push(first);
                rest = tail;
            }
        }
    }
    expanded
}

/// The names that a literal refers to.
pub fn references(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        rest = &rest[at + 1..];
        if let Some(tail) = rest.strip_prefix('$') {
            rest = tail;
        } else if let Some((name, tail)) = rest.strip_prefix('(').and_then(|tail| tail.split_once(')')) {
            names.push(name.to_owned());
            rest = tail;
        }
    }
    names
}

#[test]
fn expansion_is_the_kubelets() {
    let known: Environment = [("A".to_owned(), b"1".to_vec())].into();
    for (text, expanded) in [
        ("$(A)", "1"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$(B)", "$(B)"),
        ("$(A", "$(A"),
        ("a$", "a$"),
        ("p$$w$1", "p$w$1"),
        ("$()", "$()"),
    ] {
        assert_eq!(String::from_utf8(expand(text, &known)).unwrap(), expanded, "{text}");
    }
    assert_eq!(references("$(A)$$(B)$(C$(D)"), ["A", "C$(D"]);
}

//! Texts in OTTL, the language of `filter` and `transform`.

use serde_json::Value;

/// Its escapes are Go's: those of JSON are among them.
pub fn quoted(text: &str) -> String {
    Value::String(text.to_owned()).to_string()
}

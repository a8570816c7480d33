//! Any text as JSON: what `serde_json` accepts, the reader of reviews accepts, reads alike, and skips to the same byte.
//! Of anything else it says where, or reads on behind it, and never panics.

#![no_main]

use libfuzzer_sys::fuzz_target;
use otelgate::inject::Pod;
use otelgate::json::{Error, Read, Reader, push_string, read};
use serde_json::value::RawValue;

fuzz_target!(|text: &str| {
    let mut written = Vec::new();
    push_string(&mut written, text);
    assert_eq!(written, serde_json::to_vec(text).expect("a string is JSON"));

    let _ = Pod::from_json(text);
    let skipped = Reader::of(text).skip();
    let Ok(raw) = serde_json::from_str::<&RawValue>(text) else { return };
    assert_eq!(skipped, Ok(raw.get()));
    // Its limit of depth is this program's luck: a tree is read with the stack.
    let Ok(value) = serde_json::from_str::<serde_json::Value>(text) else { return };
    let tree = read::<Tree>(text).expect("what serde_json reads");
    assert!(tree.is(&value), "{text} is {value}");
});

/// A value, its numbers as they are written.
#[derive(Default)]
enum Tree {
    #[default]
    Null,
    Text(String),
    Scalar(String),
    List(Vec<Tree>),
    Object(Vec<(String, Tree)>),
}

impl<'a> Read<'a> for Tree {
    fn read(&mut self, reader: &mut Reader<'a>) -> Result<(), Error> {
        let next = reader.clone().skip()?;
        *self = match next.as_bytes()[0] {
            b'n' if reader.null() => Self::Null,
            b'{' => {
                let mut fields = Vec::new();
                reader.object(|reader, key| {
                    let mut value = Self::Null;
                    let read = value.read(reader);
                    fields.push((key.into_owned(), value));
                    read
                })?;
                Self::Object(fields)
            }
            b'[' => {
                let mut items = Vec::new();
                reader.list(|reader| {
                    let mut item = Self::Null;
                    let read = item.read(reader);
                    items.push(item);
                    read
                })?;
                Self::List(items)
            }
            b'"' => Self::Text(reader.string()?.into_owned()),
            _ => Self::Scalar(reader.skip()?.to_owned()),
        };
        Ok(())
    }
}

impl Tree {
    fn is(&self, value: &serde_json::Value) -> bool {
        match self {
            Self::Null => value.is_null(),
            Self::Text(text) => value == text.as_str(),
            Self::Scalar(text) => serde_json::from_str::<serde_json::Value>(text).is_ok_and(|scalar| scalar == *value),
            Self::List(items) => value.as_array().is_some_and(|values| {
                values.len() == items.len() && items.iter().zip(values).all(|(item, value)| item.is(value))
            }),
            // The last of those with one key counts.
            Self::Object(fields) => value.as_object().is_some_and(|values| {
                fields.iter().all(|(key, _)| values.contains_key(key))
                    && values.iter().all(|(key, value)| {
                        fields.iter().rfind(|(name, _)| name == key).is_some_and(|(_, field)| field.is(value))
                    })
            }),
        }
    }
}

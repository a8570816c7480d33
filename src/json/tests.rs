use std::fmt::Write as _;

use proptest::prelude::*;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::{Error, Inside, Read, Reader, push_string, read};

/// Everything that a text holds; scalars but strings as they stand there.
#[derive(Debug, Default, PartialEq)]
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
                reader.object(|reader, key| fields.push_mut((key.into_owned(), Self::Null)).1.read(reader))?;
                Self::Object(fields)
            }
            b'[' => {
                let mut items = Vec::new();
                reader.list(|reader| items.push_mut(Self::Null).read(reader))?;
                Self::List(items)
            }
            b'"' => Self::Text(reader.string()?.into_owned()),
            _ => Self::Scalar(reader.skip()?.to_owned()),
        };
        Ok(())
    }
}

/// The same, read by `serde_json`.
fn reference(raw: &RawValue) -> Tree {
    let text = raw.get();
    match text.as_bytes()[0] {
        b'n' => Tree::Null,
        b'{' => {
            let fields: Fields = serde_json::from_str(text).expect("an object");
            Tree::Object(fields.0)
        }
        b'[' => {
            let items: Vec<&RawValue> = serde_json::from_str(text).expect("a list");
            Tree::List(items.into_iter().map(reference).collect())
        }
        b'"' => Tree::Text(serde_json::from_str(text).expect("a string")),
        _ => Tree::Scalar(text.to_owned()),
    }
}

/// An object's fields, also those that stand twice.
struct Fields(Vec<(String, Tree)>);

impl<'de> serde::Deserialize<'de> for Fields {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;
        impl<'de> serde::de::Visitor<'de> for Each {
            type Value = Fields;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut access: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some((key, value)) = access.next_entry::<String, &RawValue>()? {
                    fields.push((key, reference(value)));
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Each)
    }
}

/// What `serde_json` accepts is read the same, and every value in it ends where it says.
fn agrees(text: &str) {
    let Ok(raw) = serde_json::from_str::<&RawValue>(text) else { return };
    assert_eq!(read::<Tree>(text).as_ref(), Ok(&reference(raw)), "{text}");
    let behind = [raw.get(), ",\"]}"].concat();
    assert_eq!(Reader::of(&behind).skip(), Ok(raw.get()), "{text}");
}

/// As a depth that no stack has room for.
const DEEP: usize = 1_000_000;

#[test]
fn a_text_is_read_as_serde_json_reads_it() {
    for text in [
        "null",
        " true ",
        "\t[\n]\r",
        "{ }",
        "0",
        "-1.5e+300",
        "\"\"",
        "\"a\"",
        "\"\\\"\"",
        "\"\\\\\"",
        "\"\\u00fc\\ud83d\\ude00\"",
        "[1,2 , 3]",
        "{\"a\":1,\"a\":2}",
        "{\"a\" : {\"b\":[{},[],\"]\"]}}",
        "[\"\\\\\\\\\\\"\", \"}\"]",
        "{\"\\u0061\":null}",
        "\"\u{7f}\u{80}\u{fc}\u{10ffff}\"",
    ] {
        assert!(serde_json::from_str::<&RawValue>(text).is_ok(), "{text}");
        agrees(text);
    }
}

/// Strings, escapes and brackets fall on every place of a block.
#[test]
fn no_place_in_a_block_is_special() {
    for length in 0..200 {
        let plain = "x".repeat(length);
        for end in ["", "\\\"", "\\\\", "\\\\\\\"", "\\n", "ü", "{", "]"] {
            agrees(&format!("{{\"{plain}{end}\":[\"{plain}\",{{\"a\":\"{end}\"}}],\"b\":[{{}}]}}"));
        }
        let slashes = "\\\\".repeat(length);
        agrees(&format!("[\"{slashes}\",[\"]{slashes}\\\"\"],{{}}]"));
        agrees(&format!("{}{}", "[".repeat(length), "]".repeat(length)));
    }
}

#[test]
fn what_is_read_has_to_be_json() {
    for text in [
        "",
        " ",
        "{",
        "[",
        "}",
        "\"",
        "\"\\",
        "\"\\\"",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":1",
        "{\"a\":1,",
        "{\"a\":1,}",
        "[1",
        "[1,",
        "[1,]",
        "[,1]",
        "{,}",
        "{a:1}",
        "{\"a\" 1}",
        "[1 2]",
        "[1}",
        "\"\n\"",
        "\"\u{0}\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\ud800\"",
        "null null",
        "{}]",
        "1,",
        "'a'",
        "\u{feff}1",
        "\u{a0}1",
        "nul",
        "[nul]",
        "nullnull",
        "01",
        "[-]",
        "{\"a\":1e}",
        "{\"a\":trues}",
    ] {
        assert!(serde_json::from_str::<&RawValue>(text).is_err() || text.contains("ud800"), "{text}");
        let tree = read::<Tree>(text);
        assert!(tree.is_err(), "{text} was read as {tree:?}");
    }
}

#[test]
fn what_is_skipped_has_to_end() {
    for (text, skipped) in [
        ("[1 2}x", Some("[1 2}")),
        ("{\"a\n\":\u{0}]x", Some("{\"a\n\":\u{0}]")),
        ("\"\\x\"x", Some("\"\\x\"")),
        ("[\"]", None),
        ("[\"\\\"]", None),
        ("[[]", None),
        ("\"a", None),
        ("\"a\\", None),
        ("\"a\n\"", None),
        ("", None),
        (",", None),
        ("]", None),
        ("nul", None),
        ("1.e5", None),
        ("-", None),
        ("--1", None),
    ] {
        assert_eq!(Reader::of(text).skip().ok(), skipped, "{text}");
    }
}

#[test]
fn depth_costs_no_stack() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let text = format!("{}1{}", open.repeat(DEEP), close.repeat(DEEP));
        assert_eq!(Reader::of(&text).skip().map(str::len), Ok(text.len()));
        assert!(Reader::of(&text[..text.len() - 1]).skip().is_err());
    }
}

#[test]
fn an_error_says_what_is_missing_and_where() {
    let error = read::<bool>("\n  7").expect_err("a number");
    assert_eq!(error.to_string(), "expected true or false at line 2, column 3");
    let error = read::<Tree>("{\"a\":[1,\n2}}").expect_err("a list without an end");
    assert_eq!((error.line, error.column), (2, 2));
}

fn value() -> impl Strategy<Value = Value> {
    let text = prop_oneof!["[a-z]{0,20}", r#"[\\"{}\[\],: ]{0,70}"#, any::<String>()];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 6, move |inner| {
        let field = (text.clone(), inner.clone());
        prop_oneof![
            proptest::collection::vec(inner, 0..6).prop_map(Value::from),
            proptest::collection::vec(field, 0..6).prop_map(|fields| Value::from(Map::from_iter(fields))),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_value_is_read_as_serde_json_reads_it(value in value()) {
        agrees(&value.to_string());
        agrees(&serde_json::to_string_pretty(&value).expect("JSON"));
    }

    #[test]
    fn any_string_is_written_as_serde_json_writes_it(text in prop_oneof![any::<String>(), r#"[a-z\\"\x00-\x20]{0,70}"#]) {
        let mut out = Vec::new();
        push_string(&mut out, &text);
        prop_assert_eq!(String::from_utf8(out).expect("UTF-8"), serde_json::to_string(&text).expect("JSON"));
        let mut out = Vec::new();
        write!(Inside(&mut out), "{}-{}", text, 7).expect("memory");
        let out = String::from_utf8(out).expect("UTF-8");
        prop_assert_eq!(serde_json::to_string(&format!("{text}-7")).expect("JSON"), format!("\"{out}\""));
    }

    /// Cut, and with a byte changed: what isn't JSON any more ends no process, and what still is reads the same.
    #[test]
    fn any_text_is_read_or_refused(value in value(), at in any::<prop::sample::Index>(), mark in r#"[{}\[\]",:\\ 0n]"#) {
        let text = value.to_string();
        let at = text.floor_char_boundary(at.index(text.len()));
        let behind = text.ceil_char_boundary(at + 1);
        for text in [text[..at].to_owned(), [&text[..at], &mark, &text[behind..]].concat()] {
            let _ = read::<Tree>(&text);
            agrees(&text);
        }
    }
}

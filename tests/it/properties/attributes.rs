//! `OTEL_RESOURCE_ATTRIBUTES` as an SDK reads it: pairs separated by commas, blanks around them cut, values
//! percent-decoded. Written apart from the engine's own reader, to judge what that one appended.

use std::collections::BTreeMap;

/// Keys with the first and the last value given to each: SDKs differ in which one wins.
pub type Attributes = BTreeMap<String, (Vec<u8>, Vec<u8>)>;

pub fn read(text: &[u8]) -> Attributes {
    let mut attributes = Attributes::new();
    for pair in text.split(|byte| *byte == b',') {
        let Some(equals) = pair.iter().position(|byte| *byte == b'=') else { continue };
        let key = String::from_utf8_lossy(pair[..equals].trim_ascii()).into_owned();
        let value = decode(pair[equals + 1..].trim_ascii());
        attributes.entry(key).and_modify(|(_, last)| last.clone_from(&value)).or_insert_with(|| (value.clone(), value));
    }
    attributes
}

/// A `%` without two hexadecimal digits behind it stands for itself.
pub fn decode(text: &[u8]) -> Vec<u8> {
    let digit = |at: usize| text.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    let mut decoded = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        match (text[at], digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push(u8::try_from(high * 16 + low).expect("two hexadecimal digits are a byte"));
                at += 3;
            }
            (byte, ..) => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    decoded
}

#[test]
fn pairs_are_read_as_an_sdk_does() {
    let read = read(b" a = 1%2C2 ,, b=x=y,a=3,junk,c=%zz");
    assert_eq!(read["a"], (b"1,2".to_vec(), b"3".to_vec()));
    assert_eq!(read["b"].0, b"x=y");
    assert_eq!(read["c"].0, b"%zz");
    assert_eq!(read.len(), 3);
}

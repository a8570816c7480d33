//! `AdmissionReview` as it is read: in one pass, borrowed from the body, the object as the engine's view of a pod.
//!
//! Where that fails, [`Outline`] finds as much as an answer needs, in whatever part of the body is there.

use std::borrow::Cow;
use std::fmt;
use std::str;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::inject::Pod;
use crate::inject::legal::MAX_OBJECT;
use crate::inject::view::Text;
use crate::json::{self, Error, Read, Reader};

/// The API server refuses objects of 3 MiB; a review can't be much more than twice that.
pub const MAX_BODY: usize = 7 << 20;

/// Beyond it a review is large, and waits for its turn to be read.
pub const LARGE: usize = 256 << 10;

#[derive(Debug, Default)]
pub struct Review<'a> {
    pub request: Option<Request<'a>>,
}

/// What the API server asks, as far as it is read.
#[derive(Debug, Default)]
pub struct Request<'a> {
    uid: Text<'a>,
    kind: Kind<'a>,
    sub_resource: Text<'a>,
    namespace: Text<'a>,
    name: Text<'a>,
    operation: Text<'a>,
    pub dry_run: bool,
    pub object: Object<'a>,
}

#[derive(Debug, Default)]
#[expect(clippy::large_enum_variant, reason = "nearly always the large one, and never many of them")]
pub enum Object<'a> {
    #[default]
    Absent,
    Pod(Pod<'a>),
    /// More than is ever patched. The view of it could be many times its size, and isn't built.
    TooLarge,
}

#[derive(Debug, Default)]
struct Kind<'a> {
    group: Text<'a>,
    kind: Text<'a>,
}

/// What can be told of a request whose review doesn't parse, or isn't all there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outline<'a> {
    pub uid: Option<Cow<'a, str>>,
    pub kind: Option<Cow<'a, str>>,
    pub namespace: Option<Cow<'a, str>>,
    pub name: Option<Cow<'a, str>>,
    pub operation: Option<Cow<'a, str>>,
    pub sub_resource: Option<Cow<'a, str>>,
}

json::fields! {
    Review { "request" => request }
    Request {
        "uid" => uid, "kind" => kind, "subResource" => sub_resource, "namespace" => namespace, "name" => name,
        "operation" => operation, "dryRun" => dry_run, "object" => object
    }
    Kind { "group" => group, "kind" => kind }
}

// === impl Review ===

impl<'a> Review<'a> {
    /// # Errors
    /// When the text is no JSON, or a field that is read has the wrong type.
    pub fn from_json(json: &'a str) -> Result<Self, Error> {
        json::read(json)
    }
}

// === impl Request ===

impl Request<'_> {
    #[must_use]
    pub fn uid(&self) -> Option<&str> {
        text(&self.uid)
    }

    /// The namespace that the pod is created in; the object's own may be empty.
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        text(&self.namespace)
    }

    /// The object's name, which a pod with `generateName` doesn't have yet.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        let object = match &self.object {
            Object::Pod(pod) => text(&pod.metadata.value.name),
            Object::Absent | Object::TooLarge => None,
        };
        object.or(text(&self.name))
    }

    #[must_use]
    pub fn is_pod_creation(&self) -> bool {
        text(&self.operation) == Some("CREATE")
            && text(&self.sub_resource).is_none()
            && text(&self.kind.group).is_none()
            && text(&self.kind.kind) == Some("Pod")
    }
}

fn text<'t>(text: &'t Text<'_>) -> Option<&'t str> {
    Some(text.as_str()).filter(|text| !text.is_empty())
}

// === impl Object ===

impl<'a> Read<'a> for Object<'a> {
    fn read(&mut self, reader: &mut Reader<'a>) -> Result<(), Error> {
        let start = reader.place();
        // Only what comes near the limit is looked at twice.
        if reader.left() > MAX_OBJECT && reader.clone().skip()?.len() > MAX_OBJECT {
            *self = Self::TooLarge;
            return reader.skip().map(drop);
        }
        let mut pod = Pod::default();
        pod.read(reader)?;
        pod.size = reader.place() - start;
        *self = Self::Pod(pod);
        Ok(())
    }
}

// === impl Outline ===

impl<'a> Outline<'a> {
    /// Reads until the text ends or makes no sense any more. The API server writes `uid` first and the object late.
    #[must_use]
    pub fn of(body: &'a [u8]) -> Self {
        let readable = match str::from_utf8(body) {
            Ok(text) => text,
            Err(error) => str::from_utf8(&body[..error.valid_up_to()]).unwrap_or_default(),
        };
        let mut outline = Self::default();
        let mut deserializer = serde_json::Deserializer::from_str(readable);
        // What was found before the error counts.
        let _ = Fields { outline: &mut outline, level: Level::Review }.deserialize(&mut deserializer);
        outline
    }

    /// Whether it is clear that this is no creation of a pod.
    #[must_use]
    pub fn is_something_else(&self) -> bool {
        self.kind.as_ref().is_some_and(|kind| kind != "Pod")
            || self.operation.as_ref().is_some_and(|operation| operation != "CREATE")
            || self.sub_resource.as_ref().is_some_and(|name| !name.is_empty())
    }
}

/// A plain `Option<Cow<str>>` always allocates, `#[serde(borrow)]` or not.
#[derive(Deserialize)]
struct Borrowed<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Clone, Copy)]
enum Level {
    Review,
    Request,
    Kind,
}

/// Fills the outline in place, so that an error loses nothing.
struct Fields<'o, 'a> {
    outline: &'o mut Outline<'a>,
    level: Level,
}

impl<'a> DeserializeSeed<'a> for Fields<'_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'a> Visitor<'a> for Fields<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut access: A) -> Result<(), A::Error> {
        while let Some(key) = access.next_key::<Borrowed<'a>>()? {
            let outline = &mut *self.outline;
            let field = match (self.level, &*key.0) {
                (Level::Review, "request") => {
                    access.next_value_seed(Fields { outline, level: Level::Request })?;
                    continue;
                }
                (Level::Request, "kind") => {
                    access.next_value_seed(Fields { outline, level: Level::Kind })?;
                    continue;
                }
                (Level::Kind, "kind") => &mut outline.kind,
                (Level::Request, "uid") => &mut outline.uid,
                (Level::Request, "namespace") => &mut outline.namespace,
                (Level::Request, "name") => &mut outline.name,
                (Level::Request, "operation") => &mut outline.operation,
                (Level::Request, "subResource") => &mut outline.sub_resource,
                _ => {
                    access.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            *field = access.next_value::<Option<Borrowed<'a>>>()?.map(|text| text.0).filter(|text| !text.is_empty());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REVIEW: &str = r#"{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"u-1",
        "kind":{"group":"","version":"v1","kind":"Pod"},"resource":{"group":"","version":"v1","resource":"pods"},
        "namespace":"shop","operation":"CREATE","userInfo":{"username":"x","groups":["a"]},
        "object":{"metadata":{"name":"web-0"},"spec":{"containers":[{"name":"web"}]}},"oldObject":null,"dryRun":true}}"#;

    #[test]
    fn reads_the_request_and_the_pod() {
        let request = Review::from_json(REVIEW).expect("a review").request.expect("a request");
        assert!(request.is_pod_creation());
        assert_eq!(
            (request.uid(), request.namespace(), request.name(), request.dry_run),
            (Some("u-1"), Some("shop"), Some("web-0"), true)
        );
        let Object::Pod(pod) = request.object else { panic!("no pod") };
        assert_eq!(pod.spec.containers.items[0].name.as_str(), "web");
    }

    #[test]
    fn the_size_of_a_large_object_is_exact() {
        let json = REVIEW.replace("\"web-0\"", &format!("\"{}\"", "x".repeat(LARGE)));
        let object = Review::from_json(&json).expect("a review").request.expect("a request").object;
        let Object::Pod(pod) = object else { panic!("no pod") };
        assert_eq!(pod.size, json.rfind(",\"oldObject\"").expect("there") - json.find("{\"metadata\"").expect("there"));
    }

    #[test]
    fn an_outline_is_found_in_any_part() {
        let whole = Outline::of(REVIEW.as_bytes());
        assert_eq!((whole.uid.as_deref(), whole.kind.as_deref()), (Some("u-1"), Some("Pod")));
        let operation = REVIEW.find("\"userInfo\"").expect("there");
        for length in operation..REVIEW.len() {
            assert_eq!(Outline::of(&REVIEW.as_bytes()[..length]), whole, "the first {length} bytes");
        }
        let uid = REVIEW.find("\"uid\"").expect("there");
        assert_eq!(Outline::of(&REVIEW.as_bytes()[..uid]), Outline::default());
        let mut broken = REVIEW.as_bytes().to_vec();
        broken[operation + 20] = 0xff;
        assert_eq!(Outline::of(&broken), whole);
    }

    #[test]
    fn an_outline_survives_anything() {
        for body in [&b""[..], b"null", b"[]", b"{\"request\":null}", b"{\"request\":{\"uid\":7}}", b"\xff\xfe", b"{{{"]
        {
            assert_eq!(Outline::of(body), Outline::default());
        }
        let deep = format!("{{\"request\":{{\"a\":{}", "[".repeat(100_000));
        assert_eq!(Outline::of(deep.as_bytes()), Outline::default());
    }
}

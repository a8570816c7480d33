//! Each field that the controller has applied, edited by hand. Which those are the API server says, in `managedFields`.
//!
//! An edit is tried alone first, as a dry run: so it is known of each field whether the API server lets anybody change
//! it. Then all are made at once, as far as they go together, and nobody is taken for one who fights the controller.

use std::collections::BTreeMap;

use kube::api::{Api, ApiResource, DynamicObject, PostParams};
use kube::core::GroupVersionKind;
use otelgate::api::annotation;
use serde_json::{Value, json};

use crate::control_plane::api_proxy::client;
use crate::control_plane::{ControlPlane, PATIENCE, SOON, wait_within};

/// Who edits.
const MANAGER: &str = "by-hand";
/// Who applied.
const CONTROLLER: &str = "otelgate-controller";

/// So many edits of an object within a minute are repaired at once, when it was deleted before: with one more, whoever edits
/// is taken for somebody who fights.
const AT_ONCE: usize = 4;

/// A change of one field.
#[derive(Clone, Debug)]
enum Edit {
    Put(String, Value),
    Remove(String),
}

/// What can be done to an object's fields.
#[derive(Debug, Default)]
pub struct Edits {
    /// Each goes together, and not with the others.
    rounds: Vec<Vec<Edit>>,
    /// Those that the API server doesn't let anybody change, and its words.
    refused: BTreeMap<String, String>,
}

/// What nobody can change: a part of the field's place, and of the API server's words.
const FIXED: [(&str, &str); 11] = [
    ("/roleRef", "immutable"),
    ("/spec/selector", "field is immutable"),
    ("/spec/template/metadata/labels/", "`selector` does not match template `labels`"),
    // They are needed by others.
    ("/spec/template/spec/volumes/", "volumeMounts"),
    ("/spec/template/spec/containers/0", "spec.template.spec.containers: Required value"),
    ("/spec/ports/0", "spec.ports: Required value"),
    ("/seccompProfile/type", "can only be set when seccomp type is Localhost"),
    // It has no fields: what somebody adds to it is theirs. Without it, the volume is the same.
    ("/emptyDir", "the API server makes the same of it"),
    // Another one takes fields that this one hasn't.
    ("/spec/strategy/type", "spec.strategy"),
    ("/spec/updateStrategy/rollingUpdate/maxSurge", "maxSurge"),
    // A revision's.
    ("", "field is immutable when `immutable` is set"),
];

/// An object of a cluster that is edited.
pub struct Hand<'p> {
    plane: &'p ControlPlane,
    kind: GroupVersionKind,
    namespace: Option<String>,
    name: String,
}

impl<'p> Hand<'p> {
    pub fn on(plane: &'p ControlPlane, object: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let version = text(&object["apiVersion"]);
        let (group, version) = version.split_once('/').unwrap_or(("", &version));
        Self {
            plane,
            kind: GroupVersionKind::gvk(group, version, &text(&object["kind"])),
            namespace: object["metadata"]["namespace"].as_str().map(ToOwned::to_owned),
            name: text(&object["metadata"]["name"]),
        }
    }

    fn call<T: Send>(&self, call: impl AsyncFnOnce(Api<DynamicObject>) -> T + Send) -> T {
        self.plane.network().inside(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let client = client(&self.plane.network().folder().join("admin.conf")).await;
                let resource = ApiResource::from_gvk(&self.kind);
                call(match &self.namespace {
                    Some(namespace) => Api::namespaced_with(client, namespace, &resource),
                    None => Api::all_with(client, &resource),
                })
                .await
            })
        })
    }

    /// As it is.
    pub fn object(&self) -> Value {
        let object = self.call(async |api: Api<DynamicObject>| api.get(&self.name).await).expect("an object");
        serde_json::to_value(object).expect("JSON")
    }

    /// Of each field that the controller applied, an edit that the API server takes.
    pub fn edits(&self, before: &Value) -> Edits {
        let Fields { there: fields, lost } = applied(before);
        assert!(!fields.is_empty(), "{} {} has fields of the controller's", self.kind.kind, self.name);
        assert!(lost.is_empty(), "{} {} lacks items that it was given: {lost:?}", self.kind.kind, self.name);
        self.call(async |api: Api<DynamicObject>| {
            let mut found = Edits::default();
            let (mut values, mut items) = (Vec::new(), Vec::new());
            for field in &fields {
                let mut why = Vec::new();
                let mut taken = None;
                for edit in candidates(field, before) {
                    match put(&api, before, std::slice::from_ref(&edit), true).await {
                        Ok(after) if after.pointer(field) != before.pointer(field) => {
                            taken = Some(edit);
                            break;
                        }
                        Ok(_) => why.push("the API server makes the same of it".to_owned()),
                        Err(error) => why.push(error),
                    }
                }
                match taken {
                    Some(edit) if is_in_list(field) => items.push(edit),
                    Some(edit) => values.push(edit),
                    None => drop(found.refused.insert(field.clone(), why.join("; "))),
                }
            }
            // From the end, so that those before keep their places.
            items.reverse();
            for edits in [values, items] {
                found.rounds.extend(together(&api, before, edits).await);
            }
            found
        })
    }

    /// Makes them all, and waits each time until the object is as before. `words`: for a test that fails.
    #[track_caller]
    pub fn make(&self, before: &Value, edits: &Edits, words: impl Fn() -> String) {
        let is_fixed =
            |field: &str, why: &str| FIXED.iter().any(|(place, words)| field.contains(place) && why.contains(words));
        let unedited: Vec<_> = edits.refused.iter().filter(|(field, why)| !is_fixed(field, why)).collect();
        assert!(unedited.is_empty(), "{} {} can't be edited: {unedited:#?}", self.kind.kind, self.name);
        for (n, round) in edits.rounds.iter().enumerate() {
            let made = self.call(async |api: Api<DynamicObject>| put(&api, before, round, false).await);
            let made = made.unwrap_or_else(|error| panic!("{} {}: {error}", self.kind.kind, self.name));
            assert_ne!(lasting(&made), lasting(before), "{} {} was edited", self.kind.kind, self.name);
            let what = format!("{} {} to be as before edit {n}: {round:?}", self.kind.kind, self.name);
            let patience = if n < AT_ONCE { SOON } else { PATIENCE };
            wait_within(patience, &what, || (lasting(&self.object()) == lasting(before)).then_some(()))
                .unwrap_or_else(|error| panic!("{error}{}", words()));
        }
    }
}

impl Edits {
    pub fn count(&self) -> usize {
        self.rounds.iter().map(Vec::len).sum()
    }
}

/// An object without what changes with each write.
fn lasting(object: &Value) -> Value {
    let mut lasting = object.clone();
    lasting.as_object_mut().expect("an object").remove("status");
    let metadata = lasting["metadata"].as_object_mut().expect("metadata");
    metadata.retain(|key, _| !["managedFields", "resourceVersion", "generation"].contains(&key.as_str()));
    if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
        annotations.retain(|key, _| {
            !key.starts_with("deprecated.daemonset.") && !key.starts_with("deployment.kubernetes.io/")
        });
        // How a trial ended is what the record says, whoever wrote that: it may be read before it is written again.
        if let Some(trial) = annotations.get_mut(annotation::TRIAL) {
            let record = trial.as_str().and_then(|trial| serde_json::from_str::<Value>(trial).ok());
            *trial = json!(record.is_some_and(|record| record == "passed" || record["unmeasured"].is_string()));
        }
        if annotations.is_empty() {
            metadata.remove("annotations");
        }
    }
    lasting
}

/// As few rounds as there can be of edits each of which is taken alone.
async fn together(api: &Api<DynamicObject>, before: &Value, mut edits: Vec<Edit>) -> Vec<Vec<Edit>> {
    let mut rounds = Vec::new();
    while !edits.is_empty() {
        let mut later = Vec::new();
        if put(api, before, &edits, true).await.is_err() {
            let mut round = Vec::new();
            for edit in edits {
                round.push(edit);
                if put(api, before, &round, true).await.is_err() {
                    later.extend(round.pop());
                }
            }
            edits = round;
        }
        rounds.push(std::mem::replace(&mut edits, later));
    }
    rounds
}

/// The object with those edits, or the API server's words.
async fn put(api: &Api<DynamicObject>, before: &Value, edits: &[Edit], tried: bool) -> Result<Value, String> {
    let mut edited = before.clone();
    for edit in edits {
        edit.make(&mut edited);
    }
    let metadata = edited["metadata"].as_object_mut().expect("metadata");
    metadata.retain(|key, _| key != "managedFields" && key != "resourceVersion");
    let object: DynamicObject = serde_json::from_value(edited).map_err(|error| error.to_string())?;
    let params = PostParams { dry_run: tried, field_manager: Some(MANAGER.to_owned()) };
    let name = object.metadata.name.clone().unwrap_or_default();
    let mut answer = api.replace(&name, &params, &object).await;
    // Of a custom resource, the API server wants to know which one it is that is replaced.
    if let Err(kube::Error::Api(status)) = &answer
        && status.message.contains("metadata.resourceVersion")
    {
        let now = api.get(&name).await.map_err(|error| error.to_string())?;
        let mut object = object.clone();
        object.metadata.resource_version = now.metadata.resource_version;
        answer = api.replace(&name, &params, &object).await;
    }
    match answer {
        Ok(after) => Ok(serde_json::to_value(after).expect("JSON")),
        Err(kube::Error::Api(status)) => Err(status.message),
        Err(error) => Err(error.to_string()),
    }
}

impl Edit {
    fn make(&self, object: &mut Value) {
        match self {
            Self::Put(field, value) => {
                let (parent, last) = parted(field);
                match object.pointer_mut(parent) {
                    Some(Value::Object(fields)) => drop(fields.insert(last, value.clone())),
                    _ => object.pointer_mut(field).into_iter().for_each(|place| *place = value.clone()),
                }
            }
            Self::Remove(field) => {
                let (parent, last) = parted(field);
                match object.pointer_mut(parent) {
                    Some(Value::Object(fields)) => drop(fields.remove(&last)),
                    Some(Value::Array(items)) => {
                        let place = last.parse().expect("an index");
                        if place < items.len() {
                            items.remove(place);
                        }
                    }
                    _ => {}
                }
            }
        }
    }
}

/// What a field is in, and its name there.
fn parted(field: &str) -> (&str, String) {
    let (parent, last) = field.rsplit_once('/').expect("a field is in something");
    (parent, last.replace("~1", "/").replace("~0", "~"))
}

// === fields ===

/// Pointers to what the controller applied, in the order in which it stands there.
#[derive(Default)]
struct Fields {
    there: Vec<String>,
    /// Items that aren't in their list, by their keys.
    lost: Vec<String>,
}

fn applied(object: &Value) -> Fields {
    let entries = object["metadata"]["managedFields"].as_array().expect("fields with managers");
    let own = entries.iter().filter(|entry| entry["manager"] == CONTROLLER && entry["operation"] == "Apply");
    let mut fields = Fields::default();
    for entry in own {
        walk(&entry["fieldsV1"], object, "", &mut fields);
    }
    fields
}

fn walk(owned: &Value, value: &Value, pointer: &str, fields: &mut Fields) {
    let owned = owned.as_object().expect("fields are a map");
    let inner: Vec<_> = owned.iter().filter(|(key, _)| *key != ".").collect();
    if inner.is_empty() {
        fields.there.push(pointer.to_owned());
    }
    for (key, owned) in inner {
        let (kind, told) = key.split_once(':').expect("a kind of key");
        let place = match kind {
            "f" => Some(escaped(told)),
            "k" => {
                let wanted: Value = serde_json::from_str(told).expect("keys");
                let is_it =
                    |item: &Value| wanted.as_object().expect("keys").iter().all(|(key, value)| item[key] == *value);
                value.as_array().and_then(|items| items.iter().position(is_it)).map(|place| place.to_string())
            }
            "v" => {
                let wanted: Value = serde_json::from_str(told).expect("a value");
                value
                    .as_array()
                    .and_then(|items| items.iter().position(|item| *item == wanted))
                    .map(|at| at.to_string())
            }
            _ => Some(told.to_owned()),
        };
        let found = place.and_then(|place| Some((format!("{pointer}/{place}"), value.pointer(&format!("/{place}"))?)));
        let Some((pointer, value)) = found else {
            match kind {
                // What is empty isn't kept, and somebody else may put something there.
                "f" => fields.there.push(format!("{pointer}/{}", escaped(told))),
                _ => fields.lost.push(format!("{pointer}/{told}")),
            }
            continue;
        };
        // By which an item is told from others: a changed one is another item, beside which it comes back.
        let is_key = kind == "k";
        if is_key {
            let keys: Value = serde_json::from_str(told).expect("keys");
            let others: serde_json::Map<String, Value> = owned
                .as_object()
                .expect("fields are a map")
                .iter()
                .filter(|(key, _)| key.strip_prefix("f:").is_none_or(|name| keys.get(name).is_none()))
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect();
            fields.there.push(pointer.clone());
            if others.keys().any(|key| key != ".") {
                walk(&Value::Object(others), value, &pointer, fields);
            }
        } else {
            walk(owned, value, &pointer, fields);
        }
    }
}

fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

fn is_in_list(field: &str) -> bool {
    field.rsplit('/').next().is_some_and(|last| last.parse::<usize>().is_ok())
}

// === edits ===

/// Of words that the API server knows, others that stand in the same places.
const WORDS: [(&str, &str); 12] = [
    ("TCP", "UDP"),
    ("Local", "Cluster"),
    ("PreferDualStack", "SingleStack"),
    ("IfNotPresent", "Always"),
    ("RollingUpdate", "OnDelete"),
    ("FallbackToLogsOnError", "File"),
    ("DirectoryOrCreate", "Directory"),
    ("RuntimeDefault", "Unconfined"),
    ("Unconfined", "RuntimeDefault"),
    ("NotIn", "In"),
    ("status.podIP", "status.hostIP"),
    ("metadata.name", "metadata.namespace"),
];

/// What may be made of a field, the likeliest first.
fn candidates(field: &str, object: &Value) -> Vec<Edit> {
    let value = object.pointer(field).unwrap_or(&Value::Null);
    let remove = Edit::Remove(field.to_owned());
    if is_in_list(field) {
        return vec![remove];
    }
    let values = match value {
        Value::Bool(value) => vec![json!(!value)],
        Value::Number(number) => {
            let number = number.as_i64().expect("whole numbers");
            vec![json!(number + 1), json!(number - 1), json!(number + 1000)]
        }
        Value::String(text) => others(text),
        Value::Array(items) => {
            let twice: Vec<_> = items.iter().chain(items.last()).cloned().collect();
            vec![json!(items[..items.len().saturating_sub(1)]), json!([]), json!(twice), json!(["another"])]
        }
        Value::Object(fields) => {
            let with = |key: &str, value: Value| {
                let mut fields = fields.clone();
                fields.insert(key.to_owned(), value);
                Value::Object(fields)
            };
            let texts = fields.iter().filter_map(|(key, value)| Some((key, value.as_str()?)));
            let inner = texts.flat_map(|(key, text)| others(text).into_iter().map(|other| with(key, other)));
            inner.chain([with("another", json!("one")), json!({"another": "one"})]).collect()
        }
        Value::Null => vec![json!({"another": "one"}), json!(["another"]), json!("another")],
    };
    let values = siblings(field, object).filter(|other| other != value).chain(values);
    values.map(|value| Edit::Put(field.to_owned(), value)).chain([remove]).collect()
}

/// The same field of the other items of its list, and where a volume is named, of the others that there are.
fn siblings(field: &str, object: &Value) -> impl Iterator<Item = Value> {
    let is_of_mount = field.contains("/volumeMounts/") && field.ends_with("/name");
    let field = if is_of_mount { "/spec/template/spec/volumes/0/name" } else { field };
    let parts: Vec<&str> = field.split('/').collect();
    let place = parts.iter().rposition(|part| part.parse::<usize>().is_ok());
    let list = place.map_or_else(String::new, |place| parts[..place].join("/"));
    let rest = place.map_or_else(String::new, |place| format!("/{}", parts[place + 1..].join("/")));
    let items = place.and_then(|_| object.pointer(&list)).and_then(Value::as_array).into_iter().flatten();
    items.filter_map(|item| item.pointer(&rest).cloned()).collect::<Vec<_>>().into_iter()
}

fn others(text: &str) -> Vec<Value> {
    let mut others: Vec<Value> =
        WORDS.iter().filter(|(word, _)| *word == text).map(|(_, other)| json!(other)).collect();
    // An amount.
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    if let Ok(number) = text[..digits].parse::<u64>() {
        others.push(json!(format!("{}{}", number + 1, &text[digits..])));
    }
    others.extend([json!(format!("{text}x")), json!("another"), json!("metadata.name"), json!("")]);
    others
}

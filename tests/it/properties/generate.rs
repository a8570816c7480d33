//! Pods of every kind that otelgate may meet, from a seed.
//!
//! A pod is generated as a user would write it: what the API server accepts ([`valid`]), and, for the engine alone, with
//! things broken in it ([`any`]). Values carry [`SECRET`], so that a leak is found by searching for it.

use std::fmt;

use jiff::Timestamp;
use otelgate::api::{OptIn, label};
use otelgate::config::Document;
use otelgate::inject::rules::{LEFT_OUT, LeftOut};
use serde_json::{Map, Value, json};

use super::edits::{Edit, Renaming};
use super::random::Random;
use super::{configuration, containers, metadata};

/// Part of every value that must not show up in the status annotation or a note.
pub const SECRET: &str = "zq9xsecret";

/// A pod, where it is created, and what happened to it before.
#[derive(Clone, Debug)]
pub struct Case {
    /// As its user wrote it.
    pub original: Value,
    /// Decided once before, and edited since.
    pub history: Option<History>,
    pub setting: Setting,
}

#[derive(Clone, Debug)]
pub struct History {
    pub setting: Setting,
    pub edits: Vec<Edit>,
}

/// What a decision depends on beside the pod.
#[derive(Clone, Debug)]
pub struct Setting {
    pub document: Document,
    pub namespace: Surroundings,
    pub now: Timestamp,
    /// Offline: kind and name of the workload whose template it is.
    pub template_of: Option<(&'static str, String)>,
}

/// An owned [`otelgate::inject::Namespace`].
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    pub name: Option<String>,
    pub opt_in: Option<String>,
    pub left_out: Option<LeftOut>,
    pub annotations: Option<Vec<(Box<str>, Box<str>)>>,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}", self.original, self.setting)?;
        let Some(history) = &self.history else { return Ok(()) };
        write!(f, "\nbefore that: {}\nthen {:?}", history.setting, history.edits)
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (document, default) = (json!(self.document), json!(Document::default()));
        let differs =
            |(key, value): (&String, &Value)| (default.get(key) != Some(value)).then(|| format!("{key}: {value}"));
        let differences: Vec<_> = document.as_object().into_iter().flatten().filter_map(differs).collect();
        write!(f, "at {}, configuration {{{}}}, {:?}", self.now, differences.join(", "), self.namespace)?;
        self.template_of.iter().try_for_each(|template| write!(f, ", template of {template:?}"))
    }
}

/// How a list or a map stands in the manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    Absent,
    Null,
    Empty,
    Filled,
}

/// Any case, broken pods among them.
pub fn any(random: &mut Random) -> Case {
    let mut case = valid(random);
    if random.permille(36) {
        enlarge(random, &mut case.original);
    } else if random.percent(12) {
        for _ in 0..random.between(1, 3) {
            super::breakage::break_something(random, &mut case.original);
        }
    }
    if random.percent(30) {
        case.history = Some(history(random, &case));
    }
    // Drawn last, so that known seeds stay the cases that they are.
    if random.percent(8) {
        metadata::exclude_logs(random, &mut case.original);
    }
    if random.percent(2) {
        metadata::lengthen(random, &mut case.original);
    }
    if random.percent(5) {
        containers::debug(random, &mut case.original);
    }
    if random.permille(6) {
        // More than are decided on.
        containers::crowd(&mut case.original, random.between(1001, 1010));
    }
    if let Some(history) = case.history.as_mut().filter(|_| random.percent(10)) {
        history.edits.push(Edit::RenameContainer { container: random.below(8), how: Renaming::Renamed });
    }
    // What otelgate writes itself, as something that it looks at.
    if random.percent(6) {
        for document in documents(random, &mut case) {
            configuration::name_the_node(document);
        }
        containers::send_to_the_node(random, &mut case.original);
        if let Some(history) = case.history.as_mut().filter(|_| random.percent(50)) {
            for variable in containers::in_front(random) {
                history.edits.push(Edit::AddVariable { container: random.below(2), at: 0, variable });
            }
        }
    }
    if random.percent(4) {
        for document in documents(random, &mut case) {
            configuration::exclude_by_environment(document);
        }
    }
    if random.percent(4)
        && let Some(annotations) = &mut case.setting.namespace.annotations
    {
        annotations.push(("otelgate.dev/app.log-source".into(), "redis".into()));
    }
    case
}

/// Those of both decisions, or only of the second.
fn documents<'c>(random: &mut Random, case: &'c mut Case) -> impl Iterator<Item = &'c mut Document> {
    let both = random.percent(70);
    let former = case.history.as_mut().filter(|_| both).map(|history| &mut history.setting.document);
    std::iter::once(&mut case.setting.document).chain(former)
}

/// A case whose pod the API server accepts, if its namespace is there; the pod itself names none.
pub fn valid(random: &mut Random) -> Case {
    let now = Timestamp::from_second(1_790_000_000 + i64::from(random.bits() % 40_000_000)).expect("in range");
    let template = random.percent(15);
    let document = configuration::document(random);
    let template_of = template.then(|| metadata::template_of(random));
    let namespace = surroundings(random, template);
    let original = pod(random, template, now);
    Case { original, history: None, setting: Setting { document, namespace, now, template_of } }
}

fn pod(random: &mut Random, template: bool, now: Timestamp) -> Value {
    let owner = if template { metadata::Owner::default() } else { metadata::owner(random, now) };
    let spec = containers::spec(random);
    let names: Vec<String> = ["containers", "initContainers"]
        .iter()
        .flat_map(|list| spec[*list].as_array().into_iter().flatten())
        .filter_map(|container| container["name"].as_str().map(str::to_owned))
        .collect();
    let mut pod = Map::new();
    if !template {
        pod.insert("apiVersion".to_owned(), json!("v1"));
        pod.insert("kind".to_owned(), json!("Pod"));
    }
    if !template || random.percent(85) {
        pod.insert("metadata".to_owned(), metadata::metadata(random, template, owner, &names));
    }
    pod.insert("spec".to_owned(), spec);
    let mut pod = Value::Object(pod);
    if random.percent(2) {
        pod["metadata"]["annotations"]["kubernetes.io/config.mirror"] = json!("8a4f");
        pod["spec"]["nodeName"] = json!("node-1");
    }
    pod
}

fn surroundings(random: &mut Random, offline: bool) -> Surroundings {
    let name = match random.below(100) {
        0..3 | 40..60 if offline => None,
        0..3 => Some("kube-system"),
        3..4 => Some("kube-public"),
        4..5 => Some("kube-node-lease"),
        5..8 => Some("datadog"),
        8..10 => Some("otelgate"),
        10..14 => Some("a-namespace-whose-name-is-as-long-as-names-of-namespaces-may-be"),
        14..40 => Some("payments"),
        _ => Some("shop"),
    };
    let annotations = (!random.percent(8)).then(|| metadata::namespace_annotations(random));
    let opt_in = opt_in(random, [72, 8, 3, 10]);
    let [(left_out_by, value), ..] = LEFT_OUT;
    let left_out = LeftOut::by(|key| Some(value).filter(|_| key == left_out_by)).filter(|_| random.percent(1));
    Surroundings { name: name.map(str::to_owned), opt_in, left_out, annotations }
}

/// A value of the opt-in label: weights of enabled, observe, disabled and absent; else something invalid.
pub fn opt_in(random: &mut Random, weights: [u32; 4]) -> Option<String> {
    let [enabled, observe, disabled, absent] = weights;
    random
        .weighted(&[
            (enabled, Some(OptIn::Enabled.as_str())),
            (observe, Some(OptIn::Observe.as_str())),
            (disabled, Some(OptIn::Disabled.as_str())),
            (absent, None),
            (4, Some("true")),
            (2, Some("Enabled")),
            (1, Some("")),
        ])
        .map(str::to_owned)
}

fn history(random: &mut Random, case: &Case) -> History {
    let mut setting = case.setting.clone();
    if random.percent(40) {
        setting.document = configuration::document(random);
    }
    setting.document.mode = OptIn::Enabled;
    setting.namespace.opt_in = Some(OptIn::Enabled.as_str().to_owned());
    let edits = (0..random.between(0, 3)).map(|_| Edit::generate(random)).collect();
    History { setting, edits }
}

/// Pods next to a limit: 256 KiB of annotations, 1 MiB in all, 1,000 containers.
fn enlarge(random: &mut Random, pod: &mut Value) {
    if random.percent(20) {
        containers::crowd(pod, random.between(990, 1010));
    } else if random.percent(60) {
        let annotations = pod["metadata"]["annotations"].as_object().into_iter().flatten();
        let size: usize = annotations.map(|(key, value)| key.len() + value.as_str().unwrap_or_default().len()).sum();
        let room = (256 * 1024 - "filler".len()).saturating_sub(size + random.below(900));
        pod["metadata"]["annotations"]["filler"] = json!("x".repeat(room));
    } else {
        let room = (1024 * 1024_usize).saturating_sub(pod.to_string().len() + random.below(4000));
        pod["spec"]["containers"][0]["args"] = json!(["y".repeat(room)]);
    }
}

/// A value that only its owner should ever see.
pub fn secret(random: &mut Random) -> String {
    format!("{SECRET}{:08x}", random.bits())
}

/// Text with everything in it that Kubernetes, JSON or an SDK reads in a way of its own.
pub fn tricky(random: &mut Random) -> String {
    const PIECES: [&str; 24] = [
        "$",
        "$$",
        "$$(",
        "$(",
        "$()",
        "$(A)",
        "$(LATER)",
        "$(NOWHERE)",
        "$(FROM_CONFIG)",
        "$(OTEL_SERVICE_NAME)",
        "$(OTELGATE_POD_NAME)",
        "$$(A)",
        "$$$(A)",
        ")",
        " ",
        ",",
        "=",
        "%",
        "%20",
        "é",
        "漢字",
        "\"",
        "\\",
        "🦀",
    ];
    let mut text = String::new();
    for _ in 0..random.between(1, 5) {
        if random.percent(25) {
            text.push_str(&secret(random));
        } else {
            text.push_str(random.pick(&PIECES));
        }
    }
    text
}

/// How a list or map stands, filled as often as said.
pub fn standing(random: &mut Random, filled: u32) -> Standing {
    if random.percent(filled) {
        return Standing::Filled;
    }
    random.weighted(&[(5, Standing::Absent), (2, Standing::Null), (3, Standing::Empty)])
}

/// Puts a map where it stands.
pub fn stand(object: &mut Map<String, Value>, key: &str, standing: Standing, filled: Value) {
    match standing {
        Standing::Absent => {}
        Standing::Null => {
            object.insert(key.to_owned(), Value::Null);
        }
        Standing::Empty => {
            object.insert(key.to_owned(), if filled.is_array() { json!([]) } else { json!({}) });
        }
        Standing::Filled => {
            object.insert(key.to_owned(), filled);
        }
    }
}

/// The opt-in label of a pod.
pub fn pod_opt_in(random: &mut Random, labels: &mut Map<String, Value>) {
    if let Some(value) = opt_in(random, [13, 3, 3, 76]) {
        labels.insert(label::INJECT.to_owned(), json!(value));
    }
}

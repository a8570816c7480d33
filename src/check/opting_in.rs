//! What people wrote on their namespaces.

use super::{Objection, Snapshot, Verdict};
use crate::api::{OptIn, label};
use crate::inject::rules::never_asked_about;
use crate::k8s::ObjectMeta;
use crate::words::some_of;

pub fn labels(snapshot: &Snapshot) -> Verdict {
    let labelled = snapshot.namespaces.as_ref()?.iter().filter_map(|one| label_of(one).map(|value| (one, value)));
    let wrong = labelled.filter(|(_, value)| OptIn::parse(value).is_none());
    let wrong: Vec<String> = wrong.map(|(one, value)| format!("{} ({value:?})", name(one))).collect();
    if !wrong.is_empty() {
        return Err(Objection::fail(
            format!("the label {} has an unknown value on {}", label::INJECT, some_of(&wrong)),
            format!(
                "kubectl label --overwrite namespace NAME {}=VALUE, where VALUE is enabled, observe or disabled",
                label::INJECT
            ),
        ));
    }
    let opted_in = opted_in(snapshot)?.count();
    Ok(match opted_in {
        0 => format!("no namespace is opted in yet: kubectl label namespace NAME {}=enabled", label::INJECT),
        1 => "1 namespace is opted in".to_owned(),
        more => format!("{more} namespaces are opted in"),
    })
}

pub fn annotations(snapshot: &Snapshot) -> Verdict {
    let annotated = snapshot.namespaces.as_ref()?.iter().filter(|namespace| {
        namespace.annotations.as_ref().is_some_and(|annotations| annotations.contains_key(label::INJECT))
    });
    let annotated: Vec<String> = annotated.map(|namespace| name(namespace).to_owned()).collect();
    if annotated.is_empty() {
        return Ok(String::new());
    }
    Err(Objection::fail(
        format!("{} is an annotation on {}, where it has no effect", label::INJECT, some_of(&annotated)),
        format!("make it a label: kubectl label namespace NAME {}=enabled", label::INJECT),
    ))
}

pub fn excluded(snapshot: &Snapshot) -> Verdict {
    let namespaces = snapshot.namespaces.as_ref()?.iter().filter(|one| wants(one).is_some());
    let excluded = namespaces.filter_map(|one| Some(format!("{} ({})", name(one), never_looked_at(one)?)));
    let excluded: Vec<String> = excluded.collect();
    if excluded.is_empty() {
        return Ok(String::new());
    }
    Err(Objection::fail(
        format!("opted in, but never looked at: {}", some_of(&excluded)),
        format!("take the label {} off, or run the pods in another namespace", label::INJECT),
    ))
}

/// Namespaces whose pods are decided about.
pub fn opted_in(snapshot: &Snapshot) -> Result<impl Iterator<Item = (&ObjectMeta, OptIn)>, Objection> {
    let namespaces = snapshot.namespaces.as_ref()?.iter().filter(|one| never_looked_at(one).is_none());
    Ok(namespaces.filter_map(|one| wants(one).map(|opt_in| (one, opt_in))))
}

fn wants(namespace: &ObjectMeta) -> Option<OptIn> {
    label_of(namespace).and_then(OptIn::parse).filter(|opt_in| *opt_in != OptIn::Disabled)
}

/// Why nobody asks about its pods.
pub fn never_looked_at(namespace: &ObjectMeta) -> Option<String> {
    never_asked_about(name(namespace), |key| namespace.labels.as_ref()?.get(key).map(String::as_str))
}

fn label_of(namespace: &ObjectMeta) -> Option<&str> {
    namespace.labels.as_ref()?.get(label::INJECT).map(String::as_str)
}

pub fn name(namespace: &ObjectMeta) -> &str {
    namespace.name.as_deref().unwrap_or_default()
}

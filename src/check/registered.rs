//! The `MutatingWebhookConfiguration`, and those of other products.

use std::collections::BTreeMap;

use super::{Objection, Snapshot, Verdict, opting_in};
use crate::admission::Entry;
use crate::api::{DOMAIN, OptIn, annotation, label, object};
use crate::k8s::{MutatingWebhook, ObjectMeta};
use crate::registration::{self, Answer, Called, Creation, FailurePolicy, Injector, Step};
use crate::words::some_of;

/// Of the registration, by contract.
const TIMEOUT: i32 = 3;

const REPAIR: &str =
    "otelgate update writes the registration anew, as does helm upgrade (with Helm 4: --force-conflicts)";

pub fn entries(snapshot: &Snapshot) -> Verdict {
    let registrations = snapshot.registrations.as_ref()?;
    let Some(own) = registrations.iter().find(|one| one.metadata.name.as_deref() == Some(object::REGISTRATION)) else {
        return Err(Objection::fail(
            format!("there is no MutatingWebhookConfiguration {}: no pod is looked at", object::REGISTRATION),
            REPAIR,
        ));
    };
    let webhooks = own.webhooks.as_deref().unwrap_or_default();
    let mut faults = Vec::new();
    for entry in Entry::ALL {
        match webhooks.iter().find(|webhook| webhook.name == name(entry)) {
            None => faults.push(format!("the entry {} is missing", name(entry))),
            Some(webhook) => faults.extend(wrong_way(webhook, entry, &snapshot.namespace)),
        }
    }
    if faults.is_empty() {
        return Ok(String::new());
    }
    Err(Objection::fail(some_of(&faults), REPAIR))
}

fn name(entry: Entry) -> String {
    format!("{}.{DOMAIN}", entry.as_str())
}

/// Where an entry leads, if not to the webhook.
fn wrong_way(webhook: &MutatingWebhook, entry: Entry, namespace: &str) -> Option<String> {
    let Some(service) = &webhook.client_config.service else {
        return Some(format!("{} leads to a URL, and not to the Service", webhook.name));
    };
    if (service.namespace.as_str(), service.name.as_str()) != (namespace, object::WEBHOOK) {
        return Some(format!("{} leads to Service {}/{}", webhook.name, service.namespace, service.name));
    }
    let path = service.path.as_deref().unwrap_or("/");
    (path != entry.path()).then(|| format!("{} leads to {path}, and not to {}", webhook.name, entry.path()))
}

/// The entries that are otelgate's, also where some are missing.
fn own(snapshot: &Snapshot) -> Result<Vec<&MutatingWebhook>, Objection> {
    let webhooks = snapshot.registration()?.webhooks.iter().flatten();
    Ok(webhooks.filter(|webhook| Entry::ALL.into_iter().any(|entry| name(entry) == webhook.name)).collect())
}

pub fn failure_policy(snapshot: &Snapshot) -> Verdict {
    let own = own(snapshot)?;
    let failing = own.iter().filter(|webhook| FailurePolicy::of(webhook) == FailurePolicy::Fail);
    let failing: Vec<String> = failing.map(|webhook| webhook.name.clone()).collect();
    if failing.is_empty() {
        return Ok(String::new());
    }
    Err(Objection::fail(
        format!(
            "failurePolicy is Fail for {}: no pod that is opted in starts while the webhook is away",
            some_of(&failing)
        ),
        format!("set it back to Ignore; {REPAIR}"),
    ))
}

pub fn timeout(snapshot: &Snapshot) -> Verdict {
    let own = own(snapshot)?;
    // Kubernetes' own default.
    let seconds = |webhook: &MutatingWebhook| webhook.timeout_seconds.unwrap_or(10);
    let wrong = own.iter().filter(|webhook| seconds(webhook) != TIMEOUT);
    let wrong: Vec<String> = wrong.map(|webhook| format!("{} ({} s)", webhook.name, seconds(webhook))).collect();
    if wrong.is_empty() {
        return Ok(String::new());
    }
    Err(Objection::fail(
        format!("timeoutSeconds isn't {TIMEOUT} for {}", some_of(&wrong)),
        format!("set it back to {TIMEOUT}, or pods wait that long for a webhook that is away; {REPAIR}"),
    ))
}

pub fn fields(snapshot: &Snapshot) -> Verdict {
    let mut faults = Vec::new();
    for webhook in own(snapshot)? {
        let mut wants = |right: bool, field: &str, what: &str| {
            if !right {
                faults.push(format!("{} of {} {what}", field, webhook.name));
            }
        };
        let is = |field: &Option<String>, value: &str| field.as_deref() == Some(value);
        wants(is_about_pods(webhook), "rules", "aren't about the creation of pods");
        wants(webhook.side_effects == "None", "sideEffects", "isn't None: dry runs wouldn't show what happens");
        wants(
            is(&webhook.reinvocation_policy, "IfNeeded"),
            "reinvocationPolicy",
            "isn't IfNeeded: what later webhooks add is missed",
        );
        // Both are Kubernetes' default.
        let policy = webhook.match_policy.as_deref().unwrap_or("Equivalent");
        wants(policy == "Equivalent", "matchPolicy", "isn't Equivalent");
        wants(webhook.admission_review_versions.iter().any(|one| one == "v1"), "admissionReviewVersions", "lacks v1");
        let conditions = webhook.match_conditions.as_deref().unwrap_or_default();
        let mirror = conditions.iter().any(|one| one.expression.contains(annotation::MIRROR));
        wants(mirror, "matchConditions", "doesn't leave out mirror pods");
    }
    if faults.is_empty() {
        return Ok(String::new());
    }
    Err(Objection::fail(some_of(&faults), REPAIR))
}

/// A plain pod of each namespace that is opted in, or of one that would be, has to be selected by the right entry.
pub fn selectors(snapshot: &Snapshot) -> Verdict {
    let own = own(snapshot)?;
    let mut faults = Vec::new();
    let mut unknown = None;
    let mut asked = 0;
    for (namespace, opt_in) in opting_in::opted_in(snapshot)? {
        asked += 1;
        let labels = namespace.labels.clone().unwrap_or_default();
        match selected(&own, opting_in::name(namespace), &labels, opt_in) {
            Selected::Yes => {}
            Selected::No(why) => faults.push(format!("{} ({why})", opting_in::name(namespace))),
            Selected::Unknown(why) => unknown = Some(why),
        }
    }
    if asked == 0 {
        let imagined = imagined();
        let labels = imagined.labels.clone().unwrap_or_default();
        match selected(&own, opting_in::name(&imagined), &labels, OptIn::Enabled) {
            Selected::Yes => {}
            Selected::No(why) => faults.push(format!("any namespace that would be opted in ({why})")),
            Selected::Unknown(why) => unknown = Some(why),
        }
    }
    match (faults.is_empty(), unknown) {
        (false, _) => Err(Objection::fail(
            format!("no entry selects the pods of {}", some_of(&faults)),
            format!("take the change of the selector back; {REPAIR}"),
        )),
        (true, Some(why)) => Err(Objection::unknown(why, "otelgate explain pod/NAME tells it of one pod")),
        (true, None) => Ok(String::new()),
    }
}

/// Whether its rules are about the creation of pods, whoever it selects.
fn is_about_pods(webhook: &MutatingWebhook) -> bool {
    let nothing = BTreeMap::new();
    let creation = Creation { namespace: "", namespace_labels: None, labels: &nothing, annotations: &nothing };
    let entry = registration::Entry::new(object::REGISTRATION, webhook, creation);
    entry.steps.iter().any(|(step, answer)| *step == Step::Rules && *answer == Answer::Passes)
}

enum Selected {
    Yes,
    No(String),
    Unknown(String),
}

fn selected(own: &[&MutatingWebhook], name: &str, labels: &BTreeMap<String, String>, opt_in: OptIn) -> Selected {
    let wanted = Entry::ALL.into_iter().find(|entry| entry.namespace_opt_in() == Some(opt_in));
    let Some(webhook) = own.iter().find(|webhook| wanted.is_some_and(|entry| self::name(entry) == webhook.name)) else {
        return Selected::No("its entry is missing".to_owned());
    };
    let nothing = BTreeMap::new();
    let creation =
        Creation { namespace: name, namespace_labels: Some(labels), labels: &nothing, annotations: &nothing };
    let entry = registration::Entry::new(object::REGISTRATION, webhook, creation);
    let why = || match entry.decisive() {
        Some((step, Answer::Stops(why) | Answer::Unknown(why))) => {
            format!("{} of {}: {why}", step.field(), webhook.name)
        }
        _ => webhook.name.clone(),
    };
    match entry.called() {
        Called::Yes => Selected::Yes,
        Called::No => Selected::No(why()),
        Called::Unknown => Selected::Unknown(why()),
    }
}

fn imagined() -> ObjectMeta {
    const NAME: &str = "any";
    let labels = [(label::INJECT, OptIn::Enabled.as_str()), ("kubernetes.io/metadata.name", NAME)];
    let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned()));
    ObjectMeta { name: Some(NAME.to_owned()), labels: Some(BTreeMap::from(labels)), ..ObjectMeta::default() }
}

pub fn other_injectors(snapshot: &Snapshot) -> Verdict {
    let registrations = snapshot.registrations.as_ref()?.iter();
    let others = registrations.filter(|one| one.webhooks.iter().flatten().any(is_about_pods));
    let others: Vec<String> = others
        .filter_map(|one| {
            let injector = Injector::of(one)?;
            Some(format!("{} ({})", injector.name(), one.metadata.name.as_deref().unwrap_or_default()))
        })
        .collect();
    if others.is_empty() {
        return Ok(String::new());
    }
    Err(Objection::fail(
        format!("also active: {}", some_of(&others)),
        "let one of the two put the variables into a pod: switch the other's instrumentation off for the namespaces that \
         are opted in here",
    ))
}

//! The decision: pure functions from a pod, its namespace, the configuration and a clock to what happens and why.
//!
//! Nothing here does I/O, reads a clock, or knows of a client or a runtime. The webhook, the offline commands and the
//! controller all call [`decide`].
//!
//! [`rules`] say whether a pod is a matter for otelgate at all, [`options`] what its annotations ask for, [`owner`] and
//! [`identity`] what it is. [`variables`], [`exporters`] and [`resource`] plan a container, [`pod_wide`] the pod's own keys,
//! [`status`] records it for [`undo`], and [`patch`] writes it down.

pub mod attributes;
pub mod containers;
pub mod endpoint;
pub mod existing;
pub mod expand;
mod exporters;
mod growth;
pub mod identity;
pub mod legal;
pub mod logs;
mod lookup;
pub mod options;
pub mod owner;
pub mod patch;
pub mod plan;
mod pod_wide;
pub mod prior;
pub mod reason;
mod resource;
pub mod rules;
pub mod status;
mod undo;
mod variables;
pub mod view;

pub use containers::Slot;
pub use owner::Workload;
pub use patch::Operation;
pub use plan::{Action, ContainerPlan, Decision, Entry, Namespace, Note, Plan, Subject, Value};
pub use reason::{Reason, Scope};
pub use undo::{UndoError, Undone, undo};
pub use view::Pod;

use jiff::Timestamp;

use crate::api::{OptIn, annotation, label, otel};
use crate::config::{Configuration, LogOwner};
use containers::Selection;
use existing::{Existing, OwnAttributes};
use identity::{Identity, Sources};
use options::Options;
use plan::{Edit, ListState, MetadataState};
use prior::{Former, Prior};
use rules::Case;
use status::{Digests, Mark, NewStatus, NewWritten, Pairs};
use view::Presence;

/// Written into the status: which otelgate it was.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What every part of a plan is made from.
struct Context<'a, 'c> {
    pod: &'a Pod<'a>,
    namespace: &'a Namespace<'a>,
    configuration: &'a Configuration,
    options: &'c Options<'a>,
    workload: &'c Workload<'a>,
    prior: &'c Prior,
    /// Whether there is room for the annotations by which the Agent reads logs.
    logs_have_room: bool,
}

/// A plan, or why there is none, with what is to be told all the same.
type Planned<'a> = Result<Plan<'a>, (Reason, Vec<Note<'a>>)>;

/// What happens to a pod, and why.
#[must_use]
pub fn decide<'a>(
    pod: &'a Pod<'a>,
    namespace: &'a Namespace<'a>,
    configuration: &'a Configuration,
    now: Timestamp,
) -> Decision<'a> {
    let case = Case { pod, namespace, configuration };
    let mut notes = Vec::new();
    rules::note_invalid(case, &mut notes);
    if let Some(reason) = rules::objection(case) {
        options::note_annotated_opt_in(pod, namespace, &mut notes);
        note_injected_before(pod, &mut notes);
        return Decision::Skip { reason, notes };
    }
    if let Err(reason) = too_large(pod) {
        note_injected_before(pod, &mut notes);
        return Decision::Skip { reason, notes };
    }
    let prior = Prior::read(pod);
    let options = Options::read(pod, namespace, configuration, &prior, &mut notes);
    let workload = Workload::of(pod, now);
    let context = Context {
        pod,
        namespace,
        configuration,
        options: &options,
        workload: &workload,
        prior: &prior,
        logs_have_room: true,
    };
    let mut plan = match context.plan_with_room(notes) {
        Ok(plan) => plan,
        Err((reason, mut notes)) => {
            note_injected_before(pod, &mut notes);
            return Decision::Skip { reason, notes };
        }
    };
    let observed = configuration.mode() == OptIn::Observe || rules::opt_in(pod, namespace) == Some(OptIn::Observe);
    if observed {
        note_injected_before(pod, &mut plan.notes);
        Decision::Observe(plan)
    } else {
        Decision::Inject(plan)
    }
}

/// Whether annotations have to be left out, or even the status has no room, which then lists what goes with them.
fn is_without_room(planned: &Planned<'_>) -> bool {
    let is_dropped = |entry: &Entry<'_>| entry.reason == Some(Reason::AnnotationsTooLarge);
    match planned {
        Ok(plan) => plan.annotations.iter().any(is_dropped),
        Err((reason, _)) => *reason == Reason::AnnotationsTooLarge,
    }
}

/// What no API server keeps is not worth a decision, which takes longer the more there is.
fn too_large(pod: &Pod<'_>) -> Result<(), Reason> {
    if pod.size > legal::MAX_OBJECT {
        return Err(Reason::ObjectTooLarge);
    }
    if pod.containers().count() > legal::MAX_CONTAINERS {
        return Err(Reason::TooManyContainers);
    }
    let annotations = pod.metadata.value.annotations.iter();
    if annotations.map(|(key, value)| key.len() + value.len()).sum::<usize>() > legal::MAX_ANNOTATIONS {
        return Err(Reason::AnnotationsTooLarge);
    }
    Ok(())
}

/// A template that was injected and committed keeps what it has, whatever the pod says since.
fn note_injected_before<'a>(pod: &'a Pod<'a>, notes: &mut Vec<Note<'a>>) {
    if pod.annotation(annotation::STATUS).is_some() {
        let subject = Subject::Annotation(annotation::STATUS.into());
        notes.push(Note { reason: Reason::InjectedBefore, subject, detail: None });
    }
}

// === impl Context ===

impl<'a> Context<'a, '_> {
    /// Without the annotations by which the Agent reads logs, SDKs go on sending theirs.
    fn plan_with_room(self, notes: Vec<Note<'a>>) -> Planned<'a> {
        let before = notes.len();
        let mut planned = self.plan(notes);
        if self.configuration.log_owner() == LogOwner::Agent && is_without_room(&planned) {
            let mut notes = planned.map_or_else(|(_, notes)| notes, |plan| plan.notes);
            notes.truncate(before);
            planned = Self { logs_have_room: false, ..self }.plan(notes);
        }
        let plan = planned?;
        // Only of what is carried out: the other may be what was decided against before.
        if self.grown(&plan) > legal::MAX_OBJECT {
            return Err((Reason::ObjectTooLarge, plan.notes));
        }
        Ok(plan)
    }

    fn plan(&self, mut notes: Vec<Note<'a>>) -> Planned<'a> {
        self.note_surroundings(&mut notes);
        let mut selected = Vec::new();
        let mut plans = Vec::with_capacity(self.pod.spec.containers.items.len().min(64));
        let mut added = 0;
        for (slot, container) in containers::all(self.pod) {
            let existing = Existing::new(container, self.prior);
            self.note_moved(&existing, &mut notes);
            if !Selection::of(slot, container, self.options).is_selected() {
                let name = container.name.as_str();
                if self.prior.container(name).is_some() || self.prior.unclaimed(name).is_some() {
                    plans.push(self.cleared(slot, &existing));
                }
                continue;
            }
            let (plan, identity) = self.container(slot, &existing, &mut notes);
            added += plan.env.iter().filter(|entry| entry.edit.is_a_change()).map(length).sum::<usize>();
            // Whether the whole is too large is for the plan that is carried out; this ends what never could be.
            if added > legal::MAX_OBJECT {
                return Err((Reason::ObjectTooLarge, notes));
            }
            plans.push(plan);
            selected.push((container, identity));
        }
        if selected.is_empty() {
            return Err((Reason::NoContainers, notes));
        }
        self.finish(plans, &selected, notes)
    }

    /// What somebody should know of the pod as a whole.
    fn note_surroundings(&self, notes: &mut Vec<Note<'a>>) {
        let mut note = |reason, subject| notes.push(Note { reason, subject, detail: None });
        if self.namespace.annotations.is_none() {
            note(Reason::NamespaceUnknown, Subject::Namespace);
        }
        if self.prior.unreadable {
            note(Reason::InvalidStatus, Subject::Annotation(annotation::STATUS.into()));
        }
        if self.prior.status.as_ref().is_some_and(|status| status.config != self.configuration.hash()) {
            note(Reason::ConfigurationChanged, Subject::Pod);
        }
        self.note_edited_keys(notes);
        self.note_unknown_skips(notes);
        containers::note_unknown(self.pod, self.options, notes);
    }

    fn note_edited_keys(&self, notes: &mut Vec<Note<'a>>) {
        let Some(status) = &self.prior.status else { return };
        let metadata = &self.pod.metadata.value;
        for (key, value) in metadata.annotations.iter() {
            if status.annotations.set.contains_key(key) && !self.prior.is_own_annotation(key, value) {
                let subject = Subject::Annotation(key.into());
                notes.push(Note { reason: Reason::EditedByUser, subject, detail: None });
            }
        }
        for (key, value) in metadata.labels.iter() {
            if status.labels.set.contains_key(key) && !self.prior.is_own_label(key, value) {
                notes.push(Note { reason: Reason::EditedByUser, subject: Subject::Label(key.into()), detail: None });
            }
        }
    }

    fn note_unknown_skips(&self, notes: &mut Vec<Note<'a>>) {
        let Some(listed) = self.options.skip() else { return };
        for key in listed.names() {
            let known = otel::is_settable(key)
                || self.options.attribute(key).is_some()
                || self.configuration.extra().iter().any(|variable| variable.name == key);
            if !known {
                let subject = Subject::Annotation(annotation::SKIP.into());
                let detail = Some(listed.detail(key));
                notes.push(Note { reason: Reason::UnsupportedSkip, subject, detail });
            }
        }
    }

    fn container(
        &self,
        slot: Slot,
        existing: &Existing<'a>,
        notes: &mut Vec<Note<'a>>,
    ) -> (ContainerPlan<'a>, Identity<'a>) {
        let own = existing.attributes();
        let sources = Sources {
            pod: self.pod,
            options: self.options,
            configuration: self.configuration,
            workload: self.workload,
            prior: self.prior,
        };
        let identity = Identity::of(existing, &own, sources);
        let referring = identity.is_unresolved().then(|| identity::referring(existing, &own, sources)).flatten();
        match referring {
            Some((existing, own, identity)) => self.planned(slot, &existing, &own, identity, notes),
            None => self.planned(slot, existing, &own, identity, notes),
        }
    }

    fn planned(
        &self,
        slot: Slot,
        existing: &Existing<'a>,
        own: &OwnAttributes<'a>,
        identity: Identity<'a>,
        notes: &mut Vec<Note<'a>>,
    ) -> (ContainerPlan<'a>, Identity<'a>) {
        let name = existing.container.name.as_str();
        let variable =
            |name: &'a str, variable: &'static str| Subject::Variable { container: name.into(), name: variable.into() };
        if own.parsed.malformed {
            let subject = variable(name, otel::var::RESOURCE_ATTRIBUTES);
            notes.push(Note { reason: Reason::MalformedAttributes, subject, detail: None });
        }
        self.note_edited_variables(existing, notes);
        if is_disabled(existing) {
            let subject = Subject::Container(name.into());
            notes.push(Note { reason: Reason::SdkDisabled, subject, detail: None });
            return (self.cleared(slot, existing), identity);
        }
        let (env, attributes) = variables::Variables::new(self, existing, own, &identity).build();
        let state = variables::list_state(existing, &env, self.prior);
        (ContainerPlan { name, env, attributes, slot, state }, identity)
    }

    fn note_moved(&self, existing: &Existing<'a>, notes: &mut Vec<Note<'a>>) {
        let name = existing.container.name.as_str();
        let subject = Subject::Container(name.into());
        if let Some(Former { name: was, copied }) = self.prior.former(name) {
            let reason = if *copied { Reason::ContainerCopied } else { Reason::ContainerRenamed };
            notes.push(Note { reason, subject: subject.clone(), detail: Some(format!("was {was}").into()) });
        }
        if !existing.unclaimed(self.prior).is_empty() {
            notes.push(Note { reason: Reason::UnclaimedValues, subject, detail: None });
        }
    }

    /// A container that gets nothing: what an earlier decision wrote into it goes.
    fn cleared(&self, slot: Slot, existing: &Existing<'a>) -> ContainerPlan<'a> {
        let state = variables::list_state(existing, &[], self.prior);
        ContainerPlan { name: existing.container.name.as_str(), env: Vec::new(), attributes: Vec::new(), slot, state }
    }

    fn note_edited_variables(&self, existing: &Existing<'a>, notes: &mut Vec<Note<'a>>) {
        let container = existing.container;
        let Some(written) = self.prior.container(container.name.as_str()) else { return };
        let own = existing.own_names();
        for (index, variable) in container.env.items.iter().enumerate() {
            let name = variable.name.as_str();
            let is_users = existing.ownership.get(index) == Some(&prior::Ownership::User);
            if is_users && written.set.contains_key(name) && !own.contains(name) {
                let subject = Subject::Variable { container: container.name.as_str().into(), name: name.into() };
                notes.push(Note { reason: Reason::EditedByUser, subject, detail: None });
            }
        }
    }

    fn finish(
        &self,
        containers: Vec<ContainerPlan<'a>>,
        selected: &[pod_wide::Selected<'a>],
        notes: Vec<Note<'a>>,
    ) -> Planned<'a> {
        let metadata = &self.pod.metadata;
        let prior = self.prior;
        let status = prior.status.as_ref();
        let mut labels = pod_wide::labels(self, selected);
        labels.push(Entry::set(label::CONFIG, Value::text(self.configuration.hash()), "configuration"));
        let label_state =
            pod_wide::settle(&metadata.value.labels, &mut labels, status.map(|status| &status.labels), |key, value| {
                prior.is_own_label(key, value)
            });
        let mut annotations = pod_wide::annotations(self, selected);
        let annotation_state = pod_wide::settle(
            &metadata.value.annotations,
            &mut annotations,
            status.map(|status| &status.annotations),
            |key, value| key != annotation::STATUS && prior.is_own_annotation(key, value),
        );
        let mut plan = Plan {
            workload: self.workload.clone(),
            service_name: pod_wide::shared(selected, |one| &one.service).ok().flatten().map(|(value, _)| value),
            containers,
            annotations,
            labels,
            notes,
            metadata: MetadataState {
                now: metadata.presence,
                was: status.map_or(metadata.presence, |status| status.metadata),
                labels: label_state,
                annotations: annotation_state,
            },
        };
        match self.add_status(&mut plan) {
            Ok(()) => Ok(plan),
            Err(reason) => Err((reason, plan.notes)),
        }
    }

    /// The status goes last, because it lists all else. Where annotations grow too large, the others go first; a pod
    /// without room for the status is left alone, since nothing could be undone.
    fn add_status(&self, plan: &mut Plan<'a>) -> Result<(), Reason> {
        let annotations = &self.pod.metadata.value.annotations;
        let theirs: usize = annotations
            .iter()
            .filter(|(key, value)| !self.prior.is_own_annotation(key, value))
            .map(|(key, value)| key.len() + value.len())
            .sum();
        let total = |plan: &Plan<'_>, status: &str| -> usize {
            let ours = plan.annotations.iter().filter(|entry| entry.is_written()).map(length).sum::<usize>();
            theirs + ours + annotation::STATUS.len() + status.len()
        };
        let mut status = plan.status(self.configuration.hash());
        if total(plan, &status) > legal::MAX_ANNOTATIONS {
            self.drop_annotations(plan);
            status = plan.status(self.configuration.hash());
            if total(plan, &status) > legal::MAX_ANNOTATIONS {
                return Err(Reason::AnnotationsTooLarge);
            }
        }
        let mut entry = Entry::set(annotation::STATUS, Value::Text(status.into()), "otelgate");
        entry.edit = match (annotations.get(annotation::STATUS), &entry.value) {
            (Some(now), Some(Value::Text(text))) if now == text => Edit::None,
            (Some(_), _) => Edit::Replace(0),
            (None, _) => Edit::Add,
        };
        plan.annotations.push(entry);
        Ok(())
    }

    fn drop_annotations(&self, plan: &mut Plan<'a>) {
        for entry in plan.annotations.iter_mut().filter(|entry| entry.is_written()) {
            let standing = self.pod.metadata.value.annotations.entry(&entry.key).map(|(key, _)| key);
            plan.metadata.annotations.removed.extend(standing);
            *entry = Entry::left(entry.key.clone(), Reason::AnnotationsTooLarge);
        }
    }

    /// How large the object will be, in bytes; worked out only where it comes near the limit, and at most so much else.
    fn grown(&self, plan: &Plan<'a>) -> usize {
        /// Of an entry's name, punctuation and mark in the status; quotes are escaped there.
        const AROUND: usize = 128;
        let bound = self.pod.size + plan.entries().map(|entry| AROUND + 2 * length(entry)).sum::<usize>();
        if bound <= legal::MAX_OBJECT { bound } else { growth::grown(self.pod, &plan.operations()) }
    }
}

fn length(entry: &Entry<'_>) -> usize {
    let value = match &entry.value {
        Some(Value::Text(text)) => text.len(),
        _ => 0,
    };
    entry.key.len() + value
}

fn is_disabled(existing: &Existing<'_>) -> bool {
    matches!(existing.value(otel::var::SDK_DISABLED), existing::Known::Literal(value) if value.eq_ignore_ascii_case("true"))
}

// === impl Plan ===

impl Plan<'_> {
    fn status(&self, config: &str) -> String {
        fn written<'e>(
            entries: &'e [Entry<'_>],
            (edited, unclaimed): (&'e [&'e str], &[(&'e str, Mark)]),
            was: Presence,
            digests: &mut Digests<'e>,
        ) -> NewWritten<'e> {
            let marks = entries.iter().filter_map(|entry| Some((&*entry.key, entry.mark(digests)?)));
            NewWritten { was, set: Pairs(marks.collect()), edited, unclaimed: Pairs(unclaimed.to_vec()) }
        }

        let digests = &mut Digests::default();
        let containers = self.containers.iter().map(|container| {
            let ListState { was, edited, unclaimed, .. } = &container.state;
            (container.name, written(&container.env, (edited, unclaimed), *was, digests))
        });
        let containers = Pairs(containers.collect());
        let MetadataState { labels, annotations, .. } = &self.metadata;
        let status = NewStatus {
            version: VERSION,
            decision: "inject",
            config,
            metadata: self.metadata.was,
            reasons: self.lasting_reasons(),
            containers,
            annotations: written(&self.annotations, (&annotations.edited, &[]), annotations.was, digests),
            labels: written(&self.labels, (&labels.edited, &[]), labels.was, digests),
        };
        serde_json::to_string(&status).expect("a status is plain data")
    }

    /// Reasons that a second look would give again: the patch of a pod that is as it should be is empty. What is known of
    /// the namespace depends on who looks.
    fn lasting_reasons(&self) -> Vec<Reason> {
        let passing = [
            Reason::ConfigurationChanged,
            Reason::EditedByUser,
            Reason::InvalidStatus,
            Reason::ContainerRenamed,
            Reason::ContainerCopied,
        ];
        let of_pod = self.notes.iter().filter(|note| note.subject != Subject::Namespace);
        let noted = of_pod.map(|note| note.reason).filter(|reason| !passing.contains(reason));
        let mut reasons: Vec<Reason> = noted.chain(self.entries().filter_map(|entry| entry.reason)).collect();
        reasons.sort_unstable();
        reasons.dedup();
        reasons
    }
}

#[cfg(test)]
mod tests;

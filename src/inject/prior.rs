//! What otelgate wrote into this pod before: never an input of the next decision.
//!
//! A pod meets the engine twice when the API server calls the webhook again after another one changed the pod, and when
//! `otelgate inject` wrote into a template that the webhook then sees in every pod of it.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::containers;
use super::plan::Stripped;
use super::status::{Mark, Status, Was, Written};
use super::view::{Container, Pod, Presence};
use crate::api::otel::{attr, var};
use crate::api::{annotation, label};

/// The earlier status, if there is one.
#[derive(Clone, Debug, Default)]
pub struct Prior {
    pub status: Option<Status>,
    /// There is one, but it can't be read.
    pub unreadable: bool,
    names: Names,
}

/// Of containers that the status doesn't list, beside names that it does and that are gone.
#[derive(Clone, Debug, Default)]
struct Names {
    /// By the name now, that under which it was written into.
    former: BTreeMap<String, String>,
    /// They have values like those, and nothing proves whose they are.
    doubtful: BTreeSet<String>,
}

/// Whose an entry of a container's `env` is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ownership {
    User,
    /// Otelgate's.
    Whole,
    /// The user's, with a suffix of otelgate's.
    Suffix(Range<usize>),
}

// === impl Prior ===

impl Prior {
    #[must_use]
    pub fn read(pod: &Pod<'_>) -> Self {
        let Some(text) = pod.annotation(annotation::STATUS) else { return Self::default() };
        match serde_json::from_str(text) {
            Ok(status) => {
                let names = Names::of(pod, &status);
                Self { status: Some(status), unreadable: false, names }
            }
            Err(_) => Self { unreadable: true, ..Self::default() },
        }
    }

    /// What a container was called when it was written into, where it was renamed since.
    #[must_use]
    pub fn former_name(&self, name: &str) -> Option<&str> {
        self.names.former.get(name).map(String::as_str)
    }

    /// Whether a container has values of one that is gone, and it can't be known whose they are.
    #[must_use]
    pub fn is_doubtful(&self, name: &str) -> bool {
        self.names.doubtful.contains(name)
    }

    #[must_use]
    pub fn is_own_annotation(&self, key: &str, value: &str) -> bool {
        key == annotation::STATUS || self.status.as_ref().is_some_and(|status| is_own(&status.annotations, key, value))
    }

    #[must_use]
    pub fn is_own_label(&self, key: &str, value: &str) -> bool {
        key == label::CONFIG || self.status.as_ref().is_some_and(|status| is_own(&status.labels, key, value))
    }

    /// What was written into a container.
    #[must_use]
    pub fn container(&self, name: &str) -> Option<&Written> {
        let containers = &self.status.as_ref()?.containers;
        containers.get(name).or_else(|| containers.get(self.former_name(name)?))
    }

    /// How a list or map stood before otelgate first wrote into it, given how it stands now.
    #[must_use]
    pub fn before(written: Option<&Written>, now: Presence) -> Presence {
        written.map_or(now, |written| written.was)
    }

    /// What the container's `OTEL_RESOURCE_ATTRIBUTES` was before anything was appended to it.
    #[must_use]
    pub fn was(&self, container: &Container<'_>) -> Option<Was> {
        match self.container(container.name.as_str())?.set.get(var::RESOURCE_ATTRIBUTES)? {
            Mark::Suffix { was, .. } => Some(*was),
            Mark::Whole(_) => None,
        }
    }

    /// The container's own value without the suffix: absent or null again, if it was and nobody wrote behind it.
    pub(super) fn stripped(&self, container: &Container<'_>, value: &str, suffix: &Range<usize>) -> Stripped {
        let text = without(value, suffix).into_owned();
        match self.was(container) {
            Some(Was::Absent) if text.is_empty() => Stripped::Absent,
            Some(Was::Null) if text.is_empty() => Stripped::Null,
            _ => Stripped::Text(text),
        }
    }

    /// Per entry of the container's `env`, whose it is; empty when all are the user's.
    #[must_use]
    pub fn ownership(&self, container: &Container<'_>) -> Vec<Ownership> {
        self.container(container.name.as_str()).map_or_else(Vec::new, |written| ownership(container, written))
    }
}

/// As [`Prior::ownership`], by what was written into it.
fn ownership(container: &Container<'_>, written: &Written) -> Vec<Ownership> {
    let variables = &container.env.items;
    let mut found = BTreeSet::new();
    let mut ownership: Vec<Ownership> = variables
        .iter()
        .map(|variable| {
            let name = variable.name.as_str();
            // Another webhook may have added the same entry once more: only the first is ours.
            match written.set.get(name) {
                Some(mark) if mark.is_variable(variable) && found.insert(name) => Ownership::Whole,
                _ => Ownership::User,
            }
        })
        .collect();
    for (index, variable) in variables.iter().enumerate().rev() {
        let suffix =
            written.set.get(variable.name.as_str()).filter(|_| variable.value_from.presence != Presence::Filled);
        if let Some(range) = suffix.and_then(|mark: &Mark| mark.suffix_in(variable.value.value.as_str())) {
            ownership[index] = Ownership::Suffix(range);
            break;
        }
    }
    ownership
}

// === impl Names ===

impl Names {
    /// So many bytes are compared at most: more is nobody's doing by hand, and would be slow.
    const MAX_COMPARED: usize = 1 << 20;

    /// A container that was renamed in a manifest has its values still, and the status has them under the former name.
    /// They are otelgate's where one of them can be nobody else's; a name that fits twice, on either side, proves nothing.
    fn of(pod: &Pod<'_>, status: &Status) -> Self {
        let mut names = Self::default();
        let there: BTreeSet<_> = pod.containers().map(|container| container.name.as_str()).collect();
        let is_gone = |(name, written): &(&String, &Written)| !written.set.is_empty() && !there.contains(name.as_str());
        let gone: Vec<_> = status.containers.iter().filter(is_gone).collect();
        if gone.is_empty() {
            return names;
        }
        let is_new = |container: &&Container<'_>| {
            !container.env.items.is_empty() && !status.containers.contains_key(container.name.as_str())
        };
        let new: Vec<_> = containers::all(pod).map(|(_, container)| container).filter(is_new).collect();
        if gone.len() * new.iter().map(|container| length(container)).sum::<usize>() > Self::MAX_COMPARED {
            return names;
        }
        let mut taken = BTreeMap::<&str, Vec<&str>>::new();
        for container in new {
            let name = container.name.as_str();
            let fits: Vec<_> =
                gone.iter().map(|(was, written)| (was.as_str(), Fit::of(container, was, written))).collect();
            let proven: Vec<_> = fits.iter().filter(|(_, fit)| *fit == Fit::Proven).map(|(was, _)| *was).collect();
            match proven[..] {
                [was] => taken.entry(was).or_default().push(name),
                [] if fits.iter().all(|(_, fit)| *fit == Fit::Not) => {}
                _ => drop(names.doubtful.insert(name.to_owned())),
            }
        }
        for (was, of) in taken {
            match of[..] {
                [name] => drop(names.former.insert(name.to_owned(), was.to_owned())),
                _ => names.doubtful.extend(of.into_iter().map(ToOwned::to_owned)),
            }
        }
        names
    }
}

/// What it costs to look at a container's variables once, in bytes.
fn length(container: &Container<'_>) -> usize {
    /// Of a search for its name.
    const EACH: usize = 64;
    let variables = container.env.items.iter();
    variables.map(|variable| EACH + variable.name.as_str().len() + variable.value.value.as_str().len()).sum()
}

/// Whether a container has what was written into another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fit {
    Not,
    /// Some values are the same, as anybody might have written them.
    Maybe,
    /// The resource attributes are what was written, and name that container, or a variable of otelgate's own.
    Proven,
}

impl Fit {
    fn of(container: &Container<'_>, was: &str, written: &Written) -> Self {
        let ownership = ownership(container, written);
        let mut fit = Self::Not;
        for (variable, own) in container.env.items.iter().zip(&ownership) {
            let value = variable.value.value.as_str();
            let ours = match own {
                Ownership::User => continue,
                Ownership::Whole if variable.name.as_str() != var::RESOURCE_ATTRIBUTES => "",
                Ownership::Whole => value,
                Ownership::Suffix(range) => &value[range.clone()],
            };
            let names_it = |pair: &str| {
                pair.strip_prefix(attr::CONTAINER_NAME).is_some_and(|rest| rest.strip_prefix('=') == Some(was))
            };
            if ours.contains("$(OTELGATE_") || ours.split(',').any(names_it) {
                return Self::Proven;
            }
            fit = Self::Maybe;
        }
        fit
    }
}

fn is_own(written: &Written, key: &str, value: &str) -> bool {
    written.set.get(key).is_some_and(|mark| mark.is_whole(value))
}

/// A literal without otelgate's suffix; what somebody wrote behind it stays.
#[must_use]
pub fn without<'a>(value: &'a str, suffix: &Range<usize>) -> Cow<'a, str> {
    if suffix.end == value.len() {
        return Cow::Borrowed(&value[..suffix.start]);
    }
    Cow::Owned(format!("{}{}", &value[..suffix.start], &value[suffix.end..]))
}

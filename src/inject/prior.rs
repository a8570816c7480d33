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
use super::view::{Container, Pod, Presence, Variable};
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

/// Of containers whose name doesn't tell what was written into them.
#[derive(Clone, Debug, Default)]
struct Names {
    /// By the name now.
    former: BTreeMap<String, Former>,
    /// They have values of others, and nothing proves whose they are.
    doubtful: BTreeMap<String, BTreeMap<String, Mark>>,
}

/// The name under which what a container has was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Former {
    pub name: String,
    /// Another has it too.
    pub copied: bool,
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

    /// What a container was called when it was written into, where it was renamed or copied since.
    #[must_use]
    pub fn former(&self, name: &str) -> Option<&Former> {
        self.names.former.get(name)
    }

    /// What a container has as it was written into another, or had once, where it can't be known whose it is.
    pub(super) fn unclaimed(&self, name: &str) -> Option<&BTreeMap<String, Mark>> {
        let unclaimed = self.names.doubtful.get(name).or_else(|| Some(&self.container(name)?.unclaimed))?;
        (!unclaimed.is_empty()).then_some(unclaimed)
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
        let name = self.former(name).map_or(name, |former| &former.name);
        self.status.as_ref()?.containers.get(name)
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
            // The comma parted it from what was there.
            Some(Was::None) if suffix.start == 0 => Stripped::Text(text.strip_prefix(',').unwrap_or(&text).to_owned()),
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
        let name = variable.name.as_str();
        let is_literal = variable.value_from.presence != Presence::Filled;
        let suffix = written.set.get(name).filter(|_| is_literal && !found.contains(name));
        if let Some(range) = suffix.and_then(|mark: &Mark| mark.suffix_in(variable.value.value.as_str())) {
            ownership[index] = Ownership::Suffix(range);
            break;
        }
    }
    ownership
}

// === impl Names ===

/// What was written into a container of that name.
type Listed<'s> = (&'s str, &'s Written);

impl Names {
    /// So many bytes are compared at most: more is nobody's doing by hand, and would be slow.
    const MAX_COMPARED: usize = 1 << 20;

    /// A container that was renamed or copied in a manifest has its values still, and the status has them under another
    /// name. They are otelgate's where one of them can be nobody else's; what fits two entries that differ proves nothing.
    fn of(pod: &Pod<'_>, status: &Status) -> Self {
        let mut names = Self::default();
        let is_filled = |written: &Written| !(written.set.is_empty() && written.unclaimed.is_empty());
        let listed = status.containers.iter().filter(|(_, written)| is_filled(written));
        let listed: Vec<Listed<'_>> = listed.map(|(name, written)| (name.as_str(), written)).collect();
        let strange: Vec<_> =
            containers::all(pod).map(|(_, container)| container).filter(|one| is_strange(one, status)).collect();
        let length = strange.iter().map(|container| length(container)).sum::<usize>();
        if strange.is_empty() || listed.len() * length > Self::MAX_COMPARED {
            return names;
        }
        let there: BTreeSet<_> = pod.containers().map(|container| container.name.as_str()).collect();
        let mut taken = BTreeMap::<&str, Vec<&str>>::new();
        let mut open = Vec::new();
        for container in strange {
            let name = container.name.as_str();
            let proven = listed.iter().filter(|(was, written)| *was != name && is_proven(container, was, written));
            match origin(&proven.copied().collect::<Vec<_>>(), &there) {
                Some(was) => taken.entry(was).or_default().push(name),
                None if status.containers.contains_key(name) => {}
                None => open.push(container),
            }
        }
        let moved: BTreeSet<&str> = taken.values().flatten().copied().collect();
        for (was, by) in &taken {
            let copied = by.len() > 1 || (there.contains(was) && !moved.contains(was));
            let former = Former { name: (*was).to_owned(), copied };
            names.former.extend(by.iter().map(|name| ((*name).to_owned(), former.clone())));
        }
        let is_gone = |was: &str| !there.contains(was) && !taken.contains_key(was);
        for container in open {
            let mut doubtful = BTreeMap::new();
            for entry in &listed {
                doubtful.extend(alike(container, *entry, is_gone(entry.0)));
            }
            names.doubtful.insert(container.name.as_str().to_owned(), doubtful);
        }
        names
    }
}

/// The one container that it is, of those whose values it is proven to have: rather one that is gone.
fn origin<'s>(proven: &[Listed<'s>], there: &BTreeSet<&str>) -> Option<&'s str> {
    let gone: Vec<_> = proven.iter().filter(|(was, _)| !there.contains(was)).copied().collect();
    let (first, others) = if gone.is_empty() { proven } else { &gone }.split_first()?;
    others.iter().all(|(_, written)| *written == first.1).then_some(first.0)
}

/// Whether a container has variables, and not those that were written under its name.
fn is_strange(container: &Container<'_>, status: &Status) -> bool {
    match status.containers.get(container.name.as_str()) {
        None => !container.env.items.is_empty(),
        Some(written) => own_attributes(container).next().is_some() && as_written(container, written).is_none(),
    }
}

/// What it costs to look at a container's variables once, in bytes.
fn length(container: &Container<'_>) -> usize {
    /// Of a search for its name.
    const EACH: usize = 64;
    let variables = container.env.items.iter();
    variables.map(|variable| EACH + variable.name.as_str().len() + variable.value.value.as_str().len()).sum()
}

fn own_attributes<'c, 'a>(container: &'c Container<'a>) -> impl Iterator<Item = &'c Variable<'a>> {
    let literal = |variable: &&Variable<'_>| {
        variable.name.as_str() == var::RESOURCE_ATTRIBUTES && variable.value_from.presence != Presence::Filled
    };
    container.env.items.iter().filter(literal)
}

/// The text of its resource attributes that is what was written into a container.
fn as_written<'c>(container: &'c Container<'_>, written: &Written) -> Option<&'c str> {
    let mark = written.set.get(var::RESOURCE_ATTRIBUTES)?;
    own_attributes(container).find_map(|variable| {
        let value = variable.value.value.as_str();
        match mark {
            Mark::Whole(_) => mark.is_variable(variable).then_some(value),
            Mark::Suffix { .. } => Some(&value[mark.suffix_in(value)?]),
        }
    })
}

/// Whether a container has what was written into another: its resource attributes are that, and name that container, or
/// a variable of otelgate's own.
fn is_proven(container: &Container<'_>, was: &str, written: &Written) -> bool {
    let names_it =
        |pair: &str| pair.strip_prefix(attr::CONTAINER_NAME).is_some_and(|rest| rest.strip_prefix('=') == Some(was));
    as_written(container, written).is_some_and(|ours| ours.contains("$(OTELGATE_") || ours.split(',').any(names_it))
}

/// What a container has as it was written into another, and as anybody might have written it: while that one has it too,
/// somebody has.
fn alike(container: &Container<'_>, (was, written): Listed<'_>, gone: bool) -> BTreeMap<String, Mark> {
    let marks = written.unclaimed.iter().chain(&written.set);
    let marks: BTreeMap<&str, &Mark> = marks.map(|(name, mark)| (name.as_str(), mark)).collect();
    let same = |variable: &Variable<'_>| {
        let name = variable.name.as_str();
        let mark = *marks.get(name)?;
        mark.fits(variable, variable.value.value.as_str()).then(|| (name.to_owned(), *mark))
    };
    let alike: BTreeMap<_, _> = container.env.items.iter().filter_map(same).collect();
    if gone || is_proven(container, was, written) { alike } else { BTreeMap::new() }
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

//! What a container already has in its `env`, as far as it can be known here.

use std::borrow::Cow;
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use super::Reason;
use super::attributes::Attributes;
use super::endpoint::NODE_ADDRESS;
use super::expand::{Piece, Pieces, expand};
use super::lookup;
use super::prior::{Ownership, Prior, without};
use super::status::Mark;
use super::variables::NODE_IP_FIELD;
use super::view::{Container, Presence, Variable};
use crate::api::otel::var;

/// References followed for one value: chains of them can be made to grow without end.
const MAX_REFERENCES: u32 = 64;
/// Length up to which a value is expanded, in bytes.
const MAX_EXPANDED: usize = 64 * 1024;

/// A container's variables, otelgate's own taken out.
#[derive(Debug)]
pub struct Existing<'a> {
    pub container: &'a Container<'a>,
    /// Per entry; empty when all are the user's.
    pub ownership: Vec<Ownership>,
    /// Of entries that others refer to: each is read once, however many do.
    resolved: RefCell<BTreeMap<usize, Option<Cow<'a, str>>>>,
    /// The places of all entries by their names, those of one name in their order; made where many are to be looked through.
    by_name: OnceCell<Vec<usize>>,
    /// What `OTEL_SERVICE_NAME` will be that otelgate sets in front of the user's own.
    assumed: Option<Cow<'a, str>>,
    /// The first of the user's entries that relies on that.
    relies: Cell<usize>,
    /// See [`Existing::last_staying`].
    last_staying: OnceCell<Option<usize>>,
}

/// The value that a container gives a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known<'a> {
    Absent,
    Literal(Cow<'a, str>),
    /// Set, but not knowable: [`Reason::ValueFrom`], or [`Reason::UnresolvedReference`].
    Hidden(Reason),
}

/// A container's own `OTEL_RESOURCE_ATTRIBUTES`.
#[derive(Debug, Default)]
pub struct OwnAttributes<'a> {
    /// Its place in `env`.
    pub index: Option<usize>,
    /// As written, without otelgate's suffix.
    pub text: Cow<'a, str>,
    pub parsed: Attributes,
    pub value_from: bool,
    pub unresolved: bool,
    pub unclosed: bool,
}

// === impl Existing ===

impl<'a> Existing<'a> {
    #[must_use]
    pub fn new(container: &'a Container<'a>, prior: &Prior) -> Self {
        Self::with(container, prior.ownership(container), None)
    }

    fn with(container: &'a Container<'a>, ownership: Vec<Ownership>, assumed: Option<Cow<'a, str>>) -> Self {
        Self {
            container,
            ownership,
            resolved: RefCell::default(),
            by_name: OnceCell::new(),
            assumed,
            relies: Cell::new(usize::MAX),
            last_staying: OnceCell::new(),
        }
    }

    /// The same, where the user's references to `OTEL_SERVICE_NAME` find otelgate's.
    #[must_use]
    pub fn assuming(&self, service_name: Cow<'a, str>) -> Self {
        Self::with(self.container, self.ownership.clone(), Some(service_name))
    }

    #[must_use]
    pub fn assumes_service_name(&self) -> bool {
        self.assumed.is_some()
    }

    /// Whether one of the user's values that stands before a place was read so.
    #[must_use]
    pub fn relies_before(&self, index: usize) -> bool {
        self.relies.get() < index
    }

    /// The user's entries, with their places.
    #[must_use]
    pub fn entries(&self) -> impl DoubleEndedIterator<Item = (usize, &'a Variable<'a>)> {
        let all = self.container.env.items.iter().inspect(|_| lookup::step());
        all.enumerate().filter(|(index, _)| !self.is_own(*index))
    }

    /// The user's entry that counts: the last of its name.
    #[must_use]
    pub fn last(&self, name: &str) -> Option<(usize, &'a Variable<'a>)> {
        self.entries().rev().find(|(_, variable)| variable.name.as_str() == name)
    }

    /// The place of otelgate's own entry of that name.
    #[must_use]
    pub fn own(&self, name: &str) -> Option<usize> {
        self.own_entries().find(|index| self.container.env.items[*index].name.as_str() == name)
    }

    /// The places of the entries that otelgate wrote as a whole.
    pub fn own_entries(&self) -> impl Iterator<Item = usize> {
        self.ownership.iter().enumerate().filter(|(_, own)| **own == Ownership::Whole).map(|(index, _)| index)
    }

    /// The names of those, to ask for many.
    #[must_use]
    pub fn own_names(&self) -> BTreeSet<&'a str> {
        self.own_entries().map(|index| self.container.env.items[index].name.as_str()).collect()
    }

    #[must_use]
    pub fn has_env_from(&self) -> bool {
        !self.container.env_from.items.is_empty()
    }

    #[must_use]
    pub fn value(&self, name: &str) -> Known<'a> {
        let Some((index, variable)) = self.last(name) else { return Known::Absent };
        if is_from(variable) {
            return Known::Hidden(Reason::ValueFrom);
        }
        let budget = Cell::new(MAX_REFERENCES);
        match self.resolve(index, &budget) {
            Some(text) => Known::Literal(text),
            None => Known::Hidden(Reason::UnresolvedReference),
        }
    }

    /// The literal of a variable, with [`NODE_ADDRESS`] for each reference to that; nothing where it has other references
    /// that can't be resolved. Of otelgate's variables, those of these names will hold that address, and are found from these
    /// places on.
    #[must_use]
    pub fn url(&self, name: &str, addresses: &[(&str, usize)]) -> Option<String> {
        let (index, variable) = self.last(name)?;
        if is_from(variable) {
            return None;
        }
        let text = self.text(index);
        let budget = Cell::new(MAX_REFERENCES);
        let expanded = expand(&text, |name| {
            let is_node = || budget.get() > 0 && self.is_node_address(name, index, addresses);
            self.lookup(name, index, &budget).or_else(|| is_node().then_some(Cow::Borrowed(NODE_ADDRESS)))
        });
        (!expanded.unresolved).then(|| expanded.text.into_owned())
    }

    /// Whether a reference finds the node's address, in a variable of the user's or in one that otelgate will have written.
    fn is_node_address(&self, name: &str, before: usize, addresses: &[(&str, usize)]) -> bool {
        match self.above(before, name, |place| !self.is_own(place)) {
            Some(place) => {
                let found = &self.container.env.items[place];
                is_from(found) && found.value_from.value.field_ref.field_path.as_str() == NODE_IP_FIELD
            }
            None => addresses.iter().any(|(address, from)| *address == name && *from <= before),
        }
    }

    /// The nearest of the entries above a place that have a name and count.
    fn above(&self, before: usize, name: &str, counts: impl Fn(usize) -> bool) -> Option<usize> {
        /// So many are looked through as fast as they are put in order.
        const FEW: usize = 64;
        let items = &self.container.env.items;
        let name_at = |place: usize| {
            lookup::step();
            items[place].name.as_str()
        };
        if before <= FEW {
            return (0..before).rev().find(|place| name_at(*place) == name && counts(*place));
        }
        let by_name = self.by_name.get_or_init(|| {
            let mut places: Vec<usize> = (0..items.len()).collect();
            places.sort_unstable_by(|one, other| (name_at(*one), one).cmp(&(name_at(*other), other)));
            places
        });
        let end = by_name.partition_point(|place| (name_at(*place), *place) < (name, before));
        by_name[..end].iter().rev().copied().take_while(|place| name_at(*place) == name).find(|place| counts(*place))
    }

    #[must_use]
    pub fn attributes(&self) -> OwnAttributes<'a> {
        let Some((index, variable)) = self.last(var::RESOURCE_ATTRIBUTES) else { return OwnAttributes::default() };
        if is_from(variable) {
            return OwnAttributes { index: Some(index), value_from: true, ..OwnAttributes::default() };
        }
        let text = self.text(index);
        let budget = Cell::new(MAX_REFERENCES);
        let (expanded, unresolved, unclosed) = {
            let expanded = expand(&text, |name| self.lookup(name, index, &budget));
            (expanded.text.into_owned(), expanded.unresolved, expanded.unclosed)
        };
        let parsed = Attributes::parse(&expanded);
        OwnAttributes { index: Some(index), text, parsed, value_from: false, unresolved, unclosed }
    }

    /// Variables that otelgate wrote, and whose value somebody edited since.
    #[must_use]
    pub fn edited(&self, prior: &Prior) -> Vec<&'a str> {
        let Some(written) = prior.container(self.container.name.as_str()) else { return Vec::new() };
        let own = self.own_names();
        let known: BTreeSet<&str> = written.edited.iter().map(String::as_str).collect();
        let has_suffix = self.ownership.iter().any(|own| matches!(own, Ownership::Suffix(_)));
        let (mut edited, mut seen) = (Vec::new(), BTreeSet::new());
        for name in self.entries().map(|(_, variable)| variable.name.as_str()) {
            let stands = match written.set.get(name) {
                Some(Mark::Whole(_)) => own.contains(name),
                Some(Mark::Suffix { .. }) => has_suffix || own.contains(name),
                None => true,
            };
            if (!stands || known.contains(name)) && seen.insert(name) {
                edited.push(name);
            }
        }
        edited
    }

    /// What still stands here as it was written into another container, by name: it can't be known whose it is.
    #[must_use]
    pub fn unclaimed(&self, prior: &Prior) -> Vec<(&'a str, Mark)> {
        let Some(unclaimed) = prior.unclaimed(self.container.name.as_str()) else { return Vec::new() };
        let stands = |(index, variable): (usize, &'a Variable<'a>)| {
            let name = variable.name.as_str();
            let mark = unclaimed.get(name)?;
            mark.fits(variable, &self.text(index)).then_some((name, *mark))
        };
        let found: BTreeMap<_, _> = self.entries().filter_map(stands).collect();
        found.into_iter().collect()
    }

    /// Whether one of the user's own values refers to a variable.
    #[must_use]
    pub fn refers_to(&self, name: &str) -> bool {
        let refers = |text: &str| Pieces::of(text).any(|piece| piece == Piece::Reference(name));
        self.entries().any(|(index, _)| refers(&self.text(index)))
    }

    fn is_own(&self, index: usize) -> bool {
        self.ownership.get(index) == Some(&Ownership::Whole)
    }

    /// A literal as the user wrote it.
    fn text(&self, index: usize) -> Cow<'a, str> {
        let text = self.container.env.items[index].value.value.as_str();
        match self.ownership.get(index) {
            Some(Ownership::Suffix(range)) => without(text, range),
            _ => Cow::Borrowed(text),
        }
    }

    /// A literal with its references resolved, or `None` when one of them can't be.
    fn resolve(&self, index: usize, budget: &Cell<u32>) -> Option<Cow<'a, str>> {
        let text = self.container.env.items[index].value.value.as_str();
        if !matches!(self.ownership.get(index), Some(Ownership::Suffix(_))) {
            let expanded = expand(text, |name| self.lookup(name, index, budget));
            return (!expanded.unresolved).then_some(expanded.text);
        }
        let text = self.text(index);
        let expanded = expand(&text, |name| self.lookup(name, index, budget));
        (!expanded.unresolved).then(|| Cow::Owned(expanded.text.into_owned()))
    }

    /// Only entries before the one that refers count, as in the kubelet.
    fn lookup(&self, name: &str, before: usize, budget: &Cell<u32>) -> Option<Cow<'a, str>> {
        budget.set(budget.get().checked_sub(1)?);
        let found = self.above(before, name, |place| !self.is_own(place));
        let Some(index) = found else { return self.assumed(name, before) };
        if is_from(&self.container.env.items[index]) {
            return None;
        }
        if let Some(known) = self.resolved.borrow().get(&index) {
            return known.clone();
        }
        let resolved = self.resolve(index, budget).filter(|text| text.len() <= MAX_EXPANDED);
        // Where the budget ended it isn't the variable's fault.
        if budget.get() > 0 {
            self.resolved.borrow_mut().insert(index, resolved.clone());
        }
        resolved
    }

    /// Otelgate's own stands where it did, or comes to the front with whatever else it adds, but not before what of it stands
    /// already.
    fn assumed(&self, name: &str, before: usize) -> Option<Cow<'a, str>> {
        let value = self.assumed.as_ref().filter(|_| name == var::SERVICE_NAME)?;
        let stands = || self.own(name).is_some_and(|index| index < before);
        if self.last_staying() > Some(before) && !stands() {
            return None;
        }
        self.relies.set(self.relies.get().min(before));
        Some(value.clone())
    }

    /// The last of otelgate's own that stays: what the user has too goes.
    fn last_staying(&self) -> Option<usize> {
        let items = &self.container.env.items;
        let stays = |index: &usize| {
            let name = items[*index].name.as_str();
            name != var::SERVICE_NAME && self.above(items.len(), name, |place| !self.is_own(place)).is_none()
        };
        *self.last_staying.get_or_init(|| self.own_entries().filter(stays).last())
    }
}

fn is_from(variable: &Variable<'_>) -> bool {
    variable.value_from.presence == Presence::Filled
}

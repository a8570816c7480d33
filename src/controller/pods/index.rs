//! What is known of every pod, cut to a hundred bytes or so: there may be a hundred thousand.
//!
//! Plain maps, changed by what the watches tell. A pod with a mark is judged by its record; one without, that should
//! have one, has to be looked at as a whole once, since only the spec says whether it would be injected. Counts are kept
//! as the records change, so that nobody has to go through all of them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::metadata::{NamespaceSeen, PodSeen};
use super::record::{Around, Count, InForce, Kept, Look, Name, Record, Tally, Uid};
use crate::coverage::Coverage;

#[derive(Debug)]
struct Namespace {
    name: Arc<str>,
    around: Around,
    /// It is there, as far as the watch of namespaces has told.
    known: bool,
    epoch: u32,
    /// Created until then: something kept some of its pods from being injected that does so no more.
    left_alone_until: Option<i64>,
    pods: HashMap<Box<str>, Record>,
}

/// Pods that have to be looked at, in one namespace, and by what they are judged.
#[derive(Clone, Debug)]
pub struct ToLookAt {
    pub namespace: Arc<str>,
    pub around: Around,
    pub in_force: InForce,
    /// All of the namespace's without the mark's label; else the one of that name.
    pub only: Option<(Box<str>, Uid)>,
}

/// Everything.
#[derive(Debug, Default)]
pub struct Index {
    in_force: Option<InForce>,
    namespaces: HashMap<Arc<str>, Namespace>,
    workloads: BTreeMap<Arc<Name>, Tally>,
    totals: Tally,
    pods_epoch: u32,
    namespaces_epoch: u32,
}

/// So many pods of a namespace are cheaper to look at one by one than in a list.
const ONE_BY_ONE: usize = 3;
/// As a list has all that have no mark, it is worth its while where at least one in so many of them is to be looked at.
const WORTH_A_LIST: usize = 10;

// === impl Namespace ===

impl Namespace {
    /// Nothing is known of it.
    fn is_empty(&self) -> bool {
        !self.known && self.pods.is_empty() && self.left_alone_until.is_none()
    }
}

// === impl ToLookAt ===

impl ToLookAt {
    #[must_use]
    pub fn key(&self) -> (Arc<str>, Option<Box<str>>) {
        (Arc::clone(&self.namespace), self.name().map(Into::into))
    }

    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.only.as_ref().map(|(name, _)| &**name)
    }
}

// === impl Index ===

impl Index {
    /// Judges by another configuration from now on. Tells whether what is known of pods isn't enough for that: then all
    /// have to be listed again.
    #[must_use]
    pub fn put_in_force(&mut self, in_force: InForce) -> bool {
        let now = Arc::clone(&in_force.configuration);
        let before = self.in_force.replace(in_force).map(|before| before.configuration);
        let changed = before.as_ref().is_none_or(|before| before.revision() != now.revision());
        if changed {
            let pods = self.namespaces.values_mut().flat_map(|namespace| namespace.pods.values_mut());
            for record in pods.filter(|record| record.look == Look::Skips) {
                record.look = Look::Not;
                record.free();
            }
        }
        self.count_again();
        before.is_some_and(|before| before.document().exclude != now.document().exclude)
    }

    pub fn begin_pods(&mut self) {
        self.pods_epoch = self.pods_epoch.wrapping_add(1);
    }

    /// Forgets the pods that the list which ends here didn't have.
    pub fn end_pods(&mut self) {
        let Self { namespaces, workloads, totals, in_force, pods_epoch, .. } = self;
        for Namespace { around, pods, .. } in namespaces.values_mut() {
            pods.retain(|_, record| {
                let stays = record.epoch == *pods_epoch;
                if !stays {
                    let tally = record.tally(around, in_force.as_ref());
                    take(workloads, totals, &record.workload, tally);
                }
                stays
            });
        }
        self.drop_empty();
    }

    /// A pod as it is now.
    pub fn pod(&mut self, seen: PodSeen) {
        if seen.leaving {
            self.pod_gone(&seen);
            return;
        }
        let barred = self.in_force.as_ref().is_some_and(|in_force| seen.is_barred(&in_force.configuration));
        let place = self.namespace(&seen.namespace);
        let (kind, name) = seen.workload;
        let workload = self.workload(Name { namespace: place, kind, name });
        let Self { namespaces, workloads, totals, in_force, pods_epoch, .. } = self;
        let Some(Namespace { around, pods, left_alone_until, .. }) = namespaces.get_mut(&*seen.namespace) else {
            return;
        };
        let kept = if barred {
            Kept::Now
        } else if left_alone_until.is_some_and(|until| seen.created <= until) {
            Kept::Before
        } else if seen.labelled_later {
            Kept::Unlabelled
        } else {
            Kept::Never
        };
        let mut record = Record {
            uid: seen.uid,
            created: seen.created,
            workload,
            mark: seen.mark,
            epoch: *pods_epoch,
            own: seen.own,
            look: Look::Not,
            annotated: seen.annotated,
            kept,
        };
        if let Some(before) = pods.get(&seen.name) {
            record.follow(before, around);
            take(workloads, totals, &before.workload, before.tally(around, in_force.as_ref()));
        }
        let tally = record.tally(around, in_force.as_ref());
        totals.add(tally);
        workloads.entry(Arc::clone(&record.workload)).or_default().add(tally);
        pods.insert(seen.name, record);
    }

    pub fn pod_gone(&mut self, seen: &PodSeen) {
        let Self { namespaces, workloads, totals, in_force, .. } = self;
        let Some(Namespace { around, pods, .. }) = namespaces.get_mut(&*seen.namespace) else { return };
        // A StatefulSet's next pod has the name of the one before.
        if pods.get(&seen.name).is_some_and(|record| record.uid == seen.uid)
            && let Some(record) = pods.remove(&seen.name)
        {
            take(workloads, totals, &record.workload, record.tally(around, in_force.as_ref()));
        }
        self.drop_empty_namespace(&seen.namespace);
    }

    pub fn begin_namespaces(&mut self) {
        self.namespaces_epoch = self.namespaces_epoch.wrapping_add(1);
    }

    pub fn end_namespaces(&mut self) {
        let is_gone = |namespace: &&Namespace| namespace.known && namespace.epoch != self.namespaces_epoch;
        let gone: Vec<_> =
            self.namespaces.values().filter(is_gone).map(|namespace| Arc::clone(&namespace.name)).collect();
        for name in gone {
            self.namespace_gone(&name);
        }
    }

    pub fn namespace_seen(&mut self, seen: NamespaceSeen) {
        let NamespaceSeen { name, mut around } = seen;
        self.namespace(&name);
        let epoch = self.namespaces_epoch;
        self.change(&name, |namespace| {
            let before = &namespace.around;
            // Whoever wrote the label has a newer time with each other field that they write.
            if namespace.known && before.uid == around.uid && before.own == around.own {
                around.opted_in = before.opted_in.into_iter().chain(around.opted_in).min();
            }
            namespace.known = true;
            namespace.epoch = epoch;
            namespace.around = around;
        });
    }

    pub fn namespace_gone(&mut self, name: &str) {
        self.change(name, |namespace| {
            namespace.known = false;
            namespace.around = Around::default();
        });
        self.drop_empty_namespace(name);
    }

    /// What a look at a whole pod has shown; then what that makes of it, whose it is, and when it was created.
    pub fn looked_at(
        &mut self,
        namespace: &str,
        name: &str,
        uid: Uid,
        injects: bool,
    ) -> Option<(Coverage, Arc<Name>, i64)> {
        let Self { namespaces, workloads, totals, in_force, .. } = self;
        let Namespace { around, pods, left_alone_until, .. } = namespaces.get_mut(namespace)?;
        let record = pods.get_mut(name).filter(|record| record.uid == uid)?;
        take(workloads, totals, &record.workload, record.tally(around, in_force.as_ref()));
        record.look = if injects { Look::Injects } else { Look::Skips };
        if injects && record.kept == Kept::Before {
            *left_alone_until = (*left_alone_until).max(Some(record.created));
        }
        let tally = record.tally(around, in_force.as_ref());
        totals.add(tally);
        workloads.entry(Arc::clone(&record.workload)).or_default().add(tally);
        let coverage = record.coverage(around, in_force.as_ref()?)?;
        Some((coverage, Arc::clone(&record.workload), record.created))
    }

    /// Whether what was judged by that would be judged so now.
    #[must_use]
    pub fn is_current(&self, asked: &ToLookAt) -> bool {
        let around = self.namespaces.get(&asked.namespace).map(|namespace| &namespace.around);
        self.in_force.as_ref() == Some(&asked.in_force) && around == Some(&asked.around)
    }

    /// The namespace's pods were listed: those that still are unseen are looked at by name.
    pub fn listed(&mut self, namespace: &str) {
        let records = self.namespaces.get_mut(namespace).into_iter().flat_map(|namespace| namespace.pods.values_mut());
        for record in records.filter(|record| record.look == Look::Not) {
            record.look = Look::NotListed;
        }
    }

    /// What has to be looked at, of `most` namespaces or pods at most.
    #[must_use]
    pub fn to_look_at(&self, most: usize) -> Vec<ToLookAt> {
        let Some(in_force) = self.in_force.as_ref().filter(|_| self.totals.get(Count::Unseen) > 0) else {
            return Vec::new();
        };
        let mut found = Vec::new();
        for Namespace { name, around, pods, .. } in self.namespaces.values() {
            let of = |only| ToLookAt {
                namespace: Arc::clone(name),
                around: around.clone(),
                in_force: in_force.clone(),
                only,
            };
            let unmarked = || pods.iter().filter(|(_, record)| record.mark.is_none());
            let mut unseen: Vec<_> =
                unmarked().filter(|(_, record)| record.coverage(around, in_force).is_none()).collect();
            let unlisted = unseen.iter().filter(|(_, record)| record.look == Look::Not).count();
            if unlisted > ONE_BY_ONE && unlisted * WORTH_A_LIST >= unmarked().count() {
                found.push(of(None));
            } else {
                unseen.sort_unstable_by_key(|(pod, record)| (record.created, *pod));
                found.extend(unseen.into_iter().take(most).map(|(pod, record)| of(Some((pod.clone(), record.uid)))));
            }
            if found.len() >= most {
                break;
            }
        }
        found.truncate(most);
        found
    }

    #[must_use]
    pub fn in_force(&self) -> Option<&InForce> {
        self.in_force.as_ref()
    }

    #[must_use]
    pub fn totals(&self) -> Tally {
        self.totals
    }

    /// In the order of their names.
    pub fn workloads(&self) -> impl Iterator<Item = (&Arc<Name>, &Tally)> {
        self.workloads.iter()
    }

    /// What one workload's pods come to.
    #[must_use]
    pub fn tally(&self, workload: &Name) -> Tally {
        self.workloads.get(workload).copied().unwrap_or_default()
    }

    /// Namespaces that are there, in no order.
    pub fn namespaces(&self) -> impl Iterator<Item = (&Arc<str>, &Around)> {
        self.namespaces.values().filter(|namespace| namespace.known).map(|one| (&one.name, &one.around))
    }

    /// What a pod would be decided with. Those that were left alone until something changed are older than that: it counts
    /// as their namespace's opt-in.
    #[must_use]
    pub fn around(&self, namespace: &str) -> Around {
        let Some(Namespace { around, left_alone_until, .. }) = self.namespaces.get(namespace) else {
            return Around::default();
        };
        let opted_in = around.opted_in.max(*left_alone_until);
        Around { opted_in, left_alone: *left_alone_until, ..around.clone() }
    }

    /// Takes what another controller has told of namespaces whose pods were left alone.
    pub fn remember_left_alone(&mut self, until: impl IntoIterator<Item = (String, i64)>) {
        for (name, until) in until {
            self.namespace(&name);
            if let Some(namespace) = self.namespaces.get_mut(&*name) {
                namespace.left_alone_until = Some(until);
            }
        }
    }

    /// Namespaces in which something kept pods from being injected, that lack their mark to this day; and when the newest
    /// of them was created.
    pub fn left_alone(&mut self) -> Vec<(Arc<str>, i64)> {
        let waits =
            |record: &&Record| record.mark.is_none() && record.kept == Kept::Before && record.look != Look::Skips;
        let mut found = Vec::new();
        for Namespace { name, pods, left_alone_until, .. } in self.namespaces.values_mut() {
            if left_alone_until.is_some() {
                *left_alone_until = pods.values().filter(waits).map(|record| record.created).max();
                found.extend(left_alone_until.map(|until| (Arc::clone(name), until)));
            }
        }
        found
    }

    fn namespace(&mut self, name: &str) -> Arc<str> {
        if let Some(namespace) = self.namespaces.get(name) {
            return Arc::clone(&namespace.name);
        }
        let name: Arc<str> = name.into();
        let namespace = Namespace {
            name: Arc::clone(&name),
            around: Around::default(),
            known: false,
            epoch: 0,
            left_alone_until: None,
            pods: HashMap::new(),
        };
        self.namespaces.insert(Arc::clone(&name), namespace);
        name
    }

    fn workload(&mut self, name: Name) -> Arc<Name> {
        match self.workloads.get_key_value(&name) {
            Some((known, _)) => Arc::clone(known),
            None => Arc::new(name),
        }
    }

    /// Changes what all pods of a namespace depend on.
    fn change(&mut self, name: &str, change: impl FnOnce(&mut Namespace)) {
        let Self { namespaces, workloads, totals, in_force, .. } = self;
        let Some(namespace) = namespaces.get_mut(name) else { return };
        let before = namespace.around.clone();
        change(namespace);
        let Namespace { around, pods, .. } = namespace;
        if before == *around {
            return;
        }
        for record in pods.values_mut() {
            take(workloads, totals, &record.workload, record.tally(&before, in_force.as_ref()));
            if before.uid == around.uid {
                record.follow_namespace(&before, around);
            }
            // Other defaults may make another decision.
            if before.annotations != around.annotations {
                record.look = Look::Not;
            }
            let now = record.tally(around, in_force.as_ref());
            totals.add(now);
            workloads.entry(Arc::clone(&record.workload)).or_default().add(now);
        }
    }

    fn count_again(&mut self) {
        let Self { namespaces, workloads, totals, in_force, .. } = self;
        *totals = Tally::default();
        for tally in workloads.values_mut() {
            *tally = Tally::default();
        }
        for Namespace { around, pods, .. } in namespaces.values() {
            for record in pods.values() {
                let tally = record.tally(around, in_force.as_ref());
                totals.add(tally);
                workloads.entry(Arc::clone(&record.workload)).or_default().add(tally);
            }
        }
    }

    fn drop_empty(&mut self) {
        self.namespaces.retain(|_, namespace| !namespace.is_empty());
    }

    fn drop_empty_namespace(&mut self, name: &str) {
        if self.namespaces.get(name).is_some_and(Namespace::is_empty) {
            self.namespaces.remove(name);
        }
    }
}

/// One pod less, and the workload with its last one.
fn take(workloads: &mut BTreeMap<Arc<Name>, Tally>, totals: &mut Tally, workload: &Arc<Name>, tally: Tally) {
    totals.take(tally);
    if let Some(known) = workloads.get_mut(workload) {
        known.take(tally);
        if known.get(Count::Pods) == 0 {
            workloads.remove(workload);
        }
    }
}

#[cfg(test)]
pub(super) mod tests;

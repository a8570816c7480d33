//! Whose missed pods were told of, so that each outage is told once to each owner.

use std::collections::HashSet;
use std::sync::Arc;

use super::index::Index;
use super::record::{Count, Name};

/// Workloads, and the time until which everything was told.
#[derive(Debug, Default)]
pub struct Announced {
    /// Created until then: those that were missed have been told of, be it by another controller.
    until: i64,
    newest: i64,
    workloads: HashSet<Arc<Name>>,
}

// === impl Announced ===

impl Announced {
    #[must_use]
    pub fn until(until: i64) -> Self {
        Self { until, newest: until, workloads: HashSet::new() }
    }

    /// Whether a workload's missed pod, created at that time, is news.
    pub fn is_news(&mut self, workload: &Arc<Name>, created: i64) -> bool {
        let is_news = created > self.until && self.workloads.insert(Arc::clone(workload));
        if is_news {
            self.newest = self.newest.max(created);
        }
        is_news
    }

    /// Another configuration is in force: what is missed now is missed for another reason.
    pub fn begin_anew(&mut self) {
        self.workloads.clear();
    }

    /// Forgets workloads that lack nothing any more: what they miss later is another outage. What nobody has looked at
    /// yet may well be missed.
    pub fn forget_mended(&mut self, index: &Index) {
        self.workloads.retain(|workload| {
            let lacks = |count| index.tally(workload).get(count) > 0;
            lacks(Count::Missed) || lacks(Count::Unseen)
        });
    }

    /// Everything has been looked at. Tells until when all is told, in seconds, if anything ever was.
    pub fn settle(&mut self, is_complete: bool) -> Option<i64> {
        if is_complete {
            self.until = self.newest;
        }
        (self.until > 0).then_some(self.until)
    }
}

#[cfg(test)]
mod tests {
    use super::super::index::tests::{index, look, namespace, pod};
    use super::*;

    #[test]
    fn each_outage_is_told_once_to_each_owner() {
        let (mut index, mut announced) = (index(), Announced::until(0));
        let hash = index.in_force().expect("it is").configuration.hash().to_owned();
        index.namespace_seen(namespace("shop", Some("enabled")));
        index.pod(pod("a", None, |_| {}));
        look(&mut index, "a", true);
        let workload = Arc::clone(index.workloads().next().expect("there is one").0);
        assert!(announced.is_news(&workload, 100));
        assert!(!announced.is_news(&workload, 101), "of the same outage");
        // One that nobody has looked at yet takes its place.
        index.pod(pod("b", None, |_| {}));
        index.pod_gone(&pod("a", None, |_| {}));
        announced.forget_mended(&index);
        assert!(!announced.is_news(&workload, 102), "the outage goes on");
        look(&mut index, "b", true);
        announced.forget_mended(&index);
        assert!(!announced.is_news(&workload, 103));
        // The webhook is back.
        index.pod(pod("c", Some(&hash), |_| {}));
        index.pod_gone(&pod("b", None, |_| {}));
        announced.forget_mended(&index);
        assert_eq!(announced.settle(true), Some(100));
        assert!(announced.is_news(&workload, 200), "a second outage");
    }

    #[test]
    fn what_another_controller_told_is_no_news() {
        let mut announced = Announced::until(100);
        let name =
            |name: &str| Arc::new(Name { namespace: "shop".into(), kind: "Deployment".into(), name: name.into() });
        assert!(!announced.is_news(&name("a"), 100));
        assert!(announced.is_news(&name("a"), 101));
        announced.begin_anew();
        assert!(announced.is_news(&name("a"), 102));
        assert_eq!((announced.settle(false), announced.settle(true)), (Some(100), Some(102)));
        assert_eq!(Announced::until(0).settle(true), None);
    }
}

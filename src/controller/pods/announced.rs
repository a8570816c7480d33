//! Whose missed pods were told of, so that each outage is told once to each owner.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::index::Index;
use super::record::{Count, Name};

/// Workloads, and the time until which everything was told.
#[derive(Debug, Default)]
pub struct Announced {
    /// Created until then: those that were missed have been told of, be it by another controller.
    until: i64,
    newest: i64,
    /// What `until` is to become, and since when that is so.
    settling: Option<(i64, Instant)>,
    workloads: HashSet<Arc<Name>>,
}

/// How late a pod may be seen that was created in the same second as one that was told of.
pub const LATE: Duration = Duration::from_secs(2);

// === impl Announced ===

impl Announced {
    #[must_use]
    pub fn until(until: i64) -> Self {
        Self { until, newest: until, ..Self::default() }
    }

    /// Whether a workload's missed pod, created at that time, is news.
    pub fn is_news(&mut self, workload: &Arc<Name>, created: i64) -> bool {
        self.newest = self.newest.max(created);
        created > self.until && self.workloads.insert(Arc::clone(workload))
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
    pub fn settle(&mut self, is_complete: bool, now: Instant) -> Option<i64> {
        if is_complete {
            if let Some((until, _)) = self.settling.take_if(|(_, since)| now.duration_since(*since) >= LATE) {
                self.until = until;
            }
            if self.settling.is_none() && self.newest > self.until {
                self.settling = Some((self.newest, now));
            }
        }
        (self.until > 0).then_some(self.until)
    }

    /// Whether that changes by itself.
    #[must_use]
    pub const fn is_settling(&self) -> bool {
        self.settling.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::super::index::tests::{index, look, namespace, pod};
    use super::*;

    fn settled(announced: &mut Announced) -> Option<i64> {
        let now = Instant::now();
        announced.settle(true, now);
        announced.settle(true, now + LATE)
    }

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
        assert_eq!(settled(&mut announced), Some(103), "the next controller tells none of it again");
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
        assert_eq!(announced.settle(false, Instant::now()), Some(100));
        assert_eq!(settled(&mut announced), Some(102));
        assert_eq!(settled(&mut Announced::until(0)), None);
    }

    #[test]
    fn what_is_seen_late_is_news_all_the_same() {
        let (mut announced, now) = (Announced::until(0), Instant::now());
        let name =
            |name: &str| Arc::new(Name { namespace: "shop".into(), kind: "Deployment".into(), name: name.into() });
        assert!(announced.is_news(&name("a"), 100));
        assert_eq!((announced.settle(true, now), announced.is_settling()), (None, true));
        assert!(announced.is_news(&name("b"), 100));
        assert!(announced.is_news(&name("c"), 101));
        assert_eq!(announced.settle(false, now + LATE), None, "something hasn't been looked at");
        assert_eq!((announced.settle(true, now + LATE), announced.is_settling()), (Some(100), true));
        assert_eq!((announced.settle(true, now + 2 * LATE), announced.is_settling()), (Some(101), false));
    }
}

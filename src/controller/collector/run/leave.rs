//! Of Collectors that are to go, whoever comes after them: what they still have, and why they stay where they do.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::going::{self, Late};
use super::super::pod::Pod;
use super::{LOOK_AGAIN, Look, Memory, Task};
use crate::api::condition::{ConditionType, Reason};
use crate::api::stack::{CollectorMode, CollectorStatus};
use crate::controller::objects::Outcome;
use crate::controller::status::Verdict;

/// How they go.
pub(super) struct Goes<'g> {
    generation: i64,
    namespace: &'g str,
    /// What should have gone by now, or how long there is still to wait.
    late: Result<Option<Late>, Duration>,
    /// Whether it is known what there is of them.
    is_known: bool,
    again: [Option<Duration>; 2],
}

// === impl Goes ===

impl Goes<'_> {
    /// Why something stays.
    pub fn told(&self, outcome: Option<&Outcome>) -> Option<(Reason, String)> {
        going::told(outcome, self.generation, self.late.ok().flatten(), self.namespace)
    }

    /// When to look again.
    pub fn again(&self) -> Option<Duration> {
        self.again.into_iter().chain([self.late.err()]).flatten().min()
    }
}

impl<'t> Task<'t> {
    pub(super) async fn disable(
        &self,
        look: &Look<'_>,
        outcome: Option<&Outcome>,
        memory: &mut Memory,
    ) -> Option<Duration> {
        self.busy.ask(BTreeSet::new(), &look.spec.configuration);
        self.tell_joining(BTreeSet::new());
        let goes = self.see_off(look, look.pods.as_deref(), memory).await;
        self.switch_off(look, outcome, &goes);
        goes.again()
    }

    /// Has all of them go, and tells what those have that still run. `pods` has all of theirs, once they were listed.
    pub(super) async fn see_off(&self, look: &Look<'_>, pods: Option<&[Arc<Pod>]>, memory: &mut Memory) -> Goes<'t> {
        let relabelled = self.relabel_what_goes().await;
        self.want_none(look);
        let state = &self.context.state;
        let sets = self.seen.sets.lock().clone();
        // Nobody need be allowed to look for what was never there.
        let is_known = (sets.is_some() || state.collector_sets.forbidden().is_some())
            && (pods.is_some() || state.collector_pods.forbidden().is_some());
        let is_listed = sets.is_some() && pods.is_some();
        let sets = sets.unwrap_or_default();
        let waited_for = memory.given_up.waited_for(pods.unwrap_or_default(), self.seen.nodes.lock().as_ref());
        self.seen.need_nodes(waited_for.iter().any(|pod| pod.rollout.is_some() && pod.leaving));
        let now = Instant::now();
        let mut open = None;
        if is_listed {
            let known = *self.carried.borrow();
            let (carried, again) = memory.leaving.carried(self.place.mode, known, &sets, &waited_for, now);
            if let Some(carried) = carried {
                self.tell_carried(carried);
            }
            open = again;
        }
        // Of pods without a `DaemonSet` of ours, those that are adopted may be.
        let stay: &[_] = if self.place.mode == CollectorMode::Adopt { &[] } else { &waited_for };
        Goes {
            generation: look.stack.generation,
            namespace: &self.place.namespace,
            late: memory.going.late(&sets, stay, now),
            is_known,
            again: [relabelled, open],
        }
    }

    /// It is by its label that an object is taken away, and nobody may have looked while somebody took that off. What has no
    /// owner either isn't known to be anybody's to delete.
    async fn relabel_what_goes(&self) -> Option<Duration> {
        let sets = self.seen.sets.lock().clone()?;
        let error = self.relabel(&sets, |set| set.owned).await.err()?;
        self.context.state.collector.failed(&error);
        Some(LOOK_AGAIN)
    }

    /// Nothing is said of what isn't to be there, unless it is. Until that is known, what was said before stands.
    fn switch_off(&self, look: &Look<'_>, outcome: Option<&Outcome>, goes: &Goes<'_>) {
        let Look { stack, fault, left, .. } = look;
        let stays = goes.told(outcome);
        self.context.state.measured.set_collector_nodes(None);
        self.context.status.report(|reports| {
            if let Some(fault) = fault {
                let verdict = Verdict::new(Reason::CollectorSpecInvalid, fault.clone(), stack.generation);
                reports.say(ConditionType::CollectorAvailable, verdict);
            } else if let Some(left) = left {
                let verdict = Verdict::new(Reason::CollectorLeftBehind, left.told(), stack.generation)
                    .naming(&[("NAMESPACE", &left.namespace)]);
                reports.say(ConditionType::CollectorAvailable, verdict);
            } else if let Some((reason, detail)) = stays {
                reports.say(ConditionType::CollectorAvailable, Verdict::new(reason, detail, stack.generation));
            } else if goes.is_known && goes.late.is_ok() {
                reports.switch_off(ConditionType::CollectorAvailable);
            }
            reports.collector = Some(CollectorStatus { ready: "off".to_owned(), ..CollectorStatus::default() });
        });
    }
}

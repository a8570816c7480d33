//! Whether somebody else has the name of a `DaemonSet` that the next step is going to take: looked for before there is
//! anything to write. A trial makes its node free first, and what has passed it comes under a name of its own.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::observe::{Place, Set};
use super::pod::Rollout;
use super::revision::Revision;
use super::trial::Mark;
use crate::controller::Context;
use crate::controller::objects::{self, Outcome};
use crate::controller::stack::Stack;
use crate::watch::Objects;

/// What was found under each name, and when.
#[derive(Debug, Default)]
pub struct Taken(BTreeMap<Rollout, (Instant, bool)>);

/// Nobody tells when what isn't ours comes or goes.
const LOOK_EVERY: Duration = Duration::from_secs(5);

// === impl Taken ===

impl Taken {
    /// What is somebody else's, of the names that are due.
    pub async fn look(&mut self, context: &Context, place: &Place, stack: &Stack, due: &[Rollout]) -> Option<Outcome> {
        self.0.retain(|rollout, (at, _)| due.contains(rollout) && at.elapsed() < LOOK_EVERY);
        for rollout in due {
            if !self.0.contains_key(rollout) {
                let taken = is_taken(context, place, stack, *rollout).await;
                self.0.insert(*rollout, (Instant::now(), taken));
            }
        }
        let taken = due.iter().find(|rollout| self.0.get(rollout).is_some_and(|(_, taken)| *taken))?;
        Some(Outcome::Foreign { generation: stack.generation, object: format!("DaemonSet {}", taken.daemon_set()) })
    }
}

/// What can't be told now shows when it is written.
async fn is_taken(context: &Context, place: &Place, stack: &Stack, rollout: Rollout) -> bool {
    let part = super::objects::PART;
    let Some(kind) = part.kinds.iter().find(|kind| kind.kind == "DaemonSet") else { return false };
    let taken = objects::is_taken(context, part, kind, &place.namespace, rollout.daemon_set(), &stack.owner()).await;
    taken.map_err(|error| context.state.collector.failed(&error)).unwrap_or_default()
}

/// Names that aren't ours yet, where there is something to try: that of the trial, and that which comes after it. Of what has
/// passed, whoever writes it looks.
#[must_use]
pub fn due(sets: &Objects<Option<Set>>, candidate: Option<&Revision>, mark: Option<&Mark>) -> Vec<Rollout> {
    let set = |rollout: Rollout| sets.get(rollout.daemon_set())?.as_ref();
    let Some(candidate) = candidate else { return Vec::new() };
    let runs = set(Rollout::Stable).is_some_and(|set| set.deployed.revision == candidate.hash);
    if runs || mark.is_some_and(|mark| *mark != Mark::Untried) {
        return Vec::new();
    }
    Rollout::ALL.into_iter().filter(|rollout| set(*rollout).is_none()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::trial::{Cause, Deployed, Fault};
    use super::*;
    use jiff::Timestamp;
    use serde_json::Value;

    fn revision(text: &str) -> Revision {
        Revision::new(text.to_owned(), &Value::Null)
    }

    fn sets(runs: &[(Rollout, &str)]) -> Objects<Option<Set>> {
        let set = |text| Set {
            deployed: Deployed { revision: revision(text).hash, node: None, settled: true },
            uid: String::new(),
            created: Timestamp::UNIX_EPOCH,
            lacks_pods: false,
            stripped: false,
            owned: true,
        };
        runs.iter().map(|(rollout, text)| (rollout.daemon_set().to_owned(), Some(set(text)))).collect()
    }

    #[test]
    fn names_are_looked_at_before_they_are_taken_and_not_for_ever() {
        use Rollout::{Stable, Trial};
        let fault = Fault { node: String::new(), cause: Cause::Refused, words: String::new(), key: None };
        let failed = Mark::Failed(fault);
        for (there, mark, expected) in [
            (&[][..], None, &[Stable, Trial][..]),
            (&[(Trial, "b")], Some(&Mark::Untried), &[Stable]),
            (&[], Some(&Mark::Passed), &[]),
            (&[(Stable, "a")], None, &[Trial]),
            (&[(Stable, "a")], Some(&Mark::Untried), &[Trial]),
            (&[(Stable, "a"), (Trial, "b")], Some(&Mark::Untried), &[]),
            (&[(Stable, "a")], Some(&failed), &[]),
            (&[(Stable, "a")], Some(&Mark::Passed), &[]),
            (&[(Stable, "b")], Some(&Mark::Passed), &[]),
            // Its record was deleted: it runs all the same.
            (&[(Stable, "b")], None, &[]),
        ] {
            assert_eq!(due(&sets(there), Some(&revision("b")), mark), expected, "{there:?} {mark:?}");
        }
        assert_eq!(due(&sets(&[]), None, None), [], "there is nothing to run");
    }
}

//! Which nodes have just joined: what they lack is told, and is no fault before they have had their time. Where nodes
//! come and go with the load, something is always on its way up.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::node::Node;

/// What is known of nodes that have joined lately.
///
/// Ages are measured from when the controller first saw a node. Which nodes it hasn't seen before it tells by their
/// `creationTimestamp`s alone, all of which are by the API server's clock; only for those that were there before it
/// began to look, its own clock has to do.
#[derive(Debug, Default)]
pub struct Joining {
    /// Nodes that were created until then have had their time, in seconds; nothing before the first look.
    settled: Option<i64>,
    /// When the others were created, and since when they are counted.
    since: BTreeMap<String, (i64, Instant)>,
}

/// So long a node has to get what runs on every node.
pub const TIME: Duration = Duration::from_mins(5);

// === impl Joining ===

impl Joining {
    /// Those that have joined lately, and after `made`: what was there when the DaemonSet came is part of an
    /// installation, which isn't done before it runs everywhere.
    pub fn among(
        &mut self,
        nodes: &BTreeMap<String, Node>,
        made: Timestamp,
        clock: Timestamp,
        now: Instant,
    ) -> BTreeSet<String> {
        let first_look = self.settled.is_none();
        let time = i64::try_from(TIME.as_secs()).unwrap_or(i64::MAX);
        let settled = *self.settled.get_or_insert(clock.as_second().saturating_sub(time));
        self.since.retain(|name, (created, _)| nodes.get(name).is_some_and(|node| node.created == *created));
        for (name, node) in nodes.iter().filter(|(_, node)| node.created > settled) {
            let age = if first_look { clock.as_second().saturating_sub(node.created) } else { 0 };
            let age = Duration::from_secs(u64::try_from(age).unwrap_or_default());
            self.since.entry(name.clone()).or_insert_with(|| (node.created, now.checked_sub(age).unwrap_or(now)));
        }
        let is_over = |since: Instant| now.saturating_duration_since(since) >= TIME;
        let over = self.since.values().filter(|(_, since)| is_over(*since)).map(|(created, _)| *created).max();
        self.settled = Some(over.map_or(settled, |over| over.max(settled)));
        self.since.retain(|_, (_, since)| !is_over(*since));
        let made = made.as_second();
        self.since.iter().filter(|(_, (created, _))| *created > made).map(|(name, _)| name.clone()).collect()
    }

    /// How long until one of them has had its time.
    pub fn again(&self, now: Instant) -> Option<Duration> {
        self.since.values().map(|(_, since)| TIME.saturating_sub(now.saturating_duration_since(*since))).min()
    }
}

/// When the last of them was created.
pub fn newest(nodes: &BTreeMap<String, Node>) -> Timestamp {
    let newest = nodes.values().map(|node| node.created).max().unwrap_or_default();
    Timestamp::from_second(newest).unwrap_or(Timestamp::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(created: &[(&str, i64)]) -> BTreeMap<String, Node> {
        created.iter().map(|(name, created)| ((*name).to_owned(), Node::created(*created))).collect()
    }

    fn second(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    /// Who is joining when the controller's clock is at each of these, the first look being at the first.
    fn looks(clock_is_off_by: i64, looks: &[(i64, &[(&str, i64)])]) -> Vec<String> {
        let (mut joining, start) = (Joining::default(), Instant::now());
        let begin = looks[0].0;
        let mut look = |at: i64, created: &[(&str, i64)]| {
            let now = start + Duration::from_secs(u64::try_from(at - begin).expect("later"));
            let names = joining.among(&nodes(created), second(1000), second(at + clock_is_off_by), now);
            names.into_iter().collect::<Vec<_>>().join(" ")
        };
        looks.iter().map(|(at, created)| look(*at, created)).collect()
    }

    #[test]
    fn a_node_has_its_time_from_when_it_is_first_seen() {
        let (old, new) = (("old", 2000), ("new", 90_000));
        for clock_is_off_by in [0, -3600, 3600] {
            let seen = looks(
                clock_is_off_by,
                &[
                    (80_000, &[old]),
                    (90_003, &[old, new]),
                    (90_302, &[old, new]),
                    (90_303, &[old, new]),
                    (90_400, &[old, new]),
                    // Another of the same name.
                    (91_000, &[old, ("new", 90_990)]),
                    (91_001, &[old]),
                ],
            );
            assert_eq!(seen, ["", "new", "new", "", "", "new", ""], "{clock_is_off_by}");
        }
    }

    #[test]
    fn those_that_were_there_before_have_the_rest_of_their_time() {
        let there: &[(&str, i64)] = &[("a", 2000), ("b", 79_000), ("c", 79_900)];
        assert_eq!(looks(0, &[(80_000, there), (80_199, there), (80_200, there)]), ["c", "c", ""]);
        // A clock that is late gives too much time, and no more than a new one has.
        assert_eq!(looks(-3600, &[(80_000, there), (80_299, there), (80_300, there)]), ["b c", "b c", ""]);
        // One that is early gives none.
        assert_eq!(looks(3600, &[(80_000, there)]), [""]);
    }

    #[test]
    fn an_installation_isnt_done_before_it_runs_everywhere() {
        let (mut joining, now) = (Joining::default(), Instant::now());
        let nodes = nodes(&[("before", 1000), ("after", 1001)]);
        let names: Vec<_> = joining.among(&nodes, second(1000), second(1002), now).into_iter().collect();
        assert_eq!(names, ["after"]);
        assert_eq!(joining.again(now), Some(Duration::from_secs(298)));
    }

    #[test]
    fn of_somebody_elses_collector_those_that_are_there_first_arent_new() {
        let (mut joining, now) = (Joining::default(), Instant::now());
        let first = nodes(&[("a", 1000), ("b", 1001)]);
        let made = newest(&first);
        assert!(joining.among(&first, made, second(1002), now).is_empty());
        let later = nodes(&[("a", 1000), ("b", 1001), ("c", 1003)]);
        assert_eq!(joining.among(&later, made, second(1004), now), ["c".to_owned()].into());
    }

    #[test]
    fn the_next_end_is_looked_at() {
        let (mut joining, now) = (Joining::default(), Instant::now());
        assert_eq!(joining.again(now), None);
        joining.among(&nodes(&[]), second(0), second(1000), now);
        joining.among(&nodes(&[("a", 1100)]), second(0), second(1100), now);
        assert_eq!(joining.again(now + Duration::from_mins(2)), Some(Duration::from_mins(3)));
    }
}

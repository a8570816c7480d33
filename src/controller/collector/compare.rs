//! Whose fault it is that a trial's Collector loses data: pure.
//!
//! Datadog may be away for everybody, or the key revoked, and no configuration would mend that. What the trial's
//! Collector loses counts against its configuration only where others, that run the last good one, don't lose as much
//! by the same component in the same time; where none of them tried, where the node's own Collector didn't before.
//!
//! Time goes by in windows. One in which nothing is lost is good. Once something is, the window stays open for as long
//! again, so that whatever befell everybody has befallen the others too, and is judged at its end; then the next begins,
//! in which one that others left behind shows.
//!
//! What can't be sent isn't lost for minutes: it waits, and is tried again and again. As long as nothing at all gets
//! through, that counts too, from when it was first seen. Unlike a loss it may mend itself, so that it is held against a
//! configuration at once only where others send meanwhile.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::refusal::{Amounts, Reading, Way, Ways};
use super::trial::SETTLE;

/// How a trial's Collector fares with the data that it is given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Fares {
    /// It lost none, as far as is known.
    #[default]
    Well,
    /// Nobody knows: why its metrics can't be read.
    Unread(String),
    /// It lost some, and whether others do isn't known before.
    Undecided { until: Timestamp },
    /// It loses some, and so do others, or its node's Collector did before: in words that stay the same.
    Alike(String),
    /// It loses, or doesn't get rid of, what others do: what, and how that is known.
    Worse { lost: String, beside: &'static str },
    /// It doesn't get rid of what it was given, nobody else tries, and it may yet go: in words that stay the same, in
    /// those of its end, and what is known of before.
    Stuck { fails: String, lost: String, beside: &'static str },
}

/// With what it was compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum With {
    Others,
    Before,
    Nobody,
}

/// One trial's Collector beside others.
#[derive(Debug)]
pub struct Comparison {
    window: Window,
    /// What its node's Collector did before.
    before: Option<Ways>,
    judged: Option<Fares>,
}

#[derive(Debug)]
struct Window {
    from: Timestamp,
    /// Since it started, at first.
    trial: Option<Reading>,
    others: Others,
    failing: Option<Failing>,
}

/// When something was first seen lost, or waiting in vain, and what was read then.
#[derive(Debug)]
struct Failing {
    since: Timestamp,
    trial: Reading,
    others: Others,
}

/// What went wrong in a window, by way.
struct Failures {
    lost: Ways,
    /// Nothing was sent of what waits.
    stuck: Ways,
}

/// What others did: since the window began, and since something is wrong.
struct Beside {
    whole: Vec<Ways>,
    failing: Vec<Ways>,
    before: Option<Ways>,
}

/// Readings of other Collectors, by the uid of the pod.
pub type Others = BTreeMap<Box<str>, Reading>;

/// Of others, or of before, that fail as a trial does, the share of what they tried may be that many times less.
const MUCH_LESS: f64 = 2.0;

// === impl With ===

impl With {
    const fn acquits(self) -> &'static str {
        match self {
            Self::Others => "Collectors of other nodes don't",
            Self::Before => "its node's Collector didn't before",
            Self::Nobody => "",
        }
    }

    const fn is_who(self) -> &'static str {
        match self {
            Self::Others | Self::Nobody => "on other nodes",
            Self::Before => "its node's did before",
        }
    }
}

// === impl Comparison ===

impl Comparison {
    /// Others as they were when it started, or a little before.
    #[must_use]
    pub fn new(now: Timestamp, others: Others, before: Option<Ways>) -> Self {
        Self { window: Window { from: now, trial: None, others, failing: None }, before, judged: None }
    }

    /// What all of them tell now.
    pub fn look(&mut self, now: Timestamp, trial: &Reading, others: &Others) {
        let settled = |since: Timestamp| now >= since.saturating_add(SETTLE).unwrap_or(since);
        let Window { from, trial: base, others: bases, failing } = &mut self.window;
        // What one did before it was looked at is the past.
        for (uid, one) in others {
            bases.entry(uid.clone()).or_insert_with(|| one.clone());
        }
        let failures = Failures::between(base.as_ref(), failing.as_ref().map(|failing| &failing.trial), trial);
        if failures.are_none() {
            *failing = None;
            // What waited has gone.
            self.judged.take_if(|judged| matches!(judged, Fares::Stuck { .. }));
            if !settled(*from) {
                return;
            }
            self.judged = None;
        } else {
            let first = || Failing { since: now, trial: trial.clone(), others: others.clone() };
            let failing = failing.get_or_insert_with(first);
            if !settled(failing.since) {
                return;
            }
            let since = |bases: &Others, one: (&Box<str>, &Reading)| Some(one.1.since(Some(bases.get(one.0)?)));
            // What waits there now may be what waits here.
            let tried = |(uid, one): (&Box<str>, &Reading)| Some(one.tried_since(failing.others.get(uid)?));
            let beside = Beside {
                whole: others.iter().filter_map(|one| since(bases, one)).collect(),
                failing: others.iter().filter_map(tried).collect(),
                before: self.before.clone(),
            };
            self.judged = Some(judge(&failures, &beside));
        }
        self.window = Window { from: now, trial: Some(trial.clone()), others: others.clone(), failing: None };
    }

    #[must_use]
    pub fn fares(&self) -> Fares {
        match (&self.judged, &self.window.failing) {
            (Some(judged), _) => judged.clone(),
            (None, Some(Failing { since, .. })) => {
                Fares::Undecided { until: since.saturating_add(SETTLE).unwrap_or(*since) }
            }
            (None, None) => Fares::Well,
        }
    }
}

// === impl Failures ===

impl Failures {
    /// Since the window began; and of what waits, since it was first seen.
    fn between(began: Option<&Reading>, failing: Option<&Reading>, now: &Reading) -> Self {
        let mut lost = now.since(began);
        lost.retain(|_, amounts| amounts.failed() > 0.0);
        let mut stuck = now.since(failing.or(began));
        stuck.retain(|way, amounts| amounts.is_stuck() && !lost.contains_key(way) && !way.leads_to_the_agent());
        Self { lost, stuck }
    }

    fn are_none(&self) -> bool {
        self.lost.is_empty() && self.stuck.is_empty()
    }
}

/// Of one window in which the trial's Collector lost something, or got rid of nothing. What others do better is told
/// first.
fn judge(failures: &Failures, beside: &Beside) -> Fares {
    let mut alike = None;
    let as_others = |way: &Way, with: With| format!("{}, as {}", way.fails(), with.is_who());
    for (way, amounts) in &failures.lost {
        let (as_much, with) = compared(way, amounts, &beside.whole, beside.before.as_ref());
        if !as_much {
            return Fares::Worse { lost: way.failed(amounts), beside: with.acquits() };
        }
        alike.get_or_insert_with(|| as_others(way, with));
    }
    let mut stuck = None;
    for (way, amounts) in &failures.stuck {
        let (as_much, with) = compared(way, amounts, &beside.failing, beside.before.as_ref());
        match (as_much, with) {
            (true, with) => drop(alike.get_or_insert_with(|| as_others(way, with))),
            (false, With::Others) => return Fares::Worse { lost: way.fails(), beside: with.acquits() },
            (false, With::Before | With::Nobody) => {
                let is_so = || Fares::Stuck { fails: way.fails(), lost: way.fails(), beside: with.acquits() };
                stuck.get_or_insert_with(is_so);
            }
        }
    }
    stuck.or(alike.map(Fares::Alike)).unwrap_or(Fares::Well)
}

/// Whether others fail as much, or it did before.
fn compared(way: &Way, amounts: &Amounts, others: &[Ways], before: Option<&Ways>) -> (bool, With) {
    let share = |ways: &Ways| ways.get(way).and_then(Amounts::share);
    let as_much = |share: &f64| *share > 0.0 && *share * MUCH_LESS >= amounts.share().unwrap_or_default();
    let tried: Vec<_> = others.iter().filter_map(share).collect();
    match before.and_then(share) {
        _ if !tried.is_empty() => {
            (tried.iter().filter(|share| as_much(share)).count() * 2 >= tried.len(), With::Others)
        }
        Some(before) => (as_much(&before), With::Before),
        None => (false, With::Nobody),
    }
}

#[cfg(test)]
mod tests {
    use super::super::refusal::tests::reading;
    use super::*;
    use jiff::SignedDuration;

    /// Sent, and not sent, by the exporter `datadog`, so far.
    type Logs = (u32, u32);

    fn logs((sent, failed): Logs) -> Reading {
        reading(&format!(
            "otelcol_exporter_sent_log_records{{exporter=\"datadog\"}} {sent}\n\
             otelcol_exporter_send_failed_log_records{{exporter=\"datadog\"}} {failed}\n"
        ))
    }

    fn restarted(readings: Logs, uptime: u32) -> Reading {
        let (sent, failed) = readings;
        reading(&format!(
            "otelcol_process_uptime_seconds {uptime}\n\
             otelcol_exporter_sent_log_records{{exporter=\"datadog\"}} {sent}\n\
             otelcol_exporter_send_failed_log_records{{exporter=\"datadog\"}} {failed}\n"
        ))
    }

    fn all<const N: usize>(others: [Reading; N]) -> Others {
        others.into_iter().enumerate().map(|(n, reading)| (n.to_string().into(), reading)).collect()
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_secs(second)
    }

    fn worse(beside: &'static str) -> Fares {
        Fares::Worse { lost: "exporter datadog failed to send 10 log_records".to_owned(), beside }
    }

    const OTHERS_DONT: &str = "Collectors of other nodes don't";

    /// Of what it lost since it started.
    fn judged(trial: &Reading, others: Vec<Ways>, before: Option<Ways>) -> Fares {
        judge(&Failures::between(None, None, trial), &Beside { whole: others, failing: Vec::new(), before })
    }

    fn alike(as_who: &str) -> Fares {
        Fares::Alike(format!("exporter datadog fails to send logs, as {as_who}"))
    }

    /// What the trial's Collector lost in one window, beside what others, and its node's before, did in as long.
    #[test]
    fn whose_fault_it_is() {
        type Case = (&'static str, Logs, &'static [Logs], Option<Logs>, Fares);
        let others_do = || alike("on other nodes");
        let others_dont = || worse(OTHERS_DONT);
        let cases: [Case; 18] = [
            ("nobody to compare with", (0, 10), &[], None, worse("")),
            ("nobody tried", (0, 10), &[(0, 0), (0, 0)], None, worse("")),
            ("all send", (0, 10), &[(50, 0), (3, 0)], None, others_dont()),
            ("all fail", (0, 10), &[(0, 50), (0, 3)], None, others_do()),
            ("who tries fails", (0, 10), &[(0, 7), (0, 0), (0, 0)], None, others_do()),
            ("who tries sends", (0, 10), &[(7, 0), (0, 0), (0, 0)], None, others_dont()),
            ("one of three fails", (0, 10), &[(7, 0), (0, 9), (8, 0)], None, others_dont()),
            ("two of three fail", (0, 10), &[(7, 0), (0, 9), (0, 8)], None, others_do()),
            ("half of them fail", (0, 10), &[(7, 0), (0, 9)], None, others_do()),
            ("all fail a little, as it does", (990, 10), &[(495, 5), (1980, 20)], None, others_do()),
            ("all fail a little, and it fails whole", (0, 10), &[(495, 5), (1980, 20)], None, others_dont()),
            ("it fails less", (90, 10), &[(0, 50), (0, 3)], None, others_do()),
            ("it began after they had sent some", (0, 10), &[(40, 60), (45, 55)], None, others_do()),
            ("what others do counts before what was", (0, 10), &[(50, 0)], Some((0, 50)), others_dont()),
            ("others do, and its node's didn't", (0, 10), &[(0, 50)], Some((50, 0)), others_do()),
            ("alone, and it did before", (0, 10), &[], Some((0, 50)), alike("its node's did before")),
            ("alone, and it didn't before", (0, 10), &[], Some((50, 0)), worse("its node's Collector didn't before")),
            ("others idle, and it did before", (0, 10), &[(0, 0)], Some((0, 9)), alike("its node's did before")),
        ];
        for (case, trial, others, before, expected) in cases {
            let others = others.iter().map(|one| logs(*one).since(None)).collect();
            let before = before.map(|before| logs(before).since(None));
            assert_eq!(judged(&logs(trial), others, before), expected, "{case}");
        }
    }

    #[test]
    fn another_component_or_kind_of_data_is_no_excuse() {
        for line in [
            "otelcol_exporter_send_failed_log_records{exporter=\"other\"} 50",
            "otelcol_exporter_send_failed_spans{exporter=\"datadog\"} 50",
            "otelcol_receiver_refused_log_records{receiver=\"datadog\"} 50",
        ] {
            assert_eq!(judged(&logs((0, 10)), vec![reading(line).since(None)], None), worse(""), "{line}");
        }
        // One that others share hides none that they don't.
        let mine = "otelcol_exporter_send_failed_log_records{exporter=\"mine\"} 4\n";
        let both = reading(&format!("{mine}otelcol_exporter_send_failed_log_records{{exporter=\"datadog\"}} 10\n"));
        let judged = judged(&both, vec![logs((0, 50)).since(None)], None);
        assert_eq!(judged, Fares::Worse { lost: "exporter mine failed to send 4 log_records".to_owned(), beside: "" });
    }

    #[test]
    fn a_queue_that_is_stuck_fails_as_one_that_is_full() {
        let full = "otelcol_exporter_enqueue_failed_log_records{exporter=\"datadog\"} 10";
        let stuck = reading("otelcol_exporter_queue_size{exporter=\"datadog\",data_type=\"logs\"} 99");
        assert_eq!(judged(&reading(full), vec![stuck.since(Some(&stuck))], None), alike("on other nodes"));
    }

    /// Second, what the trial's Collector counted so far, what another did, and how it fares then.
    type Step = (i64, Reading, Reading, Fares);

    fn follow(case: &str, first: Reading, steps: Vec<Step>) {
        let mut comparison = Comparison::new(at(0), all([first]), None);
        for (second, trial, other, expected) in steps {
            comparison.look(at(second), &trial, &all([other]));
            assert_eq!(comparison.fares(), expected, "{case}, after {second} s");
        }
    }

    #[test]
    fn time_goes_by_in_windows() {
        let undecided = |second: i64| Fares::Undecided { until: at(second + 30) };
        let others_do = || alike("on other nodes");
        follow(
            "all is well, however much others failed before",
            logs((5, 80)),
            vec![(5, logs((1, 0)), logs((9, 80)), Fares::Well), (35, logs((9, 0)), logs((19, 80)), Fares::Well)],
        );
        follow(
            "an outage of all that begins in the middle, and ends",
            logs((100, 0)),
            vec![
                (5, logs((10, 0)), logs((110, 0)), Fares::Well),
                (10, logs((12, 4)), logs((120, 0)), undecided(10)),
                (35, logs((12, 9)), logs((120, 20)), undecided(10)),
                (40, logs((12, 10)), logs((120, 30)), others_do()),
                (55, logs((12, 10)), logs((120, 30)), others_do()),
                (70, logs((22, 10)), logs((130, 30)), Fares::Well),
            ],
        );
        let after =
            Fares::Worse { lost: "exporter datadog failed to send 9 log_records".to_owned(), beside: OTHERS_DONT };
        follow(
            "others leave the outage behind, and it doesn't",
            logs((100, 0)),
            vec![
                (5, logs((0, 5)), logs((100, 20)), undecided(5)),
                (35, logs((0, 10)), logs((100, 40)), others_do()),
                (40, logs((0, 11)), logs((110, 41)), others_do()),
                (70, logs((0, 19)), logs((300, 41)), after),
            ],
        );
        follow(
            "failures of others long ago are no excuse",
            logs((100, 900)),
            vec![
                (5, logs((0, 5)), logs((110, 900)), undecided(5)),
                (35, logs((0, 10)), logs((150, 900)), worse(OTHERS_DONT)),
            ],
        );
        follow(
            "what is lost seldom is judged too",
            logs((100, 0)),
            vec![
                (25, logs((0, 10)), logs((110, 0)), undecided(25)),
                (54, logs((0, 10)), logs((110, 0)), undecided(25)),
                (55, logs((0, 10)), logs((110, 0)), worse(OTHERS_DONT)),
            ],
        );
        follow(
            "the other starts anew: what it says is of its new life",
            restarted((100, 500), 900),
            vec![
                (5, logs((0, 5)), restarted((1, 0), 2), undecided(5)),
                (35, logs((0, 10)), restarted((30, 0), 32), worse(OTHERS_DONT)),
            ],
        );
        follow(
            "and fails in it",
            restarted((100, 0), 900),
            vec![
                (5, logs((0, 5)), restarted((0, 1), 2), undecided(5)),
                (35, logs((0, 10)), restarted((0, 30), 32), others_do()),
            ],
        );
        follow(
            "the trial's starts anew, and has lost nothing since",
            logs((100, 0)),
            vec![
                (10, restarted((0, 10), 10), logs((110, 0)), undecided(10)),
                (20, restarted((3, 0), 2), logs((120, 0)), Fares::Well),
            ],
        );
    }

    /// Sent by the exporter `datadog`, and in its queue.
    fn queue(sent: u32, waiting: u32) -> Reading {
        reading(&format!(
            "otelcol_exporter_sent_log_records{{exporter=\"datadog\"}} {sent}\n\
             otelcol_exporter_queue_size{{exporter=\"datadog\",data_type=\"logs\"}} {waiting}\n"
        ))
    }

    fn stuck(beside: &'static str) -> Fares {
        let fails = "exporter datadog fails to send logs".to_owned();
        Fares::Stuck { lost: fails.clone(), fails, beside }
    }

    #[test]
    fn what_waits_in_vain_is_judged_as_what_is_lost() {
        let undecided = |second: i64| Fares::Undecided { until: at(second + 30) };
        let others_do = || alike("on other nodes");
        let fails = Fares::Worse { lost: "exporter datadog fails to send logs".to_owned(), beside: OTHERS_DONT };
        follow(
            "nobody answers where it sends to, and others get rid of theirs",
            queue(100, 0),
            vec![
                (5, queue(0, 1), queue(110, 0), undecided(5)),
                (30, queue(0, 5), queue(150, 2), undecided(5)),
                (35, queue(0, 6), queue(160, 0), fails),
            ],
        );
        follow(
            "nobody gets rid of any",
            queue(100, 0),
            vec![
                (5, queue(0, 1), queue(100, 3), undecided(5)),
                (35, queue(0, 6), queue(100, 9), others_do()),
                (65, queue(0, 9), queue(100, 15), others_do()),
                (70, queue(3, 7), queue(103, 14), others_do()),
                (95, queue(9, 0), queue(115, 0), Fares::Well),
            ],
        );
        follow(
            "nor of what came only now",
            queue(100, 0),
            vec![(5, queue(0, 1), queue(100, 0), undecided(5)), (35, queue(0, 6), queue(100, 1), others_do())],
        );
        follow(
            "it takes a while",
            queue(100, 0),
            vec![
                (5, queue(0, 1), queue(110, 0), undecided(5)),
                (30, queue(0, 4), queue(130, 0), undecided(5)),
                (35, queue(1, 4), queue(135, 0), Fares::Well),
                (40, queue(1, 5), queue(140, 0), Fares::Well),
                (45, queue(3, 5), queue(145, 0), Fares::Well),
            ],
        );
        follow(
            "others have none, and then it goes",
            queue(100, 0),
            vec![
                (5, queue(0, 1), queue(100, 0), undecided(5)),
                (35, queue(0, 6), queue(100, 0), stuck("")),
                (40, queue(0, 7), queue(100, 0), stuck("")),
                (45, queue(7, 0), queue(100, 0), Fares::Well),
            ],
        );
        follow("nothing is given to it", queue(100, 0), vec![(40, queue(0, 0), queue(150, 0), Fares::Well)]);
        let before = queue(50, 0).since(None);
        let mut alone = Comparison::new(at(0), Others::new(), Some(before));
        alone.look(at(5), &queue(0, 1), &Others::new());
        alone.look(at(35), &queue(0, 6), &Others::new());
        assert_eq!(alone.fares(), stuck("its node's Collector didn't before"));
    }

    #[test]
    fn the_agent_may_come_later() {
        let waits = reading("otelcol_exporter_queue_size{exporter=\"otlp_grpc/agent\",data_type=\"logs\"} 9");
        let mut comparison = Comparison::new(at(0), Others::new(), None);
        for second in [5, 35, 65] {
            comparison.look(at(second), &waits, &Others::new());
            assert_eq!(comparison.fares(), Fares::Well, "after {second} s");
        }
        let lost = "otelcol_exporter_send_failed_log_records{exporter=\"otlp_grpc/agent\"} 9";
        comparison.look(at(70), &reading(lost), &Others::new());
        assert_eq!(comparison.fares(), Fares::Undecided { until: at(100) });
    }

    /// Another controller leads in the middle of a trial.
    #[test]
    fn one_that_is_looked_at_later_counts_from_then() {
        let mut comparison = Comparison::new(at(0), Others::new(), None);
        comparison.look(at(0), &logs((0, 5)), &all([logs((0, 900))]));
        comparison.look(at(30), &logs((0, 10)), &all([logs((0, 900))]));
        assert_eq!(comparison.fares(), worse(""), "nobody knows when it lost them");
        let mut comparison = Comparison::new(at(0), Others::new(), None);
        comparison.look(at(0), &logs((0, 5)), &all([logs((0, 900))]));
        comparison.look(at(30), &logs((0, 10)), &all([logs((0, 901))]));
        assert_eq!(comparison.fares(), alike("on other nodes"));
    }
}

//! Whose fault it is that a trial's Collector loses data: pure.
//!
//! Datadog may be away for everybody, or the key revoked, and no configuration would mend that. What the trial's
//! Collector loses counts against its configuration only where others, that run the last good one, don't lose as much
//! by the same component in the same time; where none of them tried, where the node's own Collector didn't before.
//!
//! Time goes by in windows. One in which nothing is lost is good. Once something is, the window stays open for as long
//! again, so that whatever befell everybody has befallen the others too, and is judged at its end; then the next begins,
//! in which one that others left behind shows.

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
    /// It loses what others don't: what, and how that is known.
    Worse { lost: String, beside: &'static str },
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
    /// Since when something is lost.
    failing: Option<Timestamp>,
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
        let lost = trial.since(base.as_ref());
        if !lost.values().any(|amounts| amounts.failed() > 0.0) {
            *failing = None;
            if !settled(*from) {
                return;
            }
            self.judged = None;
        } else if settled(*failing.get_or_insert(now)) {
            let others: Vec<_> =
                others.iter().filter_map(|(uid, one)| Some(one.since(Some(bases.get(uid)?)))).collect();
            self.judged = Some(judge(&lost, &others, self.before.as_ref()));
        } else {
            return;
        }
        self.window = Window { from: now, trial: Some(trial.clone()), others: others.clone(), failing: None };
    }

    #[must_use]
    pub fn fares(&self) -> Fares {
        match (&self.judged, self.window.failing) {
            (Some(judged), _) => judged.clone(),
            (None, Some(since)) => Fares::Undecided { until: since.saturating_add(SETTLE).unwrap_or(since) },
            (None, None) => Fares::Well,
        }
    }
}

/// Of one window in which the trial's Collector lost something. What others don't lose is told first.
fn judge(trial: &Ways, others: &[Ways], before: Option<&Ways>) -> Fares {
    let mut alike = None;
    for (way, amounts) in trial.iter().filter(|(_, amounts)| amounts.failed() > 0.0) {
        let (as_much, with) = compared(way, amounts, others, before);
        if !as_much {
            return Fares::Worse { lost: way.failed(amounts), beside: with.acquits() };
        }
        alike.get_or_insert_with(|| format!("{}, as {}", way.fails(), with.is_who()));
    }
    alike.map_or(Fares::Well, Fares::Alike)
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
            let others: Vec<_> = others.iter().map(|one| logs(*one).since(None)).collect();
            let before = before.map(|before| logs(before).since(None));
            assert_eq!(judge(&logs(trial).since(None), &others, before.as_ref()), expected, "{case}");
        }
    }

    #[test]
    fn another_component_or_kind_of_data_is_no_excuse() {
        let trial = || logs((0, 10)).since(None);
        for line in [
            "otelcol_exporter_send_failed_log_records{exporter=\"other\"} 50",
            "otelcol_exporter_send_failed_spans{exporter=\"datadog\"} 50",
            "otelcol_receiver_refused_log_records{receiver=\"datadog\"} 50",
        ] {
            assert_eq!(judge(&trial(), &[reading(line).since(None)], None), worse(""), "{line}");
        }
        // One that others share hides none that they don't.
        let mine = "otelcol_exporter_send_failed_log_records{exporter=\"mine\"} 4\n";
        let both = reading(&format!("{mine}otelcol_exporter_send_failed_log_records{{exporter=\"datadog\"}} 10\n"));
        let judged = judge(&both.since(None), &[logs((0, 50)).since(None)], None);
        assert_eq!(judged, Fares::Worse { lost: "exporter mine failed to send 4 log_records".to_owned(), beside: "" });
    }

    #[test]
    fn a_queue_that_is_stuck_fails_as_one_that_is_full() {
        let full = "otelcol_exporter_enqueue_failed_log_records{exporter=\"datadog\"} 10";
        let stuck = reading("otelcol_exporter_queue_size{exporter=\"datadog\",data_type=\"logs\"} 99");
        let judged = judge(&reading(full).since(None), &[stuck.since(Some(&stuck))], None);
        assert_eq!(judged, alike("on other nodes"));
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

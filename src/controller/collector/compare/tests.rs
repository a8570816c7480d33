//! What a trial's Collector lost or couldn't send, beside what others did in the same time.

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
fn judged(trial: &Reading, others: Vec<Ways>, before: Option<Before>) -> Fares {
    judge(&Failures::between(None, None, trial), &Beside { whole: others, failing: Vec::new(), before })
}

fn alike(as_who: &str) -> Fares {
    Fares::Alike(format!("exporter datadog fails to send logs, as {as_who}"))
}

/// What the trial's Collector lost in one window, beside what others, and its node's before, did in as long.
#[test]
fn whose_fault_it_is() {
    type Case = (&'static str, Logs, &'static [Logs], Option<(Logs, &'static [Logs])>, Fares);
    let others_do = || alike("on other nodes");
    let others_dont = || worse(OTHERS_DONT);
    let its_own_did = || alike("its node's did before");
    let cases: [Case; 23] = [
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
        ("all did before, and others don't now", (0, 10), &[(50, 0)], Some(((0, 50), &[(0, 5)])), others_dont()),
        ("it did before, and others idled", (0, 10), &[(50, 0)], Some(((0, 50), &[(0, 0)])), others_dont()),
        ("it did before, and others didn't", (0, 10), &[(50, 0)], Some(((0, 50), &[(9, 0)])), its_own_did()),
        ("others began to send again then", (0, 10), &[(50, 0)], Some(((0, 50), &[(9, 1)])), others_dont()),
        ("it did a little before", (0, 10), &[(50, 0)], Some(((45, 5), &[(9, 0)])), others_dont()),
        ("nobody else did before, nor it", (0, 10), &[(50, 0)], Some(((50, 0), &[(9, 0)])), others_dont()),
        ("others do, and its node's didn't", (0, 10), &[(0, 50)], Some(((50, 0), &[])), others_do()),
        ("alone, and it did before", (0, 10), &[], Some(((0, 50), &[])), its_own_did()),
        (
            "alone, and it didn't before",
            (0, 10),
            &[],
            Some(((50, 0), &[])),
            worse("its node's Collector didn't before"),
        ),
        ("others idle, and it did before", (0, 10), &[(0, 0)], Some(((0, 9), &[])), its_own_did()),
    ];
    for (case, trial, others, before, expected) in cases {
        let others = others.iter().map(|one| logs(*one).since(None)).collect();
        let all = |all: &[Logs]| all.iter().map(|one| logs(*one).since(None)).collect();
        let before = before.map(|(own, others)| Before { own: logs(own).since(None), others: all(others) });
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
    let after = Fares::Worse { lost: "exporter datadog failed to send 9 log_records".to_owned(), beside: OTHERS_DONT };
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
            (70, queue(3, 7), queue(103, 14), Fares::Well),
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
            // Of this window nothing yet, for a moment.
            (40, queue(1, 5), queue(140, 0), undecided(40)),
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
    let before = Before { own: queue(50, 0).since(None), others: Vec::new() };
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

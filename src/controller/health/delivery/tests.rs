//! From what Collectors write to what the condition says.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use axum::http::{Request, Response};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::timeout;

use super::exposition::{Lines, Sample};
use super::run::run;
use super::totals::{Reader, Reading};
use super::track::tests::{pod, pods};
use super::track::{Fleet, Standing, Window};
use super::verdict::{State, Tally};
use crate::api::condition::Reason;
use crate::controller::Context;
use crate::controller::collector::Known;
use crate::controller::collector_pods::CollectorPods;
use crate::controller::stack::Stack;
use crate::controller::status::{Sink, Verdict};
use crate::k8s::{self, Client};
use crate::watch::Objects;

fn read(text: &str) -> Option<Reading> {
    let (mut reader, mut lines) = (Reader::default(), Lines::default());
    let mut each = |line: &str| {
        if let Some(sample) = Sample::read(line) {
            reader.take(&sample);
        }
    };
    lines.push(text.as_bytes(), &mut each).expect("short");
    lines.end(&mut each);
    reader.finish()
}

/// As a Collector writes it whose reader is configured, so that counters end in `_total` and have their scope.
fn text(second: u64, counters: &[(&str, &str, f64)]) -> String {
    let mut text = format!(
        "# HELP otelcol_process_uptime_seconds_total Uptime of the process [alpha]\n\
         # TYPE otelcol_process_uptime_seconds_total counter\n\
         otelcol_process_uptime_seconds_total{{otel_scope_name=\"go.opentelemetry.io/collector/service\"}} {second}.25\n"
    );
    for (name, labels, value) in counters {
        writeln!(text, "{name}{{{labels},otel_scope_name=\"x\",otel_scope_version=\"\"}} {value}").expect("to memory");
    }
    text
}

/// What a Collector is counted under that has these counters when a minute, two and three have passed.
fn state_after(counters: impl Fn(f64) -> Counters) -> (State, String) {
    let at = |minute: u32| text(60 * u64::from(minute) + 1, &counters(f64::from(minute)));
    state_by(&[0, 1, 2, 3].map(at))
}

/// What a Collector is counted under that answers so, a minute apart.
fn state_by(texts: &[String]) -> (State, String) {
    let mut fleet = Fleet::default();
    let mut now = Instant::now();
    fleet.follow(&Objects::from([("c".to_owned(), pod("a"))]), now);
    for text in texts {
        let target = fleet.next(1, Duration::ZERO, now).remove(0);
        fleet.note(&target, Ok(read(text).expect("a Collector")), now);
        now += Duration::from_mins(1);
    }
    let tally = Tally::of(fleet.standings(&BTreeSet::new()));
    let state = State::ALL.into_iter().find(|state| tally.count(*state) == 1).expect("there is one");
    let verdict = tally.verdict(None, 1).expect("it was measured");
    assert_eq!(verdict.reason, reason_of(state));
    (state, verdict.detail)
}

fn reason_of(state: State) -> Reason {
    match state {
        State::SendFailed => Reason::SendFailed,
        State::Refused => Reason::DataRefused,
        State::Filling => Reason::QueueFilling,
        State::NothingSent => Reason::NothingSent,
        State::Silent => Reason::NotScraped,
        State::Idle => Reason::NothingArrives,
        State::Delivering => Reason::Delivering,
        State::Fresh => panic!("it was measured"),
    }
}

const OTLP: &str = "receiver=\"otlp\",transport=\"http\"";
const DATADOG: &str = "exporter=\"datadog\",data_type=\"traces\"";

type Counters = Vec<(&'static str, &'static str, f64)>;
/// What it is about, the counters after so many minutes, and what is told.
type Case<'c> = (&'c str, &'c dyn Fn(f64) -> Counters, State, &'c str);

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn every_cause_is_told_from_the_metrics_alone() {
    let accepted = |n: f64| ("otelcol_receiver_accepted_spans_total", OTLP, 1000.0 * n);
    let sent = |n: f64| ("otelcol_exporter_sent_spans_total", DATADOG, 1000.0 * n);
    let cases: [Case<'_>; 17] = [
        (
            "all is well",
            &|n| vec![accepted(n), sent(n)],
            State::Delivering,
            "what arrives is sent; 1 Collector measured",
        ),
        ("nothing comes", &|_| vec![accepted(5.0), sent(5.0)], State::Idle, "nothing arrives; 1 Collector measured"),
        ("nothing ever came", &|_| vec![], State::Idle, "nothing arrives; 1 Collector measured"),
        (
            "exporters give up",
            &|n| vec![accepted(n), sent(n / 2.0), ("otelcol_exporter_send_failed_spans_total", DATADOG, 500.0 * n)],
            State::SendFailed,
            "1 of 1 Collector lost data that couldn't be sent: node-a (traces)",
        ),
        (
            "the queue takes no more",
            &|n| vec![accepted(n), sent(n), ("otelcol_exporter_enqueue_failed_log_records_total", DATADOG, n)],
            State::SendFailed,
            "1 of 1 Collector lost data that couldn't be sent: node-a (logs)",
        ),
        (
            "one span in ten thousand is lost",
            &|n| vec![accepted(10.0 * n), sent(10.0 * n), ("otelcol_exporter_send_failed_spans_total", DATADOG, n)],
            State::Delivering,
            "what arrives is sent; 1 Collector measured",
        ),
        (
            "data was lost long ago",
            &|n| vec![accepted(n), sent(n), ("otelcol_exporter_send_failed_spans_total", DATADOG, 1e6)],
            State::Delivering,
            "what arrives is sent; 1 Collector measured",
        ),
        (
            "the datadog exporter takes what its writer loses",
            &|n| {
                vec![
                    accepted(n),
                    sent(n),
                    ("otelcol_datadog_trace_agent_trace_writer_payloads_total", "source=\"datadogexporter\"", 1.0),
                    ("otelcol_datadog_trace_agent_trace_writer_errors_total", "source=\"datadogexporter\"", n),
                ]
            },
            State::SendFailed,
            "1 of 1 Collector lost data that couldn't be sent: node-a (traces, by the datadog exporter's own count)",
        ),
        (
            "its writer drops, under a name without the prefix",
            &|n| {
                vec![
                    accepted(n),
                    sent(n),
                    ("datadog_trace_agent_stats_writer_dropped", "source=\"datadogexporter\"", n),
                ]
            },
            State::SendFailed,
            "1 of 1 Collector lost data that couldn't be sent: node-a (traces, by the datadog exporter's own count)",
        ),
        (
            "its writer tries for ever",
            &|n| {
                vec![
                    accepted(n),
                    sent(n),
                    ("datadog_trace_agent_trace_writer_payloads_total", "source=\"datadogexporter\"", 4.0),
                    ("datadog_trace_agent_trace_writer_retries_total", "source=\"datadogexporter\"", n),
                ]
            },
            State::NothingSent,
            "1 of 1 Collector took in data and sent nothing of it: node-a (traces, which the datadog exporter tries in vain)",
        ),
        (
            "the memory limiter refuses",
            &|n| {
                vec![
                    accepted(n),
                    sent(n),
                    ("otelcol_receiver_refused_metric_points_total", OTLP, 100.0 * n),
                    ("otelcol_processor_refused_metric_points_total", "processor=\"memory_limiter\"", 100.0 * n),
                ]
            },
            State::Refused,
            "1 of 1 Collector refused data: node-a (metrics, by the memory limiter)",
        ),
        (
            "the memory limiter of a later version refuses",
            &|n| {
                vec![
                    accepted(n),
                    sent(n),
                    ("otelcol_processor_memory_limiter_refused_spans_total", "processor=\"memory_limiter\"", 100.0 * n),
                ]
            },
            State::Refused,
            "1 of 1 Collector refused data: node-a (traces, by the memory limiter)",
        ),
        (
            "a receiver refuses",
            &|n| vec![accepted(n), sent(n), ("otelcol_receiver_refused_spans", OTLP, 100.0 * n)],
            State::Refused,
            "1 of 1 Collector refused data: node-a (traces)",
        ),
        (
            "a queue is nearly full",
            &|n| {
                vec![
                    accepted(n),
                    sent(n),
                    ("otelcol_exporter_queue_size", DATADOG, 850.0),
                    ("otelcol_exporter_queue_capacity", DATADOG, 1000.0),
                    ("otelcol_exporter_queue_size", "exporter=\"datadog\",data_type=\"logs\"", 5.0),
                    ("otelcol_exporter_queue_capacity", "exporter=\"datadog\",data_type=\"logs\"", 1000.0),
                ]
            },
            State::Filling,
            "1 of 1 Collector can't send as fast as data comes in: node-a (the queue of datadog is nearly full)",
        ),
        (
            "a queue has room",
            &|n| {
                vec![
                    accepted(n),
                    sent(n),
                    ("otelcol_exporter_queue_size", DATADOG, 600.0),
                    ("otelcol_exporter_queue_capacity", DATADOG, 1000.0),
                ]
            },
            State::Delivering,
            "what arrives is sent; 1 Collector measured",
        ),
        (
            "nothing goes out",
            &|n| vec![accepted(n), ("otelcol_exporter_sent_spans__spans__total", DATADOG, 7.0)],
            State::NothingSent,
            "1 of 1 Collector took in data and sent nothing of it: node-a (traces)",
        ),
        (
            "lines of pods that aren't opted in are dropped",
            &|n| {
                vec![
                    ("otelcol_receiver_accepted_log_records_total", "receiver=\"filelog\",transport=\"\"", 50.0 * n),
                    (
                        "otelcol_processor_incoming_items_total",
                        "otel_signal=\"logs\",processor=\"filter/opted-in\"",
                        50.0 * n,
                    ),
                    (
                        "otelcol_processor_outgoing_items_total",
                        "otel_signal=\"logs\",processor=\"filter/opted-in\"",
                        0.0,
                    ),
                ]
            },
            State::Delivering,
            "what arrives is sent; 1 Collector measured",
        ),
    ];
    for (name, counters, state, detail) in cases {
        assert_eq!(state_after(counters), (state, detail.to_owned()), "{name}");
    }
}

/// What a Collector of 0.149 answered before and behind a hundred requests of each signal, or as many as its queue takes.
#[test]
fn what_was_recorded_of_a_real_one_is_told_as_it_was() {
    for (name, state, detail) in [
        ("well", State::Delivering, "what arrives is sent; 1 Collector measured"),
        (
            "failing",
            State::SendFailed,
            "1 of 1 Collector lost data that couldn't be sent: node-a (traces, metrics, logs)",
        ),
        (
            "refusing",
            State::Refused,
            "1 of 1 Collector refused data: node-a (traces, metrics, logs, by the memory limiter)",
        ),
        (
            "full",
            State::Filling,
            "1 of 1 Collector can't send as fast as data comes in: node-a (the queue of otlp_http is nearly full)",
        ),
    ] {
        let recorded = |when: &str| {
            let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/collector");
            fs::read_to_string(file.join(format!("metrics-{name}-{when}.txt"))).expect("a recording")
        };
        let told = state_by(&[recorded("before"), recorded("after")]);
        assert_eq!(told, (state, detail.to_owned()), "{name}");
    }
}

#[test]
fn a_collectors_names_are_known_whatever_its_version() {
    for name in [
        "otelcol_receiver_accepted_spans",
        "otelcol_receiver_accepted_spans_total",
        "otelcol_receiver_accepted_spans__spans__total",
    ] {
        let reading =
            read(&format!("{name}{{receiver=\"otlp\"}} 3\n{name}{{receiver=\"jaeger\"}} 4\n")).expect("a Collector");
        assert!((reading.counts.flows[0].accepted - 7.0).abs() < f64::EPSILON, "{name}");
    }
    for name in ["otelcol_process_uptime", "otelcol_process_uptime_seconds_total", "otelcol_process_uptime_total"] {
        assert_eq!(read(&format!("{name} 12.5\n")).expect("a Collector").uptime, Some(12.5), "{name}");
    }
    assert_eq!(read("go_goroutines 7\nprocess_uptime 3\n"), None, "somebody else");
    let nothing = read("otelcol_receiver_accepted_spans NaN\n").expect("a Collector");
    assert!(nothing.counts.flows[0].accepted.abs() < f64::EPSILON);
}

fn tally(standings: &[(&str, Standing)]) -> Tally {
    Tally::of(standings.iter().map(|(name, standing)| (*name, standing.clone())))
}

#[test]
fn the_worst_is_the_reason_and_the_rest_is_told_too() {
    let measured = || Standing::Measured { window: Some(Window::default()), queue: None };
    let once = || Standing::Measured { window: None, queue: None };
    let silent = |why: &str| Standing::Silent(why.to_owned());
    let full = || Standing::Measured {
        window: None,
        queue: Some(super::totals::Queue { exporter: "datadog".to_owned(), size: 9.0, capacity: 10.0 }),
    };
    let told =
        |standings: &[(&str, Standing)]| tally(standings).verdict(None, 4).map(|told| (told.reason, told.detail));
    assert_eq!(told(&[]), Some((Reason::NoCollector, String::new())));
    assert_eq!(told(&[("a", Standing::Fresh), ("b", Standing::Fresh)]), None, "nothing has been measured");
    assert_eq!(told(&[("a", once()), ("b", once())]), None, "one reading measures nothing");
    assert_eq!(
        told(&[("a", once()), ("b", measured())]),
        Some((Reason::NothingArrives, "nothing arrives; 1 of 2 Collectors measured".to_owned()))
    );
    assert_eq!(
        told(&[("a", Standing::Fresh), ("b", measured())]),
        Some((Reason::NothingArrives, "nothing arrives; 1 of 2 Collectors measured".to_owned()))
    );
    assert_eq!(
        told(&[("a", silent("no answer on port 8888")), ("b", measured())]),
        Some((
            Reason::NotScraped,
            "1 of 2 Collectors didn't tell their metrics: a (no answer on port 8888)".to_owned()
        )),
        "one that can't be scraped isn't healthy"
    );
    let many = ["a", "b", "c", "d", "e"].map(|name| (name, silent("x")));
    assert_eq!(
        told(&[&many[..], &[("f", full())]].concat()),
        Some((
            Reason::QueueFilling,
            "1 of 6 Collectors can't send as fast as data comes in: f (the queue of datadog is nearly full); \
             5 of 6 Collectors didn't tell their metrics: a (x), b (x), c (x) and 2 others"
                .to_owned()
        ))
    );
    assert_eq!(tally(&[("a", silent("x")), ("b", measured())]).summary(), "1/2");
}

#[test]
fn that_nothing_arrives_is_told_with_those_that_should_send() {
    let idle = tally(&[("a", Standing::Measured { window: Some(Window::default()), queue: None })]);
    for (opted_in, detail) in [
        (None, "nothing arrives; 1 Collector measured"),
        (Some(0), "nothing arrives; 1 Collector measured"),
        (Some(1), "nothing arrives from 1 pod that is opted in; 1 Collector measured"),
        (Some(7), "nothing arrives from 7 pods that are opted in; 1 Collector measured"),
    ] {
        let verdict = idle.verdict(opted_in, 1).expect("it is measured");
        assert_eq!((verdict.reason, verdict.detail.as_str()), (Reason::NothingArrives, detail));
    }
}

#[test]
fn five_thousand_are_judged_by_those_that_were_looked_at() {
    let (mut fleet, start) = (Fleet::default(), Instant::now());
    fleet.follow(&pods(5000), start);
    let now = start + Duration::from_secs(15);
    let targets = fleet.next(250, Duration::ZERO, start);
    for target in &targets {
        fleet.note(target, Ok(Reading::default()), start);
    }
    let tally = Tally::of(fleet.standings(&BTreeSet::new()));
    assert_eq!((tally.count(State::Fresh), tally.verdict(None, 1)), (5000, None), "one reading measures nothing");
    for target in &targets {
        fleet.note(target, Ok(Reading::default()), now);
    }
    let tally = Tally::of(fleet.standings(&BTreeSet::new()));
    assert_eq!((tally.count(State::Fresh), tally.summary().as_str()), (4750, "250/5000"));
    let verdict = tally.verdict(None, 1).expect("some are measured");
    assert_eq!(verdict.detail, "nothing arrives; 250 of 5000 Collectors measured");
}

/// Whoever may list pods there may have lost that right, or never had it.
#[tokio::test(start_paused = true)]
async fn pods_that_cant_be_listed_are_told() {
    let forbidden =
        r#"pods is forbidden: User "u" cannot list resource "pods" in API group "" in the namespace "datadog""#;
    let expected =
        Verdict::new(Reason::CollectorsNotReadable, "not allowed to list pods in namespace datadog".to_owned(), 7);
    for had_it in [false, true] {
        let silent = tower::service_fn(|_: Request<k8s::Body>| async {
            std::future::pending::<Result<Response<k8s::Body>, tower::BoxError>>().await
        });
        let (sink, mut reports) = Sink::new();
        let known = Known::of(Stack::new("u".to_owned(), 7, &json!({})));
        let place = known.borrow().as_ref().and_then(|known| known.pods()).expect("a place");
        let listed = CollectorPods::listed(place, pods(1));
        let (_listing, seen) = watch::channel(if had_it { listed } else { CollectorPods::default() });
        let context = Context {
            known: known.subscribe(),
            collector_pods: seen,
            status: sink,
            ..Context::of_nothing(Client::new(silent, "default"))
        };
        if had_it {
            context.state.collector_pods.answered();
        }
        let status = k8s::Status::failure(forbidden, "Forbidden").with_code(403);
        context.state.collector_pods.failed(&k8s::Error::Api(status.boxed()));
        let told = async {
            while !format!("{:?}", *reports.borrow_and_update()).contains(&format!("{expected:?}")) {
                reports.changed().await.expect("the context has the sender");
            }
        };
        tokio::select! {
            () = run(context.clone()) => {}
            told = timeout(Duration::from_mins(1), told) => told.unwrap_or_else(|_| panic!("had it: {had_it}")),
        }
    }
}

/// Nothing is known of before, after a change of leader, say.
#[tokio::test(start_paused = true)]
async fn a_spec_that_says_of_no_collector_is_told() {
    let silent = tower::service_fn(|_: Request<k8s::Body>| async {
        std::future::pending::<Result<Response<k8s::Body>, tower::BoxError>>().await
    });
    let spec = json!({"injection": {"clusterDomain": "a..b"}});
    let known = Known::of(Stack::new("u".to_owned(), 7, &spec));
    let (sink, mut reports) = Sink::new();
    let context =
        Context { known: known.subscribe(), status: sink, ..Context::of_nothing(Client::new(silent, "default")) };
    let told = async {
        let is_told = |said: &str| said.contains("InvalidSpec") && said.contains("spec.injection.clusterDomain: ");
        while !is_told(&format!("{:?}", *reports.borrow_and_update())) {
            reports.changed().await.expect("the context has the sender");
        }
    };
    tokio::select! {
        () = run(context.clone()) => {}
        told = timeout(Duration::from_mins(1), told) => told.expect("it is said"),
    }
}

use super::*;
use crate::api::condition::Holds;
use crate::api::stack::{Agent, Collector, DeliveryStatus, Owners, WebhookStatus};
use crate::config::LogOwner;
use crate::controller::events::Recorder;

/// A stack that nobody has said anything of.
fn fresh() -> TelemetryStackStatus {
    TelemetryStackStatus::default()
}

/// What stands there, for a leader that leads for so long.
fn before(status: &TelemetryStackStatus, seconds: u64) -> Before<'_> {
    Before { status, led_for: Duration::from_secs(seconds) }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("in range")
}

fn accepted(verdict: Verdict) -> Reports {
    let mut reports = Reports::default();
    reports.say(ConditionType::ConfigurationAccepted, verdict);
    reports
}

fn ready(configuration: Option<Reason>, certificate: Option<Reason>) -> (Holds, Reason) {
    use ConditionType::{CertificateReady, ConfigurationAccepted};
    let mut reports = Reports::default();
    for part in ConditionType::OF_PARTS.iter().filter(|part| ![CertificateReady, ConfigurationAccepted].contains(part))
    {
        reports.switch_off(*part);
    }
    for (part, reason) in [(ConfigurationAccepted, configuration), (CertificateReady, certificate)] {
        if let Some(reason) = reason {
            reports.say(part, Verdict::new(reason, "", 2));
        }
    }
    let verdicts = reports.verdicts(&before(&fresh(), 0));
    let (name, ready) = verdicts.last().expect("there is one");
    assert_eq!(*name, ConditionType::Ready);
    (ready.reason.holds(), ready.reason)
}

#[test]
fn ready_is_what_all_are() {
    use Reason::{AsConfigured, InForce, InvalidSpec, NotInForce, NotLookedAt};
    for (configuration, certificate, expected) in [
        (None, None, (Holds::Unknown, NotLookedAt)),
        (Some(InForce), None, (Holds::Unknown, NotLookedAt)),
        (Some(InForce), Some(InForce), (Holds::True, AsConfigured)),
        (Some(InvalidSpec), Some(InForce), (Holds::False, InvalidSpec)),
        (Some(InvalidSpec), None, (Holds::False, InvalidSpec)),
        (None, Some(NotInForce), (Holds::False, NotInForce)),
        (None, Some(InForce), (Holds::Unknown, NotLookedAt)),
        (Some(NotLookedAt), Some(InForce), (Holds::Unknown, NotLookedAt)),
        (Some(NotLookedAt), Some(NotInForce), (Holds::False, NotInForce)),
    ] {
        assert_eq!(ready(configuration, certificate), expected, "{configuration:?} {certificate:?}");
    }
}

#[test]
fn a_part_that_is_switched_off_has_no_condition() {
    let mut reports = accepted(Verdict::new(Reason::InForce, "", 4));
    for part in &ConditionType::OF_PARTS[1..] {
        reports.switch_off(*part);
    }
    assert!(reports.are_complete());
    let types: Vec<_> =
        reports.verdicts(&before(&fresh(), 0)).into_iter().map(|(name, verdict)| (name, verdict.reason)).collect();
    let expected =
        [(ConditionType::ConfigurationAccepted, Reason::InForce), (ConditionType::Ready, Reason::AsConfigured)];
    assert_eq!(types, expected);
}

#[test]
fn a_transition_has_its_time_and_nothing_else_changes_it() {
    let report = |reason: Reason, detail: &str| accepted(Verdict::new(reason, detail, 1));
    let times = |status: &TelemetryStackStatus| -> Vec<_> {
        status.conditions.iter().map(|one| one.last_transition_time.0.as_second()).collect()
    };
    let first = report(Reason::NotInForce, "a").status(&before(&fresh(), 0), at(1));
    assert_eq!(times(&first), [1, 1]);
    let second = report(Reason::InvalidSpec, "b").status(&before(&first, 0), at(2));
    assert_eq!(times(&second), [1, 1], "still False");
    let third = report(Reason::InForce, "").status(&before(&second, 0), at(3));
    assert_eq!(times(&third), [3, 3]);
}

#[test]
fn only_what_differs_is_written() {
    let mut reports = accepted(Verdict::new(Reason::InForce, "", 4));
    let unsaid = |generation| Status { uid: "u".to_owned(), generation, status: Value::Null };
    let mut written = Written::from([("default".to_owned(), unsaid(4)), ("b".to_owned(), unsaid(1))]);
    for (name, status) in due(&reports, &written, Duration::ZERO, at(1)) {
        written.get_mut(&name).expect("one of the two").status = status;
    }
    assert_eq!(written["b"].status["conditions"][0]["reason"], "NotDefault");
    assert_eq!(written["default"].status["observedGeneration"], 4);
    assert!(due(&reports, &written, Duration::ZERO, at(2)).is_empty());
    written.get_mut("b").expect("it is there").status["conditions"][0]["message"] = json!("by hand");
    assert_eq!(
        due(&reports, &written, Duration::ZERO, at(2)).iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
        ["b"]
    );
    reports.webhook = Some(WebhookStatus { serving: "1/1".to_owned(), ..WebhookStatus::default() });
    assert_eq!(due(&reports, &written, Duration::ZERO, at(2)).len(), 2);
}

#[test]
fn an_older_schema_gets_what_it_knows() {
    let condition = json!({"properties": {"type": {}, "status": {}}});
    let schema = json!({"properties": {"conditions": {"items": condition}, "observedGeneration": {}}});
    let reports = Reports {
        webhook: Some(WebhookStatus::default()),
        served_schema: Some(Arc::new(schema)),
        ..accepted(Verdict::new(Reason::InForce, "", 4))
    };
    let written =
        Written::from([("default".to_owned(), Status { uid: "u".to_owned(), generation: 4, status: Value::Null })]);
    let expected = json!({
        "observedGeneration": 4,
        "conditions": [{"type": "ConfigurationAccepted", "status": "True"}, {"type": "Ready", "status": "Unknown"}],
    });
    assert_eq!(due(&reports, &written, Duration::ZERO, at(1)), [("default".to_owned(), expected)]);
}

#[test]
fn only_a_change_becomes_an_event() {
    let status = |reports: &Reports| {
        let status = reports.status(&before(&fresh(), 0), at(1));
        Status { uid: "u".to_owned(), generation: 1, status: serde_json::to_value(status).expect("JSON") }
    };
    let told = |before: &Status, now: &Reports| -> Vec<String> {
        let happenings = happenings("default", before, &status(now).status);
        happenings.iter().map(|one| format!("{} {} {:?}", one.action, one.reason, one.weight)).collect()
    };
    let unsaid = Status { uid: "u".to_owned(), generation: 1, status: Value::Null };
    let [good, late, worse] =
        [Reason::InForce, Reason::NotInForce, Reason::InvalidSpec].map(|reason| accepted(Verdict::new(reason, "", 1)));
    let in_other_words = accepted(Verdict::new(Reason::NotInForce, "another replica", 2));
    assert!(told(&unsaid, &good).is_empty(), "that all is well from the start is no news");
    assert_eq!(told(&unsaid, &late), ["ConfigurationAccepted NotInForce Warning"]);
    assert_eq!(told(&status(&late), &good), ["ConfigurationAccepted InForce Normal"]);
    assert_eq!(told(&status(&late), &worse), ["ConfigurationAccepted InvalidSpec Warning"]);
    assert!(told(&status(&late), &in_other_words).is_empty());
    assert!(told(&status(&good), &Reports::default()).is_empty(), "a condition that is no more");
}

/// An API server that takes every status, and shows it.
fn taking(written: watch::Sender<Arc<Written>>) -> k8s::Client {
    let service = tower::service_fn(move |request: axum::http::Request<k8s::Body>| {
        let written = written.clone();
        async move {
            let applied = request.into_body().collect_bytes().await?;
            let mut object: Value = serde_json::from_slice(&applied).expect("JSON");
            let status = object["status"].take();
            let status = Status { uid: "u".to_owned(), generation: 1, status };
            written.send_replace(Arc::new(Written::from([("default".to_owned(), status)])));
            let body = k8s::Body::from(object.to_string().into_bytes());
            Ok::<_, tower::BoxError>(axum::http::Response::new(body))
        }
    });
    k8s::Client::new(service, "default")
}

#[tokio::test(start_paused = true)]
async fn numbers_wait_for_their_time_and_conditions_dont() {
    let fresh = Status { uid: "u".to_owned(), generation: 1, status: Value::Null };
    let (sender, written) = watch::channel(Arc::new(Written::from([("default".to_owned(), fresh)])));
    let (sink, reports) = Sink::new();
    let context = Context { status: sink.clone(), ..Context::of_nothing(taking(sender)) };
    let writes = {
        let state = Arc::clone(&context.state);
        move || state.writes.of(Write::Status)
    };
    sink.report(|reports| {
        for part in ConditionType::OF_PARTS {
            reports.say(*part, Verdict::new(Reason::InForce, "", 1));
        }
    });
    let task = tokio::spawn(write(context, reports, written.clone()));
    sleep(Duration::from_secs(20)).await;
    assert_eq!(writes(), 1);
    let serving = |one: i32| {
        let serving = format!("{one}/300");
        sink.report(|reports| reports.webhook.get_or_insert_default().serving = serving);
    };
    for one in 0..300 {
        serving(one);
        sleep(Duration::from_millis(200)).await;
    }
    assert!((15..=30).contains(&writes()), "in a minute: {}", writes());
    sleep(NUMBERS_EVERY).await;
    for one in 0..AT_ONCE {
        let before = writes();
        serving(i32::try_from(one).expect("few"));
        sleep(Duration::from_millis(200)).await;
        assert_eq!(writes(), before + 1, "while there were few");
    }
    let before = writes();
    sink.report(|reports| reports.say(ConditionType::WebhookReachable, Verdict::new(Reason::NotReached, "", 1)));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(writes(), before + 1, "a condition");
    sink.report(|reports| reports.owners = Some(Owners::of(&Collector::default(), &Agent::default(), LogOwner::Agent)));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(writes(), before + 2, "who has which data");
    sink.report(|reports| {
        reports.webhook = Some(WebhookStatus { revision: Some("another".to_owned()), ..WebhookStatus::default() });
    });
    sleep(Duration::from_secs(1)).await;
    assert_eq!(writes(), before + 3, "which configuration is in force");
    serving(300);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(writes(), before + 3, "a number");
    sleep(NUMBERS_EVERY).await;
    assert_eq!(writes(), before + 4, "none is forgotten");
    assert_eq!(written.borrow()["default"].status["webhook"]["serving"], "300/300");
    task.abort();
}

/// As the leader before has left it: nothing but this is wrong.
fn left(delivering: Reason) -> Status {
    let mut reports = Reports::default();
    for part in ConditionType::OF_PARTS {
        reports.say(*part, Verdict::new(Reason::InForce, "", 1));
    }
    reports.say(ConditionType::CollectorDelivering, Verdict::new(delivering, "3 of 5000 Collectors", 1));
    reports.delivery = Some(DeliveryStatus { delivering: "4997/5000".to_owned(), measured: 5000 });
    let status = reports.status(&before(&fresh(), 0), at(1));
    Status { uid: "u".to_owned(), generation: 1, status: serde_json::to_value(status).expect("JSON") }
}

/// Another leader, that has said how everything is but for the delivery.
struct Successor {
    sink: Sink,
    written: watch::Receiver<Arc<Written>>,
    events: super::super::events::Happenings,
    _task: crate::tasks::Tasks,
}

impl Successor {
    fn of(status: Status) -> Self {
        let (sender, written) = watch::channel(Arc::new(Written::from([("default".to_owned(), status)])));
        let (sink, reports) = Sink::new();
        let context = Context { status: sink.clone(), ..Context::of_nothing(taking(sender)) };
        let (recorder, events) = Recorder::new("otelgate-controller-1", Arc::clone(&context.state));
        for part in ConditionType::OF_PARTS.iter().filter(|part| **part != ConditionType::CollectorDelivering) {
            sink.report(|reports| reports.say(*part, Verdict::new(Reason::InForce, "", 1)));
        }
        let mut task = crate::tasks::Tasks::default();
        task.spawn("status", write(Context { events: recorder, ..context }, reports, written.clone()));
        Self { sink, written, events, _task: task }
    }

    /// Reason, state and second of the last transition of that condition after so many seconds more.
    async fn says(&self, condition: ConditionType, seconds: u64) -> Option<(String, String, String)> {
        sleep(Duration::from_secs(seconds)).await;
        let written = self.written.borrow();
        let conditions = written["default"].status["conditions"].as_array().cloned().unwrap_or_default();
        let one = conditions.into_iter().find(|one| one["type"] == condition.as_str())?;
        let text = |field: &str| one[field].as_str().unwrap_or_default().to_owned();
        Some((text("reason"), text("status"), text("lastTransitionTime")))
    }
}

fn since_ever(reason: &str, status: &str) -> (String, String, String) {
    (reason.to_owned(), status.to_owned(), "1970-01-01T00:00:01Z".to_owned())
}

#[tokio::test(start_paused = true)]
async fn what_the_leader_before_said_stands_until_this_one_has_looked() {
    use ConditionType::{CollectorDelivering, Ready};
    let mut successor = Successor::of(left(Reason::Delivering));
    assert_eq!(successor.says(Ready, 90).await, Some(since_ever("AsConfigured", "True")));
    assert_eq!(successor.says(CollectorDelivering, 0).await, Some(since_ever("Delivering", "True")));
    assert_eq!(successor.written.borrow()["default"].status["delivery"]["delivering"], "4997/5000");
    successor.sink.report(|reports| {
        reports.say_so_far(CollectorDelivering, Verdict::new(Reason::Delivering, "50 of 5000 measured", 1));
    });
    assert_eq!(successor.says(Ready, 30).await, Some(since_ever("AsConfigured", "True")));
    assert!(successor.events.none(), "nothing has changed");
    // One that never looks has an end.
    let silent = Successor::of(left(Reason::Delivering));
    assert_eq!(silent.says(Ready, 700).await, Some(since_ever("AsConfigured", "True")));
    let (reason, status, _) = silent.says(Ready, 60).await.expect("it is said");
    assert_eq!((reason.as_str(), status.as_str()), ("NotLookedAt", "Unknown"));
    assert_eq!(silent.says(CollectorDelivering, 0).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_fault_that_lasts_is_told_once_whoever_leads() {
    use ConditionType::CollectorDelivering;
    let mut successor = Successor::of(left(Reason::SendFailed));
    let well = |many: &str| Verdict::new(Reason::Delivering, many, 1);
    let ill = || Verdict::new(Reason::SendFailed, "3 of 5000 Collectors", 1);
    assert_eq!(successor.says(CollectorDelivering, 30).await, Some(since_ever("SendFailed", "False")));
    // They aren't among the first.
    successor.sink.report(|reports| reports.say_so_far(CollectorDelivering, well("50 of 5000")));
    assert_eq!(successor.says(CollectorDelivering, 300).await, Some(since_ever("SendFailed", "False")));
    successor.sink.report(|reports| reports.say(CollectorDelivering, ill()));
    assert_eq!(successor.says(CollectorDelivering, 30).await, Some(since_ever("SendFailed", "False")));
    assert!(successor.events.none(), "it was told");
    // What this one has seen itself, it has seen end.
    successor.sink.report(|reports| reports.say_so_far(CollectorDelivering, well("5000 of 5001")));
    let (reason, ..) = successor.says(CollectorDelivering, 30).await.expect("it is said");
    assert_eq!((reason.as_str(), successor.events.none()), ("Delivering", false));
}

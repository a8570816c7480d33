//! Whether monitors fire: their queries, worked out over series of a few minutes.

use std::collections::BTreeMap;

use otelgate::monitoring::{NOT_AS_ASKED, monitors};

/// A value for each minute, where there is one.
type Series = Vec<Option<f64>>;

/// What each metric, with the braces of its scope, was in the last quarter of an hour.
#[derive(Default)]
struct Seen(BTreeMap<String, Series>);

const MINUTES: usize = 15;
const CONDITION: &str = "otelgate_controller_condition";
const COLLECTOR: &str = "type:collectoravailable";
const COLLECTOR_ROLLOUT: &str = "otelgate_controller_collector_rollout_nodes{*}";
const AGENT_ROLLOUT: &str = "otelgate_controller_agent_rollout_nodes{*}";
const MISSING: &str = "otelgate_controller_collector_missing_nodes{*}";
const DESIRED: &str = "k8s.daemonset.desired_scheduled_nodes{kube_namespace:datadog}";
const READY: &str = "k8s.daemonset.ready_nodes{kube_namespace:datadog}";

#[test]
fn a_rollout_that_gets_on_wakes_nobody() {
    // One node after the other, and each is without for its time.
    let one_by_one = Seen::default()
        .of(COLLECTOR_ROLLOUT, |minute| Some(f64::from(40 - minute / 4)))
        .of(MISSING, |_| Some(1.0))
        .of(DESIRED, |_| Some(40.0))
        .of(READY, |_| Some(39.0));
    let by_tens = Seen::default()
        .of(COLLECTOR_ROLLOUT, |minute| Some(f64::from(400 - minute * 10)))
        .of(MISSING, |minute| Some(if minute % 2 == 0 { 10.0 } else { 4.0 }))
        .of(DESIRED, |_| Some(400.0))
        .of(READY, |_| Some(390.0));
    for rollout in [one_by_one, by_tens] {
        let rollout = rollout.conditions(0.0);
        for name in ["collector-unavailable", "not-ready", "nodes-without"] {
            assert!(!rollout.fires(name), "{name}");
        }
        assert!(rollout.fires("agent-unavailable"), "of the Agent, that explains nothing");
    }
    let of_agent = Seen::default()
        .of(AGENT_ROLLOUT, |minute| Some(f64::from(40 - minute / 4)))
        .of(DESIRED, |_| Some(40.0))
        .of(READY, |_| Some(39.0))
        .conditions(0.0);
    for name in ["agent-unavailable", "not-ready", "nodes-without"] {
        assert!(!of_agent.fires(name), "{name}");
    }
    assert!(of_agent.fires("collector-unavailable"), "of the Collector, that explains nothing");
}

#[test]
fn a_rollout_that_has_stopped_does() {
    let names = ["collector-unavailable", "agent-unavailable", "not-ready", "nodes-without"];
    let stopped = || {
        let nodes = Seen::default().of(DESIRED, |_| Some(40.0)).of(READY, |_| Some(39.0)).of(MISSING, |_| Some(1.0));
        nodes.of(COLLECTOR_ROLLOUT, |_| Some(20.0)).of(AGENT_ROLLOUT, |_| Some(20.0))
    };
    for name in names {
        assert!(stopped().conditions(0.0).fires(name), "{name}");
        // Without a series there is no rollout.
        assert!(
            Seen::default().of(DESIRED, |_| Some(3.0)).of(READY, |_| Some(2.0)).conditions(0.0).fires(name),
            "{name}"
        );
        assert!(
            !Seen::default().of(DESIRED, |_| Some(3.0)).of(READY, |_| Some(3.0)).conditions(1.0).fires(name),
            "{name}"
        );
        let a_moment = |minute: u32| f64::from(u8::from(minute == 3));
        let for_a_moment =
            Seen::default().of(DESIRED, |_| Some(3.0)).of(READY, move |minute| Some(2.0 + a_moment(minute)));
        assert!(!for_a_moment.condition(a_moment).fires(name), "{name}");
    }
}

/// What runs is kept; it wakes somebody where nodes are without it.
#[test]
fn a_spec_that_isnt_taken_is_a_fault_of_its_own() {
    for reason in NOT_AS_ASKED.map(|reason| reason.code().to_lowercase()) {
        let given = format!("otelgate_controller_condition_reason{{{COLLECTOR},reason:{reason}}}");
        let of = |missing: f64| {
            Seen::default().of(&given, |_| Some(1.0)).of(MISSING, move |_| Some(missing)).conditions(0.0)
        };
        assert!(!of(0.0).fires("collector-unavailable") && of(0.0).fires("collector-not-as-asked"), "{reason}");
        assert!(of(1.0).fires("collector-unavailable") && of(3.0).fires("collector-unavailable"), "{reason}");
        let rolling = of(3.0).of(COLLECTOR_ROLLOUT, |minute| Some(f64::from(40 - minute)));
        assert!(!rolling.fires("collector-unavailable"), "{reason}");
    }
}

#[test]
fn queries_are_worked_out_as_documented() {
    let seen =
        Seen::default().of("a{x:y}", |minute| (minute > 0).then(|| f64::from(minute))).of("b{*}", |_| Some(-2.0));
    for (query, fires) in [
        ("max(last_15m):max:a{x:y} > 13", true),
        ("max(last_15m):max:a{x:y} > 14", false),
        ("min(last_15m):max:a{x:y} < 1", false),
        ("min(last_15m):default_zero(max:a{x:y}) < 1", true),
        ("min(last_15m):max:a{x:y} - max:b{*} * 2 < 6", true),
        ("min(last_15m):(max:a{x:y} - max:b{*}) * 2 < 6", false),
        ("max(last_15m):abs(max:b{*}) > 1", true),
        ("max(last_15m):clamp_min(max:b{*}, -1) > -2", true),
        // It sets what isn't there to the threshold, too.
        ("max(last_15m):clamp_min(max:none{*}, 3) > 2", true),
        ("max(last_15m):diff(max:a{x:y} by {host}) > 0", true),
        ("max(last_15m):diff(max:a{x:y}) > 1", false),
        ("max(last_15m):max:none{*} < 1", false),
    ] {
        assert_eq!(seen.is_so(query), fires, "{query}");
    }
}

// === impl Seen ===

impl Seen {
    fn of(mut self, metric: &str, value: impl Fn(u32) -> Option<f64>) -> Self {
        self.0.insert(metric.to_owned(), (0..15).map(value).collect());
        self
    }

    fn conditions(self, holds: f64) -> Self {
        self.condition(move |_| holds)
    }

    /// Of all that a rollout makes false.
    fn condition(self, holds: impl Fn(u32) -> f64) -> Self {
        ["collectoravailable", "agentavailable", "ready"]
            .into_iter()
            .fold(self, |seen, kind| seen.of(&format!("{CONDITION}{{type:{kind}}}"), |minute| Some(holds(minute))))
    }

    #[track_caller]
    fn fires(&self, monitor: &str) -> bool {
        self.is_so(&monitors()[monitor].query)
    }

    /// `max(last_15m):` what is worked out, `<` and a number.
    fn is_so(&self, query: &str) -> bool {
        let (over, rest) = query.split_once("(last_15m):").expect("a quarter of an hour");
        let (expression, compared, limit) = match rest.rsplit_once(" < ") {
            Some((expression, limit)) => (expression, '<', limit),
            None => rest.rsplit_once(" > ").map(|(expression, limit)| (expression, '>', limit)).expect("a comparison"),
        };
        let limit: f64 = limit.parse().expect("a number");
        let mut left = expression;
        let values = self.sum(&mut left);
        assert_eq!(left, "", "all of {query} is read");
        let values = values.into_iter().flatten();
        let value = match over {
            "max" => values.reduce(f64::max),
            "min" => values.reduce(f64::min),
            _ => panic!("{query}"),
        };
        value.is_some_and(|value| if compared == '<' { value < limit } else { value > limit })
    }

    fn sum(&self, left: &mut &str) -> Series {
        let mut value = self.product(left);
        while let Some(sign) = [" + ", " - "].into_iter().find(|sign| take(left, sign)) {
            let other = self.product(left);
            value = both(&value, &other, |one, other| if sign == " + " { one + other } else { one - other });
        }
        value
    }

    fn product(&self, left: &mut &str) -> Series {
        let mut value = self.one(left);
        while take(left, " * ") {
            value = both(&value, &self.one(left), |one, other| one * other);
        }
        value
    }

    fn one(&self, left: &mut &str) -> Series {
        let number = left.find(|c: char| !c.is_ascii_digit() && c != '-').unwrap_or(left.len());
        if number > 0 {
            let (number, rest) = left.split_at(number);
            *left = rest;
            return vec![Some(number.parse().expect("a number")); MINUTES];
        }
        if let Some((name, rest)) = left.split_once('(').filter(|(name, _)| !name.contains(':')) {
            *left = rest;
            let value = self.sum(left);
            let value = match name {
                "" => value,
                "default_zero" => value.into_iter().map(|value| value.or(Some(0.0))).collect(),
                "abs" => value.into_iter().map(|value| value.map(f64::abs)).collect(),
                "diff" => {
                    let before = std::iter::once(None).chain(value.clone()).take(MINUTES).collect();
                    both(&value, &before, |now, before| now - before)
                }
                "clamp_min" => {
                    assert!(take(left, ", "), "a threshold");
                    let least = self.one(left);
                    value
                        .into_iter()
                        .zip(least)
                        .map(|(value, least)| value.into_iter().chain(least).reduce(f64::max))
                        .collect()
                }
                _ => panic!("{name} isn't known here"),
            };
            assert!(take(left, ")"), "{name} ends: {left}");
            return value;
        }
        let end = left.find('}').expect("a scope ends") + 1;
        let (metric, rest) = left.split_at(end);
        *left = rest;
        if take(left, " by {") {
            *left = left.split_once('}').expect("tags end").1;
        }
        let (_, metric) = metric.split_once(':').expect("an aggregation");
        self.0.get(metric).cloned().unwrap_or_else(|| vec![None; MINUTES])
    }
}

fn take(left: &mut &str, text: &str) -> bool {
    left.strip_prefix(text).map(|rest| *left = rest).is_some()
}

fn both(one: &Series, other: &Series, of: impl Fn(f64, f64) -> f64) -> Series {
    one.iter().zip(other).map(|(one, other)| Some(of((*one)?, (*other)?))).collect()
}

//! Alerts, monitors and the dashboard ask for what there is: every query is walked, metric by metric and label by label.

use std::collections::BTreeSet;
use std::path::Path;

use otelgate::api::condition::{self, ConditionType};
use otelgate::api::stack::COLLECTOR_VERSION;
use otelgate::coverage::Coverage;
use otelgate::inject::Reason;
use otelgate::metrics::Definition;
use otelgate::monitoring::{
    FOREIGN, Foreign, NOT_AS_ASKED, SECURITY_SIGNALS, SIGNAL_FACETS, alerts, dashboard, monitors,
};
use otelgate::{controller, metrics};
use serde_json::Value;

mod evaluate;

/// What a query asks for.
#[derive(Debug, PartialEq)]
struct Read {
    metric: String,
    /// Labels with the value that they are to have, where there is one.
    labels: Vec<(String, Option<String>)>,
}

/// Labels that Prometheus and the Prometheus Operator put on everything.
const OF_TARGETS: [&str; 2] = ["namespace", "pod"];
/// Tags that Collector and Agent put on everything, and variables of the dashboard, which are tags too.
const OF_PLACES: [&str; 8] = [
    "$cluster",
    "$namespace",
    "host",
    "kube_cluster_name",
    "kube_container_name",
    "kube_daemon_set",
    "kube_namespace",
    "pod_name",
];
/// Labels and tags of metrics of others.
const OF_OTHERS: [&str; 3] = ["exporter", "condition", "status"];

#[test]
fn alerts_ask_for_metrics_that_exist() {
    let mut seen = BTreeSet::new();
    for alert in alerts() {
        let reads = of_prometheus(&alert.expression);
        assert!(!reads.is_empty(), "{} asks for something", alert.name);
        for read in reads {
            for metric in names(&read.metric) {
                check(&Read { metric: metric.clone(), labels: read.labels.clone() }, &OF_TARGETS, &alert.name);
                seen.insert(metric);
            }
        }
    }
    assert!(seen.len() > 20, "{seen:?}");
}

/// An alert on what no Collector of that release has never fires.
#[test]
fn alerts_and_the_dashboard_ask_for_what_the_default_collector_has() {
    let minor = COLLECTOR_VERSION.split('.').nth(1).and_then(|minor| minor.parse().ok()).expect("a release");
    let of = |name: &str| FOREIGN.iter().find(|metric| is_called(metric, name));
    for minor in [149, minor] {
        for alert in alerts() {
            for read in of_prometheus(&alert.expression) {
                let metrics: Vec<&Foreign> = names(&read.metric).iter().filter_map(|name| of(name)).collect();
                let has = metrics.is_empty() || metrics.iter().any(|metric| metric.is_of(minor));
                assert!(has, "{}: no Collector of 0.{minor} has {}", alert.name, read.metric);
            }
        }
        let dashboard: Value = serde_json::from_str(dashboard()).expect("JSON");
        walk_requests(&dashboard, &mut |queries: &[Value]| {
            let texts = queries.iter().filter_map(|query| query["query"].as_str());
            let metrics: Vec<&Foreign> = texts.flat_map(of_datadog).filter_map(|read| of(&read.metric)).collect();
            assert!(metrics.is_empty() || metrics.iter().any(|metric| metric.is_of(minor)), "0.{minor}: {queries:?}");
        });
    }
}

#[test]
fn monitors_ask_for_metrics_that_exist() {
    for (name, monitor) in monitors() {
        let reads = of_datadog(&monitor.query);
        assert!(!reads.is_empty(), "{name} asks for something");
        for read in reads {
            check(&read, &OF_PLACES, &name);
        }
        for tag in templates(&monitor.name).into_iter().chain(templates(&monitor.message)) {
            let is_grouped = monitor.query.contains(&format!("{tag},")) || monitor.query.contains(&format!("{tag}}}"));
            assert!(is_grouped, "{name} tells {tag}, by which it isn't grouped");
        }
    }
}

/// Datadog documents arithmetic between queries of the same groups only.
#[test]
fn the_metrics_of_a_monitor_are_grouped_alike() {
    for (name, monitor) in monitors() {
        let groups = of_datadog(&monitor.query).into_iter().map(|read| {
            let tags = read.labels.into_iter().filter(|(_, value)| value.is_none());
            tags.map(|(tag, _)| tag).collect::<BTreeSet<_>>()
        });
        let groups: BTreeSet<_> = groups.collect();
        assert_eq!(groups.len(), 1, "{name}: {groups:?}");
    }
}

#[test]
fn the_dashboard_asks_for_metrics_that_exist() {
    let dashboard: Value = serde_json::from_str(dashboard()).expect("JSON");
    let (mut metrics, mut events) = (0, 0);
    walk(&dashboard, &mut |query: &Value| match query["data_source"].as_str().expect("a source") {
        "metrics" => {
            let text = query["query"].as_str().expect("a query");
            let reads = of_datadog(text);
            assert_eq!(reads.len(), 1, "{text}");
            check(&reads[0], &OF_PLACES, text);
            assert!(text.contains("$cluster"), "{text} is of one cluster");
            metrics += 1;
        }
        source => {
            assert_eq!(source, SECURITY_SIGNALS.name);
            check_signals(query);
            events += 1;
        }
    });
    assert!(metrics > 40 && events > 0, "{metrics} {events}");
}

/// Signals are looked for by tags of places and by what signals have, each with a value, and of one cluster.
#[track_caller]
fn check_signals(query: &Value) {
    let text = query["search"]["query"].as_str().expect("a query");
    assert!(text.split_whitespace().any(|word| word == "$cluster"), "{text:?} is of one cluster");
    let is_known = |name: &str| OF_PLACES.contains(&name) || SIGNAL_FACETS.contains(&name);
    for word in text.split_whitespace().filter(|word| *word != "$cluster") {
        let (name, value) = word.trim_start_matches('-').split_once(':').unwrap_or((word, ""));
        assert!(is_known(name) && !value.is_empty(), "{text:?} has {word}");
    }
    for group in query["group_by"].as_array().into_iter().flatten() {
        let facet = group["facet"].as_str().expect("a facet");
        assert!(is_known(facet), "no signal has {facet}");
        assert_eq!(group["sort"]["aggregation"], query["compute"]["aggregation"], "{text:?}");
    }
    assert_eq!((&query["compute"]["aggregation"], &query["indexes"][0]), (&Value::from("count"), &Value::from("*")));
}

/// What a rollout makes false has a monitor of its own.
#[test]
fn the_monitor_of_conditions_leaves_out_what_has_its_own() {
    let reads = of_datadog(&monitors()["condition"].query);
    let left_out: Vec<_> = reads[0].labels.iter().filter_map(|(_, value)| value.as_deref()).collect();
    assert_eq!(left_out, ["injectioncomplete", "ready", "collectoravailable", "agentavailable"]);
}

/// Whoever is woken for nodes isn't for what says nothing of them, and somebody is told of all of it.
#[test]
fn alerts_and_monitors_have_every_reason_that_says_nothing_of_nodes() {
    let reasons = NOT_AS_ASKED.map(condition::Reason::code);
    let of_reasons = |reads: Vec<Read>| -> Vec<String> {
        let labels = reads.into_iter().flat_map(|read| read.labels);
        labels.filter(|(label, _)| label == "reason").filter_map(|(_, value)| value).collect()
    };
    for name in ["OtelgateCollectorUnavailable", "OtelgateCollectorNotAsAsked"] {
        let alert = alerts().into_iter().find(|alert| alert.name == name).expect("an alert");
        assert_eq!(of_reasons(of_prometheus(&alert.expression)), [reasons.join("|")], "{name}");
    }
    for name in ["collector-unavailable", "collector-not-as-asked"] {
        assert_eq!(of_reasons(of_datadog(&monitors()[name].query)), reasons.map(str::to_lowercase), "{name}");
    }
}

/// No source is kept of what nothing asks for.
#[test]
fn every_metric_of_others_is_asked_for() {
    let everything: String = [
        alerts().into_iter().map(|alert| alert.expression).collect::<String>(),
        monitors().into_values().map(|monitor| monitor.query).collect(),
        dashboard().to_owned(),
    ]
    .concat();
    for metric in FOREIGN {
        assert!(everything.contains(metric.name), "{}", metric.name);
    }
}

#[test]
fn every_condition_has_its_alert() {
    let reads: Vec<Read> = alerts().iter().flat_map(|alert| of_prometheus(&alert.expression)).collect();
    for condition in ConditionType::ALL {
        let asks = reads.iter().filter(|read| {
            read.metric == "otelgate_controller_condition"
                && read.labels.contains(&("type".to_owned(), Some(condition.as_str().to_owned())))
        });
        assert_eq!(asks.count(), 1, "{condition}");
    }
}

#[test]
fn every_alert_has_its_section() {
    let page =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/monitoring.md")).expect("a page");
    let sections: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("### Otelgate")).collect();
    let names: Vec<String> = alerts().into_iter().map(|alert| alert.name).collect();
    let sections: Vec<String> = sections.into_iter().map(|name| format!("Otelgate{name}")).collect();
    assert_eq!(sections, names);
}

/// The page's values are those of the set that is rendered and shown to the API servers.
#[test]
fn what_the_page_says_to_set_is_tried() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |name: &str| std::fs::read_to_string(root.join(name)).expect("a file");
    let page = read("docs/monitoring.md");
    let (_, block) = page.split_once("```yaml\n").expect("values");
    let shown: Value = serde_saphyr::from_str(block.split_once("```").expect("a fence").0).expect("YAML");
    let tried: Value = serde_saphyr::from_str(&read("tests/data/chart/values/monitoring.yaml")).expect("YAML");
    assert_eq!(shown, tried);
}

#[test]
fn queries_are_read_as_they_are_meant() {
    let read = |metric: &str, labels: &[(&str, Option<&str>)]| Read {
        metric: metric.to_owned(),
        labels: labels.iter().map(|(name, value)| ((*name).to_owned(), value.map(ToOwned::to_owned))).collect(),
    };
    assert_eq!(
        of_prometheus(
            r#"sum by (pod) (rate({__name__=~"(x_)?a(_total)?",n="d,e"}[10m])) / on (pod) b > 0.9 * 1e3 or time()"#
        ),
        [read("(x_)?a", &[("n", Some("d,e")), ("pod", None)]), read("b", &[("pod", None)])]
    );
    assert_eq!(names("a_(b_)?c"), ["a_c", "a_b_c"]);
    assert_eq!(names("(x_)?a"), ["a", "x_a"]);
    assert_eq!(
        of_datadog(
            "sum(last_10m):100 * max:a.b{*} by {host,x} / default_zero(p99:c{k:v,!l:w,$cluster}.as_count()) > 80"
        ),
        [
            read("a.b", &[("host", None), ("x", None)]),
            read("c", &[("k", Some("v")), ("l", Some("w")), ("$cluster", None)]),
        ]
    );
}

#[track_caller]
fn check(read: &Read, everywhere: &[&str], place: &str) {
    let own: Vec<&Definition> = metrics::reference().iter().chain(controller::metrics::reference()).collect();
    let definition = own.iter().find(|metric| is(metric, &read.metric));
    let labels: Vec<&str> = match definition {
        Some(metric) => metric.labels.to_vec(),
        None if FOREIGN.iter().any(|metric| is_called(metric, &read.metric)) => OF_OTHERS.to_vec(),
        None => panic!("{place}: there is no metric {}", read.metric),
    };
    for (label, value) in &read.labels {
        let is_known = labels.contains(&label.as_str()) || everywhere.contains(&label.as_str()) || label == "le";
        assert!(is_known, "{place}: {} has no label {label}", read.metric);
        let Some(value) = value else { continue };
        let is_one_of = |values: &[&str], value: &str| values.iter().any(|known| known.eq_ignore_ascii_case(value));
        match label.as_str() {
            "type" => {
                let all = ConditionType::ALL.map(ConditionType::as_str);
                assert!(
                    value.split('|').all(|value| all.iter().any(|one| one.eq_ignore_ascii_case(value))),
                    "{place}: {value}"
                );
            }
            "reason" => {
                let of_conditions = read.metric == "otelgate_controller_condition_reason";
                let codes: Vec<_> = if of_conditions {
                    condition::Reason::ALL.iter().map(|reason| reason.code()).collect()
                } else {
                    Reason::ALL.iter().map(|reason| reason.code()).collect()
                };
                assert!(value.split('|').all(|value| is_one_of(&codes, value)), "{place}: {value}");
            }
            "coverage" => {
                let codes = Coverage::ALL.map(Coverage::code);
                assert!(value.split('|').all(|value| is_one_of(&codes, value)), "{place}: {value}");
            }
            "object" => {
                let objects = controller::metrics::Write::ALL.map(controller::metrics::Write::as_str);
                assert!(value.split('|').all(|value| is_one_of(&objects, value)), "{place}: {value}");
            }
            // The help names them.
            _ => {
                let Some(definition) = definition else { continue };
                let words: Vec<_> = definition.help.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
                assert!(value.split('|').all(|value| is_one_of(&words, value)), "{place}: {label} {value}");
            }
        }
    }
}

/// Whether a series is this metric's.
fn is(metric: &Definition, series: &str) -> bool {
    let parts: &[&str] = if metric.kind == "histogram" { &["", "_bucket", "_count", "_sum"] } else { &[""] };
    parts.iter().any(|part| series.strip_suffix(part) == Some(metric.name))
}

/// In Prometheus, the Collector's may lack the prefix that Datadog puts in front of them.
fn is_called(metric: &Foreign, series: &str) -> bool {
    metric.name == series || metric.name.strip_prefix("otelcol_") == Some(series)
}

// === PromQL ===

/// The metrics of an expression, each with the labels of its selector and those by which the expression groups.
fn of_prometheus(expression: &str) -> Vec<Read> {
    const GROUPING: [&str; 4] = ["by", "without", "on", "ignoring"];
    const OPERATORS: [&str; 3] = ["or", "and", "unless"];
    let numbers = ["<collector-memory>", "<collector-cpu>", "<certificate-late>"];
    // The chart puts them there.
    let expression = &numbers.iter().fold(expression.to_owned(), |expression, place| expression.replace(place, "1"));
    let (mut reads, mut grouped) = (Vec::<Read>::new(), Vec::new());
    let mut rest = expression.as_str();
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
        let end = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
        let (word, behind) = rest.split_at(end);
        let behind = behind.trim_start();
        if first.is_ascii_digit() {
            rest = &rest[end..];
        } else if GROUPING.contains(&word) && behind.starts_with('(') {
            let (labels, behind) = behind[1..].split_once(')').expect("labels end");
            grouped.extend(labels.split(',').map(|label| (label.trim().to_owned(), None)));
            rest = behind;
        } else if end > 0 && (behind.starts_with('(') || behind.starts_with("by (") || OPERATORS.contains(&word)) {
            rest = behind;
        } else if end > 0 || first == '{' {
            let (name, labels, behind) = selector(word, behind.strip_prefix('{'));
            reads.push(Read { metric: name, labels });
            rest = behind.unwrap_or(&rest[end..]);
        } else if first == '[' {
            rest = rest.split_once(']').expect("a range ends").1;
        } else {
            rest = &rest[first.len_utf8()..];
        }
    }
    grouped.dedup();
    for read in &mut reads {
        read.labels.extend(grouped.iter().cloned());
    }
    reads
}

type Labels = Vec<(String, Option<String>)>;

/// Name and labels of a selector, and what comes after its braces.
fn selector<'e>(word: &str, braces: Option<&'e str>) -> (String, Labels, Option<&'e str>) {
    let (mut name, mut labels) = (word.to_owned(), Labels::new());
    let Some(mut rest) = braces else { return (name, labels, None) };
    while !rest.starts_with('}') {
        let (label, behind) = rest.split_once('"').expect("a value begins");
        let (value, behind) = behind.split_once('"').expect("a value ends");
        match label.trim_matches([',', '=', '~', '!', ' ']) {
            "__name__" => without_endings(value).clone_into(&mut name),
            label => labels.push((label.to_owned(), Some(value.to_owned()))),
        }
        rest = behind.trim_start_matches([',', ' ']);
    }
    (name, labels, Some(&rest[1..]))
}

/// A pattern without the endings that a Collector's reader may put there: its name, with what else is in it or not.
fn without_endings(pattern: &str) -> &str {
    match pattern.strip_suffix(")?").and_then(|rest| rest.rsplit_once('(')) {
        Some((before, _)) => without_endings(before),
        None => pattern,
    }
}

/// Each name that a pattern stands for.
fn names(pattern: &str) -> Vec<String> {
    let Some((before, rest)) = pattern.split_once('(') else { return vec![pattern.to_owned()] };
    let (option, behind) = rest.split_once(")?").expect("an option ends");
    let ends = names(behind);
    ["", option].iter().flat_map(|option| ends.iter().map(move |end| format!("{before}{option}{end}"))).collect()
}

// === Datadog ===

/// The metrics of a query, each with the tags of its scope and those by which it is grouped.
fn of_datadog(query: &str) -> Vec<Read> {
    let mut reads = Vec::<Read>::new();
    let mut rest = query;
    while let Some((before, behind)) = rest.split_once('{') {
        let (tags, behind) = behind.split_once('}').expect("braces close");
        rest = behind;
        let tags = tags.split(',').map(str::trim).filter(|tag| *tag != "*");
        if before.ends_with(" by ") {
            let labels = &mut reads.last_mut().expect("a metric is grouped").labels;
            labels.extend(tags.map(|tag| (tag.to_owned(), None)));
            continue;
        }
        let (_, metric) = before.rsplit_once(':').expect("an aggregation");
        let labels = tags.map(|tag| match tag.trim_start_matches('!').split_once(':') {
            Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
            None => (tag.to_owned(), None),
        });
        reads.push(Read { metric: metric.to_owned(), labels: labels.collect() });
    }
    reads
}

/// Tags whose values a text tells: `{{host.name}}`.
fn templates(text: &str) -> Vec<&str> {
    text.split("{{").skip(1).filter_map(|rest| rest.split_once(".name}}")).map(|(tag, _)| tag).collect()
}

/// Every query of every widget.
fn walk(value: &Value, visit: &mut impl FnMut(&Value)) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| walk(item, visit)),
        Value::Object(fields) if fields.contains_key("data_source") => visit(value),
        Value::Object(fields) => fields.values().for_each(|field| walk(field, visit)),
        _ => {}
    }
}

/// The queries of every request, which its formulas put together.
fn walk_requests(value: &Value, visit: &mut impl FnMut(&[Value])) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| walk_requests(item, visit)),
        Value::Object(fields) => match fields.get("queries").and_then(Value::as_array) {
            Some(queries) => visit(queries),
            None => fields.values().for_each(|field| walk_requests(field, visit)),
        },
        _ => {}
    }
}

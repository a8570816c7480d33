//! What a Collector's own metrics say of data that it didn't take, or didn't get rid of: pure.

use std::collections::BTreeMap;
use std::fmt;

use crate::collector::AGENT_EXPORTER;
use crate::controller::health::Signal;
use crate::controller::health::delivery::exposition::Sample;
use crate::controller::health::delivery::totals;

/// Where data go through a Collector: one kind of them, at one of its components.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Way {
    pub end: End,
    /// Empty where nobody says.
    pub component: Box<str>,
    pub signal: Signal,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    Receiver,
    Exporter,
}

/// What went a way, in items.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Amounts {
    /// Accepted, or sent.
    pub passed: f64,
    /// Refused, or given up.
    pub lost: f64,
    /// Lost, since a queue was full.
    pub no_room: f64,
    /// In the queue of an exporter, however long.
    pub waiting: f64,
}

/// By way, what went there in some time.
pub type Ways = BTreeMap<Way, Amounts>;

/// What was counted since the Collector started.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    ways: Ways,
    /// Seconds.
    uptime: Option<f64>,
}

/// More than any Collector has: a reading's memory is bounded, whoever answers.
const MAX_WAYS: usize = 256;

// === impl Reading ===

impl Reading {
    pub fn take(&mut self, sample: &Sample<'_>) {
        let Some(name) = totals::own(sample.name).filter(|_| sample.value.is_finite()) else { return };
        if name.starts_with("process_uptime") {
            self.uptime = Some(sample.value);
            return;
        }
        let end = End::ALL.into_iter().find_map(|end| {
            let of = name.strip_prefix(end.as_str())?.strip_prefix('_')?;
            Some((end, of))
        });
        let Some((end, of)) = end else { return };
        let told = match of {
            "queue_size" => Signal::named(sample.label("data_type")).map(|signal| (of, signal)),
            _ => totals::verb(of),
        };
        let Some((verb, signal)) = told else { return };
        let pick: fn(&mut Amounts) -> &mut f64 = match (end, verb) {
            (End::Receiver, "accepted") | (End::Exporter, "sent") => |amounts| &mut amounts.passed,
            (End::Receiver, "refused" | "failed") | (End::Exporter, "send_failed") => |amounts| &mut amounts.lost,
            (End::Exporter, "enqueue_failed") => |amounts| &mut amounts.no_room,
            (End::Exporter, "queue_size") => |amounts| &mut amounts.waiting,
            _ => return,
        };
        let way = Way { end, component: sample.label(end.as_str()).into(), signal };
        if self.ways.len() < MAX_WAYS || self.ways.contains_key(&way) {
            *pick(self.ways.entry(way).or_default()) += sample.value;
        }
    }

    /// What came since another reading of the same Collector, or since it started, which it may have done anew.
    #[must_use]
    pub fn since(&self, before: Option<&Self>) -> Ways {
        let Some(before) = before.filter(|before| !self.started_after(before)) else { return self.ways.clone() };
        let since = |(way, now): (&Way, &Amounts)| {
            let before = before.ways.get(way).copied().unwrap_or_default();
            let amounts = Amounts {
                passed: now.passed - before.passed,
                lost: now.lost - before.lost,
                no_room: now.no_room - before.no_room,
                waiting: now.waiting.min(before.waiting),
            };
            (way.clone(), amounts)
        };
        self.ways.iter().map(since).collect()
    }

    /// As [`since`](Self::since), where what waits now was tried as well, however short it has waited.
    #[must_use]
    pub fn tried_since(&self, before: &Self) -> Ways {
        let mut ways = self.since(Some(before));
        for (way, amounts) in &mut ways {
            amounts.waiting = self.ways.get(way).map_or(0.0, |now| now.waiting);
        }
        ways
    }

    /// A counter that went back says so, too.
    fn started_after(&self, before: &Self) -> bool {
        let is_behind = |(way, before): (&Way, &Amounts)| {
            let now = self.ways.get(way).copied().unwrap_or_default();
            now.passed < before.passed || now.lost < before.lost || now.no_room < before.no_room
        };
        matches!((before.uptime, self.uptime), (Some(before), Some(now)) if now < before)
            || before.ways.iter().any(is_behind)
    }
}

// === impl Amounts ===

impl Amounts {
    #[must_use]
    pub fn failed(&self) -> f64 {
        self.lost + self.no_room
    }

    /// Whether something waits, and nothing went.
    #[must_use]
    pub fn is_stuck(&self) -> bool {
        self.waiting > 0.0 && self.passed <= 0.0
    }

    /// The part of it that failed, from 0 to 1; `None` where nothing was tried. A queue of which nothing was sent is
    /// tried in vain.
    #[must_use]
    pub fn share(&self) -> Option<f64> {
        let tried = self.passed + self.failed();
        if tried > 0.0 { Some(self.failed() / tried) } else { (self.waiting > 0.0).then_some(1.0) }
    }
}

// === impl End ===

impl End {
    const ALL: [Self; 2] = [Self::Receiver, Self::Exporter];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Receiver => "receiver",
            Self::Exporter => "exporter",
        }
    }
}

// === impl Way ===

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.component {
            "" => f.write_str("it"),
            component => write!(f, "{} {component}", self.end.as_str()),
        }
    }
}

impl Way {
    /// The Agent of a node may be on its way up, or be replaced just now, which is told of the Agent.
    #[must_use]
    pub fn leads_to_the_agent(&self) -> bool {
        self.end == End::Exporter && *self.component == *AGENT_EXPORTER
    }

    /// What it did, such as `exporter datadog failed to send 12 log_records`.
    #[must_use]
    pub fn failed(&self, amounts: &Amounts) -> String {
        let items = match self.signal {
            Signal::Traces => "spans",
            Signal::Metrics => "metric_points",
            Signal::Logs => "log_records",
        };
        let (does, number) = match self.end {
            End::Receiver => ("refused", amounts.lost),
            End::Exporter if amounts.lost > 0.0 => ("failed to send", amounts.lost),
            End::Exporter => ("had no room for", amounts.no_room),
        };
        format!("{self} {does} {number} {items}")
    }

    /// What it does, without a number: the same each time.
    #[must_use]
    pub fn fails(&self) -> String {
        let does = match self.end {
            End::Receiver => "refuses",
            End::Exporter => "fails to send",
        };
        format!("{self} {does} {}", self.signal.as_str())
    }
}

/// The last line of a log that tells why, in the words of whoever refused it: of the component that `lost` begins with,
/// where any is.
#[must_use]
pub fn words<'l>(log: &'l str, lost: &str) -> Option<&'l str> {
    let told = log.lines().rev().filter_map(|line| {
        let error = line.split_once("\terror\t").map(|(_, told)| told);
        let error = error.filter(|told| ["xport", "refused", "ropping"].iter().any(|word| told.contains(word)));
        error.or_else(|| line.split_once("\tinfo\t").map(|(_, told)| told).filter(|told| told.contains(RETRIED)))
    });
    let is_of_it = |told: &&str| {
        let id = told.split_once(COMPONENT).and_then(|(_, rest)| rest.split('"').next());
        id.is_some_and(|id| End::ALL.iter().any(|end| lost.starts_with(&format!("{} {id} ", end.as_str()))))
    };
    told.clone().find(is_of_it).or_else(|| told.clone().next())
}

/// How a Collector tells of what it tries again.
const RETRIED: &str = "Exporting failed. Will retry";
/// In front of the name of whoever tells something.
const COMPONENT: &str = "\"otelcol.component.id\": \"";

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub fn reading(metrics: &str) -> Reading {
        let mut reading = Reading::default();
        metrics.lines().filter_map(Sample::read).for_each(|sample| reading.take(&sample));
        reading
    }

    fn failures(ways: &Ways) -> Vec<String> {
        ways.iter().filter(|(_, amounts)| amounts.failed() > 0.0).map(|(way, amounts)| way.failed(amounts)).collect()
    }

    #[test]
    fn what_is_refused_or_not_sent_is_told_by_whom() {
        let well = "# TYPE otelcol_receiver_refused_spans counter\n\
                    otelcol_receiver_refused_spans_total{receiver=\"otlp\",transport=\"http\"} 0\n\
                    otelcol_receiver_accepted_spans_total{receiver=\"otlp\"} 12\n";
        assert_eq!(failures(&reading(well).since(None)), Vec::<String>::new());
        for (line, told) in [
            (
                "otelcol_exporter_send_failed_log_records{exporter=\"datadog\"} 12",
                "exporter datadog failed to send 12 log_records",
            ),
            (
                "otelcol_receiver_refused_spans_total{receiver=\"otlp\",transport=\"grpc\"} 3",
                "receiver otlp refused 3 spans",
            ),
            (
                "otelcol_receiver_refused_metric_points__datapoints__total{receiver=\"otlp\"} 4",
                "receiver otlp refused 4 metric_points",
            ),
            ("otelcol_exporter_enqueue_failed_spans 1", "it had no room for 1 spans"),
        ] {
            assert_eq!(failures(&reading(&format!("{well}{line}\n")).since(None)), [told], "{line}");
        }
        let twice = "otelcol_receiver_refused_spans{receiver=\"otlp\",transport=\"grpc\"} 3\n\
                     otelcol_receiver_refused_spans{receiver=\"otlp\",transport=\"http\"} 4";
        assert_eq!(failures(&reading(twice).since(None)), ["receiver otlp refused 7 spans"]);
    }

    #[test]
    fn what_came_since_is_told_of_one_that_started_anew_too() {
        let at = |uptime: u32, sent: u32, failed: u32| {
            reading(&format!(
                "otelcol_process_uptime_seconds_total {uptime}\n\
                 otelcol_exporter_sent_spans_total{{exporter=\"x\"}} {sent}\n\
                 otelcol_exporter_send_failed_spans_total{{exporter=\"x\"}} {failed}\n"
            ))
        };
        let of = |now: &Reading, before: Option<&Reading>| {
            let ways = now.since(before);
            let amounts = ways.values().next().expect("one way");
            (amounts.passed, amounts.lost)
        };
        for (before, now, expected) in [
            (None, at(10, 5, 1), (5.0, 1.0)),
            (Some(at(10, 5, 1)), at(20, 9, 1), (4.0, 0.0)),
            // By its uptime, and by a counter alone.
            (Some(at(50, 5, 1)), at(2, 9, 3), (9.0, 3.0)),
            (Some(at(50, 5, 1)), at(60, 4, 1), (4.0, 1.0)),
            // A failure of before isn't one of now.
            (Some(at(10, 5, 8)), at(20, 5, 8), (0.0, 0.0)),
        ] {
            assert_eq!(of(&now, before.as_ref()), expected, "{before:?} {now:?}");
        }
    }

    #[test]
    fn a_queue_of_which_nothing_is_sent_is_tried_in_vain() {
        let at = |sent: u32, size: u32| {
            reading(&format!(
                "otelcol_exporter_sent_spans{{exporter=\"x\"}} {sent}\n\
                 otelcol_exporter_queue_size{{exporter=\"x\",data_type=\"traces\"}} {size}"
            ))
        };
        let share = |before: Reading, now: Reading| now.since(Some(&before)).values().next().and_then(Amounts::share);
        assert_eq!(share(at(5, 3), at(5, 9)), Some(1.0));
        assert_eq!(share(at(5, 3), at(6, 9)), Some(0.0));
        assert_eq!(share(at(5, 0), at(5, 9)), None, "it may be about to go");
        assert_eq!(share(at(5, 3), at(5, 0)), None);
    }

    #[test]
    fn whoever_answers_a_reading_is_small() {
        let line = |n| format!("otelcol_exporter_sent_spans{{exporter=\"{n}\"}} 1");
        let many = (0..10_000).map(line).collect::<Vec<_>>().join("\n");
        assert_eq!(reading(&many).since(None).len(), MAX_WAYS);
    }

    #[test]
    fn the_words_are_those_of_the_last_error() {
        let log = "t\tinfo\tx.go:1\tExporting\n\
                   t\terror\tx.go:2\tExporting failed. Dropping data.\t{\"error\": \"403\"}\n\
                   t\terror\ty.go:3\tsomething else\n";
        let lost = "exporter x failed to send 2 spans";
        assert_eq!(words(log, lost), Some("x.go:2\tExporting failed. Dropping data.\t{\"error\": \"403\"}"));
        assert_eq!(words("nothing", lost), None);
    }

    #[test]
    fn the_words_are_of_the_component_that_is_told_of() {
        let retried = |id: &str, error: &str| {
            format!(
                "t\tinfo\tz.go:4\tExporting failed. Will retry the request after interval.\t\
                     {{\"otelcol.component.id\": \"{id}\", \"error\": \"{error}\"}}\n"
            )
        };
        let log = format!("{}{}{}", retried("x/1", "refused"), retried("x", "no host"), retried("y", "no route"));
        for (lost, error) in [
            ("exporter x fails to send logs", "no host"),
            ("exporter x/1 fails to send logs", "refused"),
            ("exporter z fails to send logs", "no route"),
        ] {
            let told = words(&log, lost).unwrap_or_default();
            assert!(told.starts_with("z.go:4\tExporting failed.") && told.contains(error), "{lost}: {told}");
        }
    }
}

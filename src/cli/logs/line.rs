//! A line of a log, and how it is told.

use std::fmt::Write as _;

use anstyle::Style;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::cli::output::{ATTENTION, BAD, DIM, PLACE, styled};
use crate::k8s::{Container, Pod, ResourceExt as _};

/// Where a line is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    pub namespace: String,
    pub pod: String,
    /// One that takes a name over is another pod.
    pub uid: String,
    pub node: Option<String>,
    pub component: String,
    pub container: String,
    /// Whether others of the pod are shown, too.
    pub is_one_of_several: bool,
}

/// A line, with the time at which the node read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// `None` only where the node gave none.
    pub time: Option<Timestamp>,
    pub text: String,
}

/// What programs get.
#[derive(Serialize)]
struct Record<'a> {
    time: Option<String>,
    pod: &'a str,
    node: Option<&'a str>,
    component: &'a str,
    container: &'a str,
    /// What was logged: an object if it was one, else text.
    log: Value,
}

/// What people aren't told again: the time stands before the line, and where in the program it is from helps nobody.
const LEFT_OUT: [&str; 4] = ["timestamp", "level", "message", "target"];

// === impl Origin ===

impl Origin {
    /// The containers of a pod that are shown: the one of that name, else the first, or where none is named all of them.
    #[must_use]
    pub fn of(pod: &Pod, component: &str, named: Option<&str>) -> Vec<Self> {
        let (Some(spec), Some(uid)) = (pod.spec.as_ref(), pod.uid()) else { return Vec::new() };
        let containers = match named {
            None => spec.containers.iter().collect(),
            Some(name) => {
                let found = spec.containers.iter().find(|container| container.name == name);
                found.or(spec.containers.first()).into_iter().collect::<Vec<_>>()
            }
        };
        let origin = |container: &&Container| Self {
            namespace: pod.namespace().unwrap_or_default(),
            pod: pod.name_any(),
            uid: uid.clone(),
            node: spec.node_name.clone(),
            component: component.to_owned(),
            container: container.name.clone(),
            is_one_of_several: containers.len() > 1,
        };
        containers.iter().map(origin).collect()
    }

    /// What no other has.
    #[must_use]
    pub fn key(&self) -> (&str, &str) {
        (&self.uid, &self.container)
    }

    #[must_use]
    pub fn prefix(&self) -> String {
        let node = self.node.as_deref().unwrap_or("-");
        if self.is_one_of_several {
            format!("{}/{} {node}", self.pod, self.container)
        } else {
            format!("{} {node}", self.pod)
        }
    }
}

// === impl Line ===

impl Line {
    /// Of a log with timestamps: time, a blank, the line.
    #[must_use]
    pub fn parse(raw: &[u8]) -> Self {
        let text = String::from_utf8_lossy(raw);
        let text = text.trim_end_matches('\r');
        match text.split_once(' ').map(|(time, rest)| (time.parse(), rest)) {
            Some((Ok(time), rest)) => Self { time: Some(time), text: rest.to_owned() },
            _ => Self { time: text.parse().ok(), text: text.to_owned() },
        }
    }

    /// For people: pod and node, time, level, message and fields.
    #[must_use]
    pub fn text(&self, origin: &Origin, width: usize) -> String {
        let time = self.time.map_or_else(|| "-".to_owned(), |time| format!("{time:.3}"));
        let mut line = format!("{} {DIM}{time}{DIM:#} ", styled(PLACE, origin.prefix(), width));
        match self.fields() {
            Some(fields) => tell(&mut line, &fields),
            None => line.push_str(&plain(&self.text)),
        }
        line
    }

    /// For programs, on one line.
    #[must_use]
    pub fn json(&self, origin: &Origin) -> String {
        let record = Record {
            time: self.time.map(|time| time.to_string()),
            pod: &origin.pod,
            node: origin.node.as_deref(),
            component: &origin.component,
            container: &origin.container,
            log: self.fields().map_or_else(|| Value::String(self.text.clone()), Value::Object),
        };
        serde_json::to_string(&record).expect("a record is plain data")
    }

    fn fields(&self) -> Option<Map<String, Value>> {
        serde_json::from_str(&self.text).ok()
    }
}

fn tell(line: &mut String, fields: &Map<String, Value>) {
    let text = |key: &str| fields.get(key).and_then(Value::as_str);
    if let Some(level) = text("level") {
        line.push_str(&styled(style(level), plain(level), 5));
        line.push(' ');
    }
    line.push_str(&plain(text("message").unwrap_or_default()));
    for (key, value) in fields.iter().filter(|(key, _)| !LEFT_OUT.contains(&key.as_str())) {
        let value = match value {
            Value::String(value) if !value.is_empty() && !value.contains([' ', '"', '=']) => plain(value),
            other => plain(&other.to_string()),
        };
        write!(line, " {DIM}{}={DIM:#}{value}", plain(key)).expect("a String takes all");
    }
}

fn style(level: &str) -> Style {
    match level {
        "ERROR" => BAD,
        "WARN" => ATTENTION,
        _ => Style::new(),
    }
}

/// A terminal must not act on what somebody logged. Tabs stand between the Collector's words.
fn plain(text: &str) -> String {
    text.replace('\t', " ").replace(char::is_control, "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin() -> Origin {
        Origin {
            namespace: "otelgate".to_owned(),
            pod: "otelgate-webhook-a".to_owned(),
            uid: "u".to_owned(),
            node: Some("node-1".to_owned()),
            component: "webhook".to_owned(),
            container: "webhook".to_owned(),
            is_one_of_several: false,
        }
    }

    fn told(raw: &str) -> String {
        anstream::adapter::strip_str(&Line::parse(raw.as_bytes()).text(&origin(), 28)).to_string()
    }

    #[test]
    fn people_get_level_message_and_fields() {
        let raw = r#"2026-11-02T09:14:33.123456789Z {"timestamp":"x","level":"INFO","message":"listening","server.address":"0.0.0.0","server.port":8443,"why":"a b","target":"otelgate::cli"}"#;
        assert_eq!(
            told(raw),
            "otelgate-webhook-a node-1    2026-11-02T09:14:33.123Z INFO  listening \
             server.address=0.0.0.0 server.port=8443 why=\"a b\""
        );
    }

    #[test]
    fn what_is_no_json_stays_as_it_is() {
        assert_eq!(told("2026-11-02T09:14:33Z not JSON: {").split_once("Z ").expect("a time").1, "not JSON: {");
        assert!(told("no time").ends_with(" - no time"));
        let empty = Line::parse(b"2026-11-02T09:14:33Z");
        assert!(empty.time.is_some());
        assert!(
            told("2026-11-02T09:14:33Z 09:14\tinfo\tready").ends_with("Z 09:14 info ready"),
            "as the Collector logs"
        );
    }

    #[test]
    fn of_several_containers_each_is_named() {
        let origin = Origin { is_one_of_several: true, container: "trace-agent".to_owned(), ..origin() };
        assert_eq!(origin.prefix(), "otelgate-webhook-a/trace-agent node-1");
    }

    #[test]
    fn nothing_logged_steers_the_terminal() {
        for raw in ["2026-11-02T09:14:33Z a\u{1b}[2Jb\u{7}", r#"2026-11-02T09:14:33Z {"message":"a\u001b[2Jb\u0007"}"#]
        {
            let line = Line::parse(raw.as_bytes()).text(&origin(), 0);
            assert!(line.ends_with("a\u{fffd}[2Jb\u{fffd}"), "{line:?}");
        }
    }

    #[test]
    fn programs_get_an_object_a_line() {
        let json =
            |raw: &str| -> Value { serde_json::from_str(&Line::parse(raw.as_bytes()).json(&origin())).expect("JSON") };
        let record = json(r#"2026-11-02T09:14:33.5Z {"message":"listening","n":3}"#);
        assert_eq!(record["time"], "2026-11-02T09:14:33.5Z");
        assert_eq!((&record["pod"], &record["node"]), (&"otelgate-webhook-a".into(), &"node-1".into()));
        assert_eq!(record["log"]["n"], 3);
        assert_eq!(json("2026-11-02T09:14:33.5Z text")["log"], "text");
    }
}

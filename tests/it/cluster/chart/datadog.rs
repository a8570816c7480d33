//! The dashboard and the monitors that Helm renders: what the API server and the real Datadog Operator make of them, and
//! what the operator then asks of Datadog, for whose API a server of this test stands in.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use otelgate::monitoring;
use serde_json::{Value, json};

use super::{name_of, objects, rendered};
use crate::control_plane::plane::Parts;
use crate::control_plane::programs::Helm;
use crate::control_plane::{ControlPlane, Version, datadog_operator, wait_for};

const KINDS: [&str; 2] = ["datadogmonitors", "datadogdashboards"];

/// A request, and what was answered to it.
#[derive(Clone)]
struct Call {
    /// Method and path.
    what: String,
    body: Value,
}

/// What Datadog was asked.
#[derive(Clone, Default)]
struct Api(Arc<Mutex<Vec<Call>>>);

#[test]
fn the_operator_brings_dashboard_and_monitors_to_datadog() {
    let plane = ControlPlane::start(Version::Newest, Parts::ApiServer).unwrap_or_else(|error| panic!("{error}"));
    plane.make_namespace("otelgate", &json!({}), &json!({}));
    // It doesn't start without those that it has for an Agent.
    datadog_operator::define(&plane).unwrap_or_else(|error| panic!("{error}"));
    datadog_operator::define_kinds(&plane, &KINDS).unwrap_or_else(|error| panic!("{error}"));
    let is_ours = |object: &Value| object["apiVersion"] == "datadoghq.com/v1alpha1";
    let wanted: Vec<Value> = objects(&rendered(Helm::Four, "monitoring")).into_iter().filter(is_ours).collect();
    assert_eq!(wanted.len(), monitoring::monitors().len() + 1);
    let list = json!({"apiVersion": "v1", "kind": "List", "items": wanted}).to_string();
    plane
        .kubectl_with(&["apply", "--server-side", "--validate=strict", "-f", "-"], &list)
        .expect("objects as the operator defines them");

    let (api, port) = Api::serve(&plane);
    let further = ["--datadogMonitorEnabled=true", "--datadogDashboardEnabled=true"];
    let _operator = datadog_operator::start_with(&plane, "otelgate", &format!("http://127.0.0.1:{port}"), &further)
        .unwrap_or_else(|error| panic!("{error}"));
    let live = wait_for("Datadog to have everything", || {
        let live = plane.kubectl_with(&["get", "-o", "json", "-f", "-"], &list).json("objects")["items"].take();
        let live = live.as_array().expect("a list").clone();
        live.iter()
            .all(|object| object["status"]["id"].is_number() || object["status"]["syncStatus"] == "OK")
            .then_some(live)
    })
    .unwrap_or_else(|error| panic!("{error}: {:?}", api.calls("").iter().map(|call| &call.what).collect::<Vec<_>>()));

    // Nothing that was set is set otherwise: no pipeline sees a difference that it didn't make.
    let live: BTreeMap<String, &Value> = live.iter().map(|object| (name_of(object), object)).collect();
    for object in &wanted {
        for (field, value) in object["spec"].as_object().expect("a spec") {
            assert_eq!(live[&name_of(object)]["spec"][field], *value, "{} {field}", name_of(object));
        }
    }
    let made = api.calls("POST /api/v1/monitor");
    for object in wanted.iter().filter(|object| object["kind"] == "DatadogMonitor") {
        let call = made.iter().find(|call| call.body["name"] == object["spec"]["name"]);
        let body = &call.unwrap_or_else(|| panic!("{} wasn't made", name_of(object))).body;
        for field in ["query", "type", "message", "priority", "tags"] {
            assert_eq!(body[field], object["spec"][field], "{} {field}", name_of(object));
        }
        let threshold = object["spec"]["options"]["thresholds"]["critical"].as_str().expect("a threshold");
        assert_eq!(body["options"]["thresholds"]["critical"].as_f64(), threshold.parse().ok(), "{}", name_of(object));
        assert!(body["query"].as_str().expect("a query").contains("kube_cluster_name:production"), "{body}");
    }
    let dashboard: Value = serde_json::from_str(monitoring::dashboard()).expect("JSON");
    let made = api.calls("POST /api/v1/dashboard");
    // The operator asks again when it can't write down what came of it.
    assert!(!made.is_empty());
    for Call { body, .. } in &made {
        assert_eq!(body["widgets"], dashboard["widgets"]);
        assert_eq!(body["title"], dashboard["title"]);
    }

    plane.kubectl_with(&["delete", "--timeout=1m", "-f", "-"], &list).expect("the operator lets go of them");
    let deleted: BTreeSet<String> = api.calls("DELETE /api/v1/").into_iter().map(|call| call.what).collect();
    assert_eq!(deleted.len(), wanted.len(), "{deleted:#?}");
}

// === impl Api ===

impl Api {
    /// Beside the API server, until the process ends.
    fn serve(plane: &ControlPlane) -> (Self, u16) {
        let listener = plane.network().inside(|| TcpListener::bind(("127.0.0.1", 0))).expect("a port");
        let port = listener.local_addr().expect("it is bound").port();
        let api = Self::default();
        let shared = api.clone();
        plane.network().spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let api = shared.clone();
                thread::spawn(move || api.answer(stream));
            }
        });
        (api, port)
    }

    /// Those whose method and path begin like that.
    fn calls(&self, what: &str) -> Vec<Call> {
        let calls = self.0.lock().expect("nobody panicked");
        calls.iter().filter(|call| call.what.starts_with(what) && !call.what.contains("validate")).cloned().collect()
    }

    /// One request after the other, until the client goes.
    fn answer(&self, stream: TcpStream) -> Option<()> {
        let mut stream = BufReader::new(stream);
        loop {
            let (what, body) = request(&mut stream)?;
            let answer = self.answer_to(&what, body).to_string();
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{answer}",
                answer.len()
            );
            stream.get_mut().write_all(head.as_bytes()).ok()?;
        }
    }

    /// What was made comes back with an id, and is there until it is deleted.
    fn answer_to(&self, what: &str, body: Value) -> Value {
        let mut calls = self.0.lock().expect("nobody panicked");
        let (method, path) = what.split_once(' ').expect("a method");
        let mut answer = match method {
            "GET" => {
                let id = path.rsplit('/').next().expect("an id").split('?').next().expect("an id").to_owned();
                let made = calls.iter().find(|call| call.what.starts_with("POST") && text(&call.body["id"]) == id);
                made.map(|call| call.body.clone()).unwrap_or_default()
            }
            _ => body,
        };
        if method == "POST" && !path.contains("validate") {
            let number = calls.len() + 1000;
            answer["id"] = if path.contains("monitor") { json!(number) } else { json!(format!("a-{number}")) };
            for time in ["created", "created_at"] {
                answer[time] = "2026-01-01T00:00:00+00:00".into();
            }
        }
        calls.push(Call { what: what.to_owned(), body: answer.clone() });
        answer
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)
}

/// Method and path of a request, and its body.
fn request(stream: &mut BufReader<TcpStream>) -> Option<(String, Value)> {
    let (mut first, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end();
        match line.split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.trim().parse().ok()?,
            _ if line.is_empty() => break,
            _ if first.is_empty() => line.rsplit_once(' ')?.0.clone_into(&mut first),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some((first, serde_json::from_slice(&body).unwrap_or_default()))
}

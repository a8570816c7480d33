//! What an API server answers, well or not, and what is told of it.

use std::sync::{Mutex, PoisonError};

use axum::http::{Request, Response};

use super::*;
use crate::k8s::Body;

/// Answers by a script, and then never again; what it was asked for, and when.
struct Server {
    answers: Mutex<std::vec::IntoIter<(u16, String)>>,
    otherwise: Option<(u16, String)>,
    asked: Mutex<Vec<(String, Instant)>>,
}

impl Server {
    fn new(answers: &[(u16, &str)], otherwise: Option<(u16, &str)>) -> Arc<Self> {
        let answers: Vec<_> = answers.iter().map(|(code, text)| (*code, (*text).to_owned())).collect();
        let otherwise = otherwise.map(|(code, text)| (code, text.to_owned()));
        Arc::new(Self { answers: Mutex::new(answers.into_iter()), otherwise, asked: Mutex::default() })
    }

    fn client(self: &Arc<Self>) -> Client {
        let server = Arc::clone(self);
        let service = tower::service_fn(move |request: Request<Body>| {
            let answer = server.answer(request.uri().to_string());
            async move {
                let Some((code, text)) = answer else { return std::future::pending().await };
                let body = Body::from(text.into_bytes());
                Ok::<_, tower::BoxError>(Response::builder().status(code).body(body).expect("a response"))
            }
        });
        Client::new(service, "default")
    }

    fn answer(&self, uri: String) -> Option<(u16, String)> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push((uri, Instant::now()));
        let next = self.answers.lock().unwrap_or_else(PoisonError::into_inner).next();
        next.or_else(|| self.otherwise.clone())
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).iter().map(|(uri, _)| uri.clone()).collect()
    }
}

fn name(json: &str) -> Option<String> {
    let object: serde_json::Value = serde_json::from_str(json).ok()?;
    Some(object["metadata"]["name"].as_str()?.to_owned())
}

/// What is told in that time, and how often the server was a disappointment.
async fn told(server: &Arc<Server>, within: Duration) -> (Vec<Told<String>>, u64) {
    let health = Arc::new(Health::new("Pod"));
    let (sender, mut receiver) = mpsc::channel(64);
    let (_again, relist) = watch::channel(0);
    let source = Source { path: "/api/v1/pods", fields: Some("a!=b"), read: name };
    let task = tokio::spawn(follow(server.client(), source, Arc::clone(&health), relist, sender));
    sleep(within).await;
    task.abort();
    let mut told = Vec::new();
    while let Some(one) = receiver.recv().await {
        told.push(one);
    }
    (told, health.failures())
}

fn page(names: &[&str], version: &str, next: &str) -> String {
    let items: Vec<_> = names.iter().map(|name| format!(r#"{{"metadata":{{"name":"{name}"}}}}"#)).collect();
    format!(r#"{{"metadata":{{"resourceVersion":"{version}","continue":"{next}"}},"items":[{}]}}"#, items.join(","))
}

fn event(kind: &str, name: &str, version: &str) -> String {
    format!(r#"{{"type":"{kind}","object":{{"metadata":{{"name":"{name}","resourceVersion":"{version}"}}}}}}"#) + "\n"
}

/// A watch that has no answer is given up later than that.
const SHORT: Duration = Duration::from_secs(8);
const EXPIRED: &str =
    r#"{"type":"ERROR","object":{"kind":"Status","code":410,"message":"too old","reason":"Expired"}}"#;
const BOOKMARK: &str =
    r#"{"type":"BOOKMARK","object":{"kind":"Pod","apiVersion":"v1","metadata":{"resourceVersion":"9"}}}"#;

#[tokio::test(start_paused = true)]
async fn it_goes_on_where_it_was_and_lists_again_where_that_is_too_long_ago() {
    let changes = event("ADDED", "c", "6") + &event("DELETED", "a", "7") + BOOKMARK + "\n";
    let server = Server::new(
        &[
            (200, &page(&["a"], "5", "t")),
            (200, &page(&["b"], "5", "")),
            (200, &changes),
            (200, &(event("MODIFIED", "b", "10") + EXPIRED)),
            (200, &page(&["b"], "20", "")),
        ],
        None,
    );
    let (told, _) = told(&server, SHORT).await;
    let is = |name: &str| Told::Is(name.to_owned());
    let expected = [
        Told::Begin,
        is("a"),
        is("b"),
        Told::End,
        is("c"),
        Told::Gone("a".to_owned()),
        is("b"),
        Told::Begin,
        is("b"),
        Told::End,
    ];
    assert_eq!(told, expected);
    let asked = server.asked();
    assert!(asked[0].contains("fieldSelector=a%21%3Db") && asked[0].contains("limit=200"), "{}", asked[0]);
    assert!(asked[1].contains("continue=t"), "{}", asked[1]);
    for (uri, version) in [(&asked[2], "5"), (&asked[3], "9"), (&asked[5], "20")] {
        assert!(uri.contains("watch=true") && uri.ends_with(&format!("resourceVersion={version}")), "{uri}");
    }
    assert!(!asked[4].contains("watch=true") && asked.len() == 6, "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn a_cluster_without_objects_is_one() {
    let empty = r#"{"kind":"PartialObjectMetadataList","metadata":{"resourceVersion":"5"},"items":null}"#;
    let (told, failures) = told(&Server::new(&[(200, empty)], None), SHORT).await;
    assert_eq!((told, failures), (vec![Told::Begin, Told::End], 0));
}

#[tokio::test(start_paused = true)]
async fn a_list_that_breaks_off_takes_nothing_away() {
    let gone =
        r#"{"kind":"Status","status":"Failure","code":410,"reason":"Expired","message":"the token has expired"}"#;
    let server = Server::new(&[(200, &page(&["a"], "5", "t")), (410, gone), (200, &page(&["a"], "6", ""))], None);
    let (told, failures) = told(&server, SHORT).await;
    let a = || Told::Is("a".to_owned());
    assert_eq!(told, [Told::Begin, a(), Told::Begin, a(), Told::End]);
    assert_eq!(failures, 1);
}

#[tokio::test(start_paused = true)]
async fn a_server_in_trouble_isnt_stormed() {
    let list = page(&[], "5", "");
    let many = r#"{"kind":"Status","status":"Failure","code":429,"reason":"TooManyRequests","message":"later"}"#;
    for (answers, otherwise) in [
        (vec![], (500, "no")),
        (vec![], (429, many)),
        (vec![], (403, "forbidden")),
        (vec![], (200, "{")),
        (vec![(200, list.as_str())], (500, "no")),
        // Watches that end as soon as they begin.
        (vec![(200, list.as_str())], (200, "")),
        // Everything expires at once: lists and watches alternate.
        (vec![(200, list.as_str()), (200, EXPIRED), (200, list.as_str()), (200, EXPIRED)], (200, EXPIRED)),
    ] {
        let server = Server::new(&answers, Some(otherwise));
        told(&server, Duration::from_mins(1)).await;
        let calls = server.asked().len();
        assert!((5..=22).contains(&calls), "{calls} calls in a minute: {answers:?} {otherwise:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_right_that_has_gone_is_told_until_it_is_back() {
    let message = r#"pods is forbidden: User "u" cannot watch resource "pods" in API group "" at the cluster scope"#;
    let forbidden = serde_json::json!({"status": "Failure", "message": message, "reason": "Forbidden", "code": 403});
    let forbidden = forbidden.to_string();
    let list = page(&["a"], "7", "");
    let answers = [(200, list.as_str()), (403, forbidden.as_str()), (403, forbidden.as_str()), (200, "")];
    let server = Server::new(&answers, None);
    let health = Arc::new(Health::new("Pod"));
    let (sender, mut receiver) = mpsc::channel(64);
    let (_again, relist) = watch::channel(0);
    let source = Source { path: "/api/v1/pods", fields: None, read: name };
    let task = tokio::spawn(follow(server.client(), source, Arc::clone(&health), relist, sender));
    while receiver.recv().await != Some(Told::End) {}
    let mut told = Vec::new();
    while server.asked().len() <= answers.len() {
        sleep(Duration::from_millis(50)).await;
        told.push(health.unseen());
    }
    task.abort();
    told.dedup();
    assert_eq!(told, [Some("not allowed to watch pods in the whole cluster".to_owned()), None]);
    let lists = server.asked().iter().filter(|uri| !uri.contains("watch=true")).count();
    assert_eq!(lists, 1, "it goes on where it was: {:?}", server.asked());
}

#[test]
fn an_event_is_read_as_text() {
    let event = |line: &str| serde_json::from_str::<WatchEvent<Box<RawValue>>>(line).expect("an event");
    let object = r#"{"metadata":{"name":"a","resourceVersion":"7"}}"#;
    let WatchEvent::Deleted(text) = event(&format!(r#"{{"type":"DELETED","object":{object}}}"#)) else {
        panic!("it is deleted");
    };
    assert_eq!(text.get(), object);
    let WatchEvent::Error(status) = event(EXPIRED) else { panic!("an error") };
    assert!(matches!(End::of(k8s::Error::Api(status)), End::Expired));
}

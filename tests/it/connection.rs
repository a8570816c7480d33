//! What commands say when there is no way to a cluster.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn otelgate(home: &Path, kubeconfig: Option<&Path>, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_otelgate"));
    command.args(arguments).env("HOME", home).env_remove("KUBECONFIG").env_remove("KUBERNETES_SERVICE_HOST");
    if let Some(path) = kubeconfig {
        command.env("KUBECONFIG", path);
    }
    command.output().expect("the program runs")
}

/// Exit code 2, one error with a next step, and none of the words that only programmers know.
#[track_caller]
fn says(output: &Output, words: &[&str]) {
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(output.stdout.is_empty(), "{output:?}");
    assert!(told.starts_with("error: ") && told.contains("next: "), "{told}");
    for word in words {
        assert!(told.contains(word), "{word:?} is missing in {told}");
    }
    assert!(!told.contains("os error") && !told.contains("Error("), "{told}");
}

fn kubeconfig(server: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters: [{{name: c, cluster: {{server: \"{server}\"}}}}]\n\
         contexts: [{{name: c, context: {{cluster: c, user: u}}}}]\nusers: [{{name: u, user: {{token: hunter2}}}}]\n"
    )
}

#[test]
fn without_a_way_to_a_cluster_commands_say_where_they_looked() {
    let home = tempfile::tempdir().expect("a folder");
    let file = home.path().join("config");
    let missing = home.path().join("missing");
    for command in ["check", "status"] {
        says(&otelgate(home.path(), None, &[command]), &["neither $KUBECONFIG nor ~/.kube/config is there"]);
        says(&otelgate(home.path(), Some(&missing), &[command]), &["missing", "no such file or directory"]);
        let named = ["--kubeconfig", missing.to_str().expect("UTF-8")];
        says(&otelgate(home.path(), None, &[command, named[0], named[1]]), &["missing", "no such file or directory"]);
        // Nothing listens on the port of nobody.
        fs::write(&file, kubeconfig("https://127.0.0.1:1")).expect("a file");
        says(&otelgate(home.path(), Some(&file), &[command]), &["https://127.0.0.1:1", "nothing listens there"]);
        says(&otelgate(home.path(), Some(&file), &[command, "--context", "x"]), &["it has no context x"]);
    }
}

/// Each names what it has itself, and what would do.
#[test]
fn servers_outside_of_a_cluster_say_what_they_need() {
    const POD: &str = "this isn't a pod with a service account; give --kubeconfig";
    let home = tempfile::tempdir().expect("a folder");
    let files = ["--tls-cert", "c", "--tls-key", "k"];
    let cases: [(&[&str], String); 5] = [
        (&["controller", "--identity", "a"], format!("controller: {POD}\n")),
        (
            &["webhook", "--tls-secret", "a"],
            format!(
                "webhook: {POD}, or --no-namespaces and files instead of --tls-secret and --config-map to do without the \
                 cluster\n"
            ),
        ),
        (
            &["webhook", "--tls-secret", "a", "--no-namespaces"],
            format!("webhook: {POD}, or files instead of --tls-secret and --config-map to do without the cluster\n"),
        ),
        (
            &["webhook", files[0], files[1], files[2], files[3], "--config-map", "a", "--no-namespaces"],
            format!("webhook: {POD}, or files instead of --tls-secret and --config-map to do without the cluster\n"),
        ),
        (
            &["webhook", files[0], files[1], files[2], files[3]],
            format!("webhook: {POD}, or --no-namespaces to do without the cluster\n"),
        ),
    ];
    for (arguments, told) in cases {
        let output = otelgate(home.path(), None, arguments);
        assert_eq!(output.status.code(), Some(64), "{output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), format!("otelgate {told}"), "{arguments:?}");
    }
}

/// Parsers show the lines around a fault, and in a kubeconfig a token is likely to stand in one of them.
#[test]
fn a_malformed_kubeconfig_is_named_and_not_shown() {
    let home = tempfile::tempdir().expect("a folder");
    let file = home.path().join("config");
    let path = file.to_str().expect("UTF-8");
    for (text, place) in [
        ("users:\n- name: a\n  user:\n    token: hunter2\n   x: [\n", "line 5, column 4"),
        ("users:\n- name: a\n  user: hunter2\n", "line 3, column 9"),
        ("clusters: {", "line 1, column"),
    ] {
        fs::write(&file, text).expect("a file");
        let output = otelgate(home.path(), Some(&file), &["status"]);
        says(&output, &[path, place]);
        assert!(!String::from_utf8_lossy(&output.stderr).contains("hunter2"), "{output:?}");
        let servers: [&[&str]; 2] = [&["controller", "--identity", "a"], &["webhook", "--tls-secret", "a"]];
        for server in servers {
            let output = otelgate(home.path(), None, &[server, &["--kubeconfig", path]].concat());
            assert_eq!(output.status.code(), Some(64), "{output:?}");
            let told =
                format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            assert!(told.contains(path) && told.contains(place) && !told.contains("hunter2"), "{told}");
        }
    }
}

/// What a plugin prints may well be a token; what it says to people is told.
#[test]
fn a_plugin_that_gives_no_credentials_is_told_without_its_output() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = tempfile::tempdir().expect("a folder");
    let (file, plugin) = (home.path().join("config"), home.path().join("plugin"));
    let user = format!(
        "{{exec: {{command: {}, apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never}}}}",
        plugin.display()
    );
    fs::write(&file, kubeconfig("https://127.0.0.1:1").replace("{token: hunter2}", &user)).expect("a file");
    says(&otelgate(home.path(), Some(&file), &["status"]), &["can't be run: no such file or directory"]);
    let credential = "{\"apiVersion\": \"client.authentication.k8s.io/v1\", \"kind\": \"ExecCredential\", \"status\": ";
    for (script, words) in [
        ("echo hunter2; echo 'please log in' >&2; exit 3".to_owned(), "fails (exit status: 3): please log in"),
        (format!("echo '{credential} {{\"token\": [\"hunter2\"]}}}}'"), "answers with what are no credentials"),
    ] {
        fs::write(&plugin, format!("#!/bin/sh\n{script}\n")).expect("a script");
        fs::set_permissions(&plugin, fs::Permissions::from_mode(0o755)).expect("a script that runs");
        let output = otelgate(home.path(), Some(&file), &["status"]);
        says(&output, &["the plugin that the kubeconfig names", words]);
        assert!(!String::from_utf8_lossy(&output.stderr).contains("hunter2"), "{output:?}");
    }
}

/// Also where what comes later may be silent for as long as it likes.
#[test]
fn an_api_server_that_never_answers_is_given_up() {
    let home = tempfile::tempdir().expect("a folder");
    let file = home.path().join("config");
    // Connections wait to be accepted, and nobody does.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let server = format!("http://{}", silent.local_addr().expect("an address"));
    fs::write(&file, kubeconfig(&server)).expect("a file");
    std::thread::scope(|scope| {
        for command in [&["status"][..], &["logs"], &["logs", "--follow"]] {
            let (home, file, server) = (home.path(), &file, &server);
            scope.spawn(move || says(&otelgate(home, Some(file), command), &[server, "no answer"]));
        }
    });
}

/// What answers each request on a port, as a proxy before it or the API server would.
fn answering(status: &'static str, kind: &'static str, body: &'static str) -> String {
    use std::io::{BufRead as _, BufReader, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    // It ends with the test's process.
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let lines = BufReader::new(stream.try_clone().expect("the connection")).lines();
            let _ = lines.take_while(|line| line.as_ref().is_ok_and(|line| !line.is_empty())).count();
            let length = body.len();
            let _ = write!(
                stream,
                "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            );
        }
    });
    address
}

#[test]
fn a_page_to_log_in_is_no_api_server() {
    let home = tempfile::tempdir().expect("a folder");
    let file = home.path().join("config");
    for status in ["200 OK", "302 Found", "403 Forbidden"] {
        let server = answering(status, "text/html", "<!DOCTYPE html><title>Log in</title>");
        fs::write(&file, kubeconfig(&server)).expect("a file");
        for command in [&["status"][..], &["check"], &["logs"], &["logs", "--follow"]] {
            let output = otelgate(home.path(), Some(&file), command);
            says(&output, &[&server, "no Kubernetes API server", "see whether a Kubernetes API server answers there"]);
            let told = String::from_utf8_lossy(&output.stderr);
            assert_eq!(told.matches("error: ").count(), 1, "{told}");
        }
    }
}

#[test]
fn a_port_without_tls_is_told() {
    let home = tempfile::tempdir().expect("a folder");
    let file = home.path().join("config");
    let server = answering("400 Bad Request", "text/plain", "no").replace("http://", "https://");
    fs::write(&file, kubeconfig(&server)).expect("a file");
    says(&otelgate(home.path(), Some(&file), &["status"]), &[&server, "what answers there doesn't speak TLS"]);
}

/// Each call fails by it.
#[test]
fn what_several_calls_fail_by_is_said_once() {
    let home = tempfile::tempdir().expect("a folder");
    let file = home.path().join("config");
    let refusal = r#"{"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "not you", "code": 403}"#;
    let server = answering("403 Forbidden", "application/json", refusal);
    fs::write(&file, kubeconfig(&server)).expect("a file");
    for command in [&["logs"][..], &["logs", "--follow"]] {
        let output = otelgate(home.path(), Some(&file), command);
        says(&output, &[&server, "the API server refused: not you"]);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(told.matches("error: ").count(), 1, "{told}");
    }
}

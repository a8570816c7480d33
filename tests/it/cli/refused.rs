//! Input, paths and usage that no command can do anything with.

use std::fs;

use super::{POD, fed, otelgate, otelgate_on, printed, told};

/// Gives a file to `inject` beside a good one; it must say that, and print nothing.
fn refused(name: &str, content: &[u8], says: &[&str]) {
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join("a-good.yaml"), POD).expect("written");
    fs::write(directory.path().join(name), content).expect("written");
    for command in [&["inject", "-f", "."][..], &["inject", "--undo", "-f", "."], &["explain", "-f", "."]] {
        let output = otelgate(directory.path(), command);
        let stderr = told(&output);
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(output.stdout.is_empty(), "half an output: {}", printed(&output));
        for part in says.iter().chain(&["error: ", "next: "]) {
            assert!(stderr.contains(part), "{part:?} isn't in {stderr}");
        }
    }
}

#[test]
fn faulty_inputs_name_file_line_and_next_step_and_give_no_output() {
    refused("x.yaml", b"a: 1\nb: [1,\n", &["./x.yaml:", "not YAML"]);
    refused("x.json", b"{\"a\": 1\n\"b\": 2}", &["./x.json:2:1: not JSON"]);
    for behind in ["trailing", "}", ", {}", "\n\n        ]"] {
        let text = format!("{{\"a\": 1}}{}{behind}", if behind.starts_with('\n') { "" } else { " " });
        let place = if behind.starts_with('\n') { "3:9" } else { "1:10" };
        refused("x.json", text.as_bytes(), &[&format!("./x.json:{place}: not JSON: text stands behind the object")]);
    }
    refused("x.yaml", b"a:\n  b: 1\n  b: 2\n", &["./x.yaml:3:3: the key \"b\" stands twice"]);
    refused("x.yaml", b"kind: Pod\nmetadata:\n  name: {{ .Release.Name }}\n", &["./x.yaml:3:", "helm template"]);
    refused("x.yaml", b"a: &a [*a]\n", &["./x.yaml:1:8: an alias stands inside the value it names"]);
    refused("x.yaml", b"k\0i\0n\0d\0:\0 \0P\0o\0d\0\n\0", &["./x.yaml:1:1: the text is UTF-16", "iconv"]);
    refused("x.yaml", b"a: 1\nb: \xff\n", &["./x.yaml:2:1: the text is not UTF-8"]);
    refused("x.yaml", b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03 binary, packed", &["./x.yaml:1:1: "]);
    refused("x.yaml", b"a: 1\n---b: 2\n", &["./x.yaml:2:1: a line begins with ---"]);
    let bomb = (0..30).fold("a0: &a0 [x, x]\n".to_owned(), |text, i| {
        text + &format!("a{}: &a{} [{}]\n", i + 1, i + 1, vec![format!("*a{i}"); 9].join(", "))
    });
    refused("x.yaml", bomb.as_bytes(), &["./x.yaml:", "aliases make more than"]);
    refused("x.yaml", &vec![b'#'; 64 * 1024 * 1024 + 1], &["./x.yaml:1:1: the input is larger than 64 MiB"]);
    refused(
        "x.yaml",
        b"apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  containers:\n  - name: a\n    env: [{name: A, value: 1}]\n",
        &["./x.yaml:7: Pod p: spec.containers[0].env[0].value must be a string, and is an integer", "quote it"],
    );
    for (spec, says) in [
        ("containers: {}", "x.yaml:5: Pod p: spec.containers must be a list, and is a map"),
        ("containers: [null]", "spec.containers[0] must be a map, and is null"),
        ("containers: [[a, b]]", "spec.containers[0] must be a map, and is a list"),
        ("containers: [{name: [a]}]", "spec.containers[0].name must be a string, and is a list"),
        ("containers: [{name: a, env: [x]}]", "spec.containers[0].env[0] must be a map, and is a string"),
        ("containers: [{name: a, envFrom: {}}]", "spec.containers[0].envFrom must be a list, and is a map"),
        ("nodeSelector: {a/b: {}}", "spec.nodeSelector[a/b] must be a string, and is a map"),
        ("hostNetwork: 0.5", "spec.hostNetwork must be a boolean, and is a number"),
        ("os: linux", "spec.os must be a map, and is a string"),
        ("containers:\n  - name: a\n  - image: x", "x.yaml:7: Pod p: spec.containers[1] has no name"),
        ("containers: [{name: ''}]", "spec.containers[0] has no name"),
        (
            "containers:\n  - name: a\n  - image: x\n    name: a",
            "x.yaml:8: Pod p: spec.containers[1] has the name of spec.containers[0]",
        ),
        (
            "containers: [{name: a}]\n  initContainers: [{name: a}]",
            "spec.initContainers[0] has the name of spec.containers[0]",
        ),
    ] {
        let pod = format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: p}}\nspec:\n  {spec}\n");
        refused("x.yaml", pod.as_bytes(), &[says]);
    }
    for (metadata, says) in [
        ("{name: d, namespace: n}", "Deployment d: metadata.namespace must be a string, and is a boolean"),
        ("{name: d}", "Deployment d: spec.template.spec.containers[0].image must be a string, and is an integer"),
    ] {
        let deployment = format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {metadata}\nspec: {{template: {{spec: {{containers: [{{name: a, image: 1}}]}}}}}}\n"
        );
        refused("x.yaml", deployment.as_bytes(), &[says]);
    }
    for (kind, spec, says) in [
        ("Deployment", "\n  template: x", "5: Deployment w: spec.template must be a map, and is a string"),
        ("Deployment", "{template: [a]}", "4: Deployment w: spec.template must be a map, and is a list"),
        ("StatefulSet", " 1", "4: StatefulSet w: spec must be a map, and is an integer"),
        ("DaemonSet", "{template: {spec: x}}", "4: DaemonSet w: spec.template.spec must be a map, and is a string"),
    ] {
        let workload = format!("apiVersion: apps/v1\nkind: {kind}\nmetadata: {{name: w}}\nspec: {spec}\n");
        refused("x.yaml", workload.as_bytes(), &[&format!("./x.yaml:{says}")]);
    }
    let job = b"apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: c}\nspec: {jobTemplate: {spec: yes}}\n";
    refused("x.yaml", job, &["./x.yaml:4: CronJob c: spec.jobTemplate.spec must be a map, and is a boolean"]);
    for (metadata, says) in [
        (
            "labels:\n    otelgate.dev/inject: on",
            "5: Namespace shop: metadata.labels[otelgate.dev/inject] must be a string, and is a boolean",
        ),
        (
            "annotations:\n    otelgate.dev/sampler-arg: 0.5",
            "5: Namespace shop: metadata.annotations[otelgate.dev/sampler-arg] must be a string, and is a number",
        ),
        ("labels: [a]", "4: Namespace shop: metadata.labels must be a map, and is a list"),
    ] {
        let namespace = format!("apiVersion: v1\nkind: Namespace\nmetadata:\n  {metadata}\n  name: shop\n");
        refused("x.yaml", namespace.as_bytes(), &[&format!("./x.yaml:{says}")]);
    }
    for (good, template, says) in [
        ("  name: p", "  name: \"{{ .Release.Name }}-p\"", "4: Pod shop/{{ .Release.Name }}-p: metadata.name is"),
        ("namespace: shop", "namespace: x-{{ .Values.y }}", "5: Pod x-{{ .Values.y }}/p: metadata.namespace is"),
        ("  name: p", "  labels: {a: \"{{ b }}\"}\n  name: p", "4: Pod shop/p: metadata.labels[a] is"),
        ("- name: main", "- name: main-{{ .x }}", "8: Pod shop/p: spec.containers[0].name is"),
        ("nginx:1.27", "nginx:{{ .Values.tag }}", "9: Pod shop/p: spec.containers[0].image is"),
    ] {
        let says = format!("./x.yaml:{says} a template that wasn't rendered: {{{{ … }}}}");
        refused("x.yaml", POD.replace(good, template).as_bytes(), &[&says, "helm template"]);
    }
    let short = POD.replace("shop", "n");
    refused(
        "x.yaml",
        short.as_bytes(),
        &["./x.yaml:5: Pod p: metadata.namespace must be a string, and is a boolean", "y, n, yes"],
    );
}

#[test]
fn a_status_that_cannot_be_read_is_not_replaced() {
    let directory = tempfile::tempdir().expect("a directory");
    let once = otelgate_on(directory.path(), &["inject", "-q", "--opt-in", "-f", "-"], POD);
    let (head, tail) = once.split_once("otelgate.dev/status: '{").expect("a status");
    let broken = format!("{head}otelgate.dev/status: '{tail}");
    let line = head.lines().count();
    for args in [&["inject", "--opt-in", "-f", "-"][..], &["inject", "--undo", "-f", "-"]] {
        let output = fed(directory.path(), args, broken.as_bytes());
        assert_eq!((output.status.code(), printed(&output).as_str()), (Some(2), ""));
        let says = format!(
            "error: standard input:{line}: Pod shop/p: the annotation otelgate.dev/status can't be read\n       next: restore it from"
        );
        assert!(told(&output).contains(&says), "{}", told(&output));
    }
    // Nothing is replaced where nothing is injected.
    assert_eq!(otelgate_on(directory.path(), &["inject", "-q", "-f", "-"], &broken), broken);
}

#[test]
fn all_faulty_files_are_named_at_once() {
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join("a.yaml"), "a: [\n").expect("written");
    fs::write(directory.path().join("b.yaml"), "a: 1\na: 2\n").expect("written");
    let output = otelgate(directory.path(), &["inject", "-f", "a.yaml", "-f", "b.yaml", "-f", "missing.yaml"]);
    assert!(told(&output).contains("missing.yaml: no such file or directory"), "{}", told(&output));
    let output = otelgate(directory.path(), &["inject", "-f", "a.yaml", "-f", "b.yaml"]);
    assert!(
        told(&output).contains("error: a.yaml:") && told(&output).contains("error: b.yaml:2:1:"),
        "{}",
        told(&output)
    );
}

#[test]
fn paths_that_cannot_be_read_say_why() {
    let directory = tempfile::tempdir().expect("a directory");
    fs::create_dir(directory.path().join("empty")).expect("made");
    fs::create_dir_all(directory.path().join("deep/below")).expect("made");
    fs::write(directory.path().join("deep/below/p.yaml"), POD).expect("written");
    for (path, says) in [
        ("missing.yaml", "missing.yaml: no such file or directory"),
        ("empty", "empty: the directory has no .yaml, .yml or .json file"),
        ("deep", "give -R to look into the directories below"),
        ("https://example.com/pod.yaml", "reads no network"),
    ] {
        let output = otelgate(directory.path(), &["inject", "-f", path]);
        assert_eq!(output.status.code(), Some(2));
        assert!(told(&output).contains(says), "{}", told(&output));
        assert!(!told(&output).contains("os error"), "{}", told(&output));
    }
    let output = otelgate(directory.path(), &["inject", "-R", "-f", "deep"]);
    assert_eq!((output.status.code(), printed(&output)), (Some(0), POD.to_owned()));
}

#[test]
fn standard_input_is_not_read_twice() {
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join("p.yaml"), POD).expect("written");
    let input = b"apiVersion: otelgate.dev/v1alpha1\nkind: InjectionConfiguration\n";
    for args in [
        &["inject", "-f", "-", "-c", "-"][..],
        &["inject", "--undo", "-c", "-", "-f", "p.yaml", "-f", "-"],
        &["explain", "-f", "-", "-f", "p.yaml", "--config=-"],
    ] {
        let output = fed(directory.path(), args, input);
        assert_eq!((output.status.code(), printed(&output).as_str()), (Some(64), ""), "{args:?}");
        let says =
            "error: standard input can't be the manifests and the configuration at once\n       next: give one of";
        assert!(told(&output).starts_with(says), "{}", told(&output));
    }
    for args in [&["inject", "-q", "-f", "p.yaml", "-c", "-"][..], &["explain", "-f", "p.yaml", "-c", "-"]] {
        let output = fed(directory.path(), args, input);
        assert_eq!((output.status.code(), told(&output).as_str()), (Some(0), ""), "{args:?}");
    }
}

#[test]
fn faulty_configurations_and_wrong_usage_have_their_own_exit_codes() {
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join("p.yaml"), POD).expect("written");
    for (text, says) in [
        ("", "c.yaml: the configuration is empty; a minimal one has the lines `apiVersion: otelgate.dev/v1alpha1`"),
        (
            "apiVersion: otelgate.dev/v1alpha1\nkind: InjectionConfiguration\notlp: {protcol: grpc}\n",
            "c.yaml:3:8: otlp.protcol: unknown key; did you mean protocol?",
        ),
        (
            "apiVersion: otelgate.dev/v1\nkind: InjectionConfiguration\npropagators: [b4]\n",
            "c.yaml: apiVersion: \"otelgate.dev/v1\" isn't known; this version reads otelgate.dev/v1alpha1; propagators: ",
        ),
    ] {
        fs::write(directory.path().join("c.yaml"), text).expect("written");
        let output = otelgate(directory.path(), &["inject", "-c", "c.yaml", "-f", "p.yaml"]);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0));
        assert!(told(&output).contains(says), "{}", told(&output));
    }
    for args in [&["inject"][..], &["inject", "-f", "p.yaml", "--udno"], &["explain", "-f", "p.yaml", "-o", "xml"], &[]]
    {
        let output = otelgate(directory.path(), args);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(64), 0), "{}", told(&output));
    }
    for name in ["", "Shop", "a/b", "shop.east", &"n".repeat(64)] {
        for args in [
            &["inject", "-f", "p.yaml", "-n", name][..],
            &["explain", "-f", "p.yaml", "-n", name],
            &["status", "-n", name],
            &["check", "--otelgate-namespace", name],
        ] {
            let output = otelgate(directory.path(), args);
            assert_eq!((output.status.code(), output.stdout.len()), (Some(64), 0), "{args:?}: {}", told(&output));
            assert!(told(&output).contains(&format!("{name:?} is no name of a namespace")), "{}", told(&output));
        }
    }
}

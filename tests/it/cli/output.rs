//! What is printed, and where to: streams, terminals, closed pipes.

use std::fs;
use std::process::{Command, Output, Stdio};

use super::{POD, fed, otelgate, otelgate_on, printed, told};

#[test]
fn a_difference_has_the_ends_of_the_lines() {
    let directory = tempfile::tempdir().expect("a directory");
    for end in ["\n", "\r\n"] {
        let pod = POD.replace('\n', end);
        fs::write(directory.path().join("p.yaml"), pod.trim_end()).expect("written");
        let args = ["inject", "-q", "--opt-in", "-f", "p.yaml"];
        let whole = otelgate_on(directory.path(), &args, "");
        let diff = otelgate_on(directory.path(), &[&args[..], &["--diff"]].concat(), "");
        let of = |sign: char| -> String {
            let body = diff.split_inclusive('\n').skip_while(|line| !line.starts_with("@@"));
            body.filter_map(|line| line.strip_prefix([' ', sign])).collect()
        };
        let lacking = |text: &str| format!("{}\n", text.trim_end());
        // The first lines are no context.
        for (side, text) in [(of('-'), lacking(&pod)), (of('+'), lacking(&whole))] {
            assert!(side.contains("image: nginx:1.27") && text.ends_with(&side), "{diff}");
        }
        assert_eq!(diff.matches("\n\\ No newline at end of file\n").count(), 2, "{diff}");
    }
}

#[test]
fn a_file_under_two_names_is_printed_once() {
    let directory = tempfile::tempdir().expect("a directory");
    fs::create_dir(directory.path().join("d")).expect("made");
    fs::write(directory.path().join("d/p.yaml"), POD).expect("written");
    std::os::unix::fs::symlink("d/p.yaml", directory.path().join("link.yaml")).expect("linked");
    let absolute = directory.path().join("d/p.yaml");
    let names = ["d/p.yaml", "./d/p.yaml", "d/../d/p.yaml", "d", "link.yaml", absolute.to_str().expect("UTF-8")];
    let args: Vec<&str> = ["inject", "-q"].into_iter().chain(names.into_iter().flat_map(|name| ["-f", name])).collect();
    assert_eq!(otelgate_on(directory.path(), &args, ""), POD);
    // Standard input is no file of that name.
    fs::write(directory.path().join("-"), POD).expect("written");
    assert_eq!(
        otelgate_on(directory.path(), &["inject", "-q", "-f", "-", "-f", "./-"], POD),
        format!("{POD}---\n{POD}")
    );
}

#[test]
fn many_files_are_written_and_told_as_each_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    // Large enough together for several threads.
    let padding = format!("# {}\n", "x".repeat(70)).repeat(80);
    let names: Vec<_> = (0..30).map(|index| format!("{index:02}.yaml")).collect();
    let write = |name: &str, from: &str, to: &str| {
        let pod = POD.replace("name: p\n", &format!("name: p{name}\n")).replace(from, to);
        fs::write(directory.path().join(name), format!("---\n{padding}{pod}")).expect("written");
    };
    for name in &names {
        write(name, "", "");
    }
    let run = |args: &[&str], names: &[String]| {
        let files = names.iter().flat_map(|name| ["-f", name]);
        otelgate(
            directory.path(),
            &["inject", "--opt-in"].into_iter().chain(args.to_owned()).chain(files).collect::<Vec<_>>(),
        )
    };
    // The last line of a report is its sum.
    let without_sum = |output: &Output| told(output).trim_end().rsplit_once('\n').expect("lines").0.to_owned() + "\n";
    let all = run(&[], &names);
    let alone: Vec<_> = names.iter().map(|name| run(&[], std::slice::from_ref(name))).collect();
    assert_eq!(printed(&all), alone.iter().map(printed).collect::<String>());
    assert_eq!(without_sum(&all), alone.iter().map(without_sum).collect::<String>());
    assert_eq!(run(&["--check", "-q"], &names).status.code(), Some(1));
    let original = names.iter().map(|name| fs::read_to_string(directory.path().join(name)).expect("there"));
    let original: String = original.collect();
    for (name, output) in names.iter().zip(&alone) {
        fs::write(directory.path().join(name), printed(output)).expect("written");
    }
    let files = names.iter().flat_map(|name| ["-f", name]);
    let undo: Vec<_> = ["inject", "--undo", "-q"].into_iter().chain(files).collect();
    assert_eq!(otelgate_on(directory.path(), &undo, ""), original);
    assert_eq!(run(&["--check", "-q"], &names).status.code(), Some(0));
    for name in ["21.yaml", "09.yaml", "28.yaml"] {
        write(name, "nginx:1.27", "1");
    }
    let all = run(&[], &names);
    assert_eq!((all.status.code(), printed(&all).as_str()), (Some(2), ""));
    let faulty = ["09.yaml", "21.yaml", "28.yaml"].map(str::to_owned);
    let alone = faulty.map(|name| told(&run(&[], &[name])));
    assert_eq!(told(&all), alone.concat());
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let directory = tempfile::tempdir().expect("a directory");
    let many = POD.replace("apiVersion", "---\napiVersion").repeat(20_000);
    fs::write(directory.path().join("many.yaml"), many).expect("written");
    let mut child = Command::new(env!("CARGO_BIN_EXE_otelgate"))
        .args(["inject", "-q", "-f", "many.yaml"])
        .current_dir(directory.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("the program ends");
    assert_eq!(output.status.code(), Some(0), "{:.500}", told(&output));
    assert_eq!(told(&output), "");
}

#[test]
fn a_result_that_cannot_be_written_has_an_exit_code_of_its_own() {
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join("p.yaml"), POD).expect("written");
    for args in [
        &["inject", "--opt-in", "-f", "p.yaml"][..],
        &["inject", "--opt-in", "--diff", "-f", "p.yaml"],
        &["explain", "-f", "p.yaml"],
        &["completions", "bash"],
        &["man"],
    ] {
        let full = fs::File::options().write(true).open("/dev/full").expect("Linux has it");
        let output = Command::new(env!("CARGO_BIN_EXE_otelgate"))
            .args(args)
            .current_dir(directory.path())
            .stdout(full)
            .output()
            .expect("the program ends");
        assert_eq!(output.status.code(), Some(74), "{}", told(&output));
        assert_eq!(
            told(&output),
            "error: standard output can't be written: no space left on device; see whether there is room for it\n"
        );
    }
}

#[test]
fn colours_are_for_terminals_and_for_those_who_force_them() {
    let directory = tempfile::tempdir().expect("a directory");
    let run = |variable: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_otelgate"));
        command.args(["inject", "--diff", "--opt-in", "-f", "p.yaml"]).current_dir(directory.path());
        command.env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE").env(variable, "1");
        let output = command.output().expect("the program runs");
        (printed(&output).contains('\u{1b}'), told(&output).contains('\u{1b}'))
    };
    fs::write(directory.path().join("p.yaml"), POD).expect("written");
    assert_eq!(run("UNRELATED"), (false, false));
    assert_eq!(run("NO_COLOR"), (false, false));
    assert_eq!(run("CLICOLOR_FORCE"), (true, true));
}

#[test]
fn the_users_own_values_are_never_shown() {
    let directory = tempfile::tempdir().expect("a directory");
    let secret = POD.replace(
        "    image",
        "    env:\n    - {name: OTEL_RESOURCE_ATTRIBUTES, value: 'token=hunter2'}\n    - {name: OTEL_SERVICE_NAME, value: hunter2}\n    image",
    );
    for args in [
        &["explain", "--opt-in", "-f", "-"][..],
        &["explain", "--opt-in", "-o", "json", "-f", "-"],
        &["inject", "--opt-in", "--check", "-f", "-"],
    ] {
        let output = fed(directory.path(), args, secret.as_bytes());
        assert!(!told(&output).contains("token"), "{}", told(&output));
        assert!(!printed(&output).contains("token"), "{}", printed(&output));
    }
    let invalid = secret.replace("value: hunter2", "value: [hunter2]").replace("name: main", "name: 4711");
    let output = fed(directory.path(), &["inject", "-f", "-"], invalid.as_bytes());
    assert!(!told(&output).contains("hunter2") && !told(&output).contains("4711"), "{}", told(&output));
}

#[test]
fn check_reports_an_annotation_of_another_version() {
    let directory = tempfile::tempdir().expect("a directory");
    let ours = otelgate_on(directory.path(), &["inject", "--opt-in", "-q", "-f", "-"], POD);
    let theirs = ours.replace(&format!(r#""version":"{}""#, env!("CARGO_PKG_VERSION")), r#""version":"0.0.9""#);
    assert_ne!(theirs, ours);
    let check = |input: &str| fed(directory.path(), &["inject", "--opt-in", "--check", "-f", "-"], input.as_bytes());
    assert_eq!(check(&ours).status.code(), Some(0));
    assert_eq!(check(&theirs).status.code(), Some(1), "{}", told(&check(&theirs)));
    assert_eq!(otelgate_on(directory.path(), &["inject", "--opt-in", "-q", "-f", "-"], &theirs), ours);
}

#[test]
fn what_is_taken_out_of_a_container_is_told() {
    let directory = tempfile::tempdir().expect("a directory");
    let two = format!("{}  - name: second\n    image: busybox:1\n", POD.trim_end().to_owned() + "\n");
    let both = otelgate_on(directory.path(), &["inject", "--opt-in", "-q", "-f", "-"], &two);
    let fewer = both.replacen("  annotations:\n", "  annotations:\n    otelgate.dev/containers: main\n", 1);
    assert_ne!(fewer, both);
    let check = fed(directory.path(), &["inject", "--opt-in", "--check", "-f", "-"], fewer.as_bytes());
    assert_eq!(check.status.code(), Some(1));
    assert!(told(&check).contains("took out otelgate's own OTELGATE_POD_NAME, "), "{}", told(&check));
    let explained = otelgate_on(directory.path(), &["explain", "--opt-in", "-f", "-"], &fewer);
    assert!(explained.contains("container second: taken out, as otelgate's own from before"), "{explained}");
    let observed = fewer.replacen("  labels:\n", "  labels:\n    otelgate.dev/inject: observe\n", 1);
    let observed = fed(directory.path(), &["inject", "-f", "-"], observed.as_bytes());
    assert!(told(&observed).contains("would take out otelgate's own"), "{}", told(&observed));
}

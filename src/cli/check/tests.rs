use snapbox::{assert_data_eq, file};

use super::*;
use crate::check::tests::{healthy, several_faults};

#[test]
fn a_narrow_terminal_wraps() {
    let text = Report::of(&several_faults()).text(Some(80));
    let plain = anstream::adapter::strip_str(&text).to_string();
    assert!(plain.lines().all(|line| line.chars().count() <= 80), "{plain}");
    assert_data_eq!(plain, file!["../../../tests/data/check/80-columns.txt"].raw());
}

#[test]
fn a_wide_terminal_has_room() {
    let text = Report::of(&several_faults()).text(Some(200));
    assert_data_eq!(
        anstream::adapter::strip_str(&text).to_string(),
        file!["../../../tests/data/check/200-columns.txt"].raw()
    );
}

#[test]
fn a_pipe_has_a_line_for_each_check_and_step() {
    let report = Report::of(&several_faults());
    let text = report.text(None);
    let plain = anstream::adapter::strip_str(&text).to_string();
    let steps = report.checks.iter().filter(|one| !one.next.is_empty()).count();
    assert_eq!(plain.lines().count(), report.checks.len() + steps + 2);
    assert_data_eq!(plain, file!["../../../tests/data/check/pipe.txt"].raw());
}

#[test]
fn colours_tell_results_apart() {
    let text = Report::of(&several_faults()).text(Some(80));
    assert_data_eq!(text, file!["../../../tests/data/check/colours.txt"].raw());
}

#[test]
fn programs_get_every_check() {
    let json = serde_json::to_value(Report::of(&several_faults())).expect("JSON");
    assert_data_eq!(format!("{json:#}\n"), file!["../../../tests/data/check/report.json"].raw());
}

#[test]
fn the_exit_code_says_how_it_went() {
    let code = |snapshot: &Snapshot| format!("{:?}", Report::of(snapshot).code());
    let expected = |code: u8| format!("{:?}", ExitCode::from(code));
    let mut snapshot = healthy(Stage::After);
    assert_eq!(code(&snapshot), expected(0));
    snapshot.nodes = Err(crate::unavailable::Unavailable::Unauthorized);
    for pod in snapshot.pods.as_mut().expect("pods") {
        pod.spec.as_mut().expect("a spec").node_name = Some("node-1".to_owned());
    }
    assert_eq!(code(&snapshot), expected(2), "what can't be told is no success");
    assert_eq!(code(&several_faults()), expected(1));
}

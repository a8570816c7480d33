//! What is said of each state.

use super::*;
use Count::{Injected, Missed, Outdated, RestartPending, Unseen};

fn tally(counts: &[(Count, u32)]) -> Tally {
    let mut tally = Tally::default();
    for (count, times) in counts {
        (0..*times).for_each(|_| tally.one(*count));
    }
    tally
}

fn few(names: &[&str]) -> Few {
    let mut few = Few::default();
    for name in names {
        few.note(|| (*name).to_owned());
    }
    few
}

#[test]
fn the_verdicts() {
    let stopped = RepairStatus {
        phase: RepairPhase::Stopped,
        message: Some("shop/Deployment/web: its pods came back without the mark".to_owned()),
        ..RepairStatus::default()
    };
    let one = few(&["shop/Deployment/web (2)"]);
    let many = few(&["a", "b", "c", "d", "e"]);
    let none = Picture { mode: Some(OptIn::Enabled), ..Picture::default() };
    let of = |counts: &[(Count, u32)]| Picture { totals: tally(counts), ..none.clone() };
    for (picture, repair, reason, detail) in [
        (none.clone(), None, Reason::Complete, "no pod is opted in"),
        (of(&[(Injected, 1)]), None, Reason::Complete, "the one opted-in pod is injected"),
        (of(&[(Injected, 214)]), None, Reason::Complete, "all 214 opted-in pods are injected"),
        (
            Picture { mode: Some(OptIn::Observe), ..none.clone() },
            None,
            Reason::Complete,
            "mode is observe: no pod is to be injected",
        ),
        (
            Picture { missed: one.clone(), ..of(&[(Injected, 3), (Missed, 2)]) },
            None,
            Reason::Missed,
            "2 of 5 pods were missed: shop/Deployment/web (2)",
        ),
        (
            Picture {
                missed: many.clone(),
                restart_pending: one.clone(),
                ..of(&[(Missed, 5), (RestartPending, 2), (Outdated, 4)])
            },
            None,
            Reason::Missed,
            "5 of 11 pods were missed: a, b, c and 2 more; 2 wait for a restart; 4 carry an earlier configuration",
        ),
        (
            Picture { restart_pending: one.clone(), ..of(&[(Injected, 1), (RestartPending, 2)]) },
            None,
            Reason::RestartPending,
            "2 of 3 pods wait for a restart: shop/Deployment/web (2)",
        ),
        (
            Picture { outdated: one.clone(), ..of(&[(Outdated, 2)]) },
            Some(&stopped),
            Reason::Outdated,
            "2 of 2 pods carry an earlier configuration: shop/Deployment/web (2); the repair has stopped: \
             shop/Deployment/web: its pods came back without the mark",
        ),
        (
            Picture { invalid: few(&["namespace shop (InvalidOptIn)"]), ..of(&[(Injected, 2)]) },
            None,
            Reason::Complete,
            "all 2 opted-in pods are injected; opt-ins that count as absent: namespace shop (InvalidOptIn)",
        ),
    ] {
        let verdict = picture.verdict(repair, 4);
        assert_eq!((verdict.reason, verdict.detail.as_str(), verdict.generation), (reason, detail, 4));
    }
}

#[test]
fn the_numbers_name_a_few() {
    let many: Vec<_> = (0..14).map(|number| format!("w{number}")).collect();
    let missed = few(&many.iter().map(String::as_str).collect::<Vec<_>>());
    let picture =
        Picture { totals: tally(&[(Injected, 200), (Missed, 14), (Unseen, 3)]), missed, ..Picture::default() };
    let status = picture.status();
    assert_eq!((status.injected.as_str(), status.missed, status.outdated), ("200/214", 14, 0));
    assert_eq!((status.missed_of.len(), status.missed_of.last().map(String::as_str)), (11, Some("and 4 more")));
}

//! Each rule by which a workload is repaired or left.

use super::*;

const NEWEST: i64 = 100;

fn pod(name: &str, created: i64, change: impl FnOnce(&mut PodFacts)) -> PodFacts {
    let mut pod =
        PodFacts { name: name.to_owned(), uid: format!("{name}-uid"), created, ready: true, ..PodFacts::default() };
    change(&mut pod);
    pod
}

fn missed(name: &str, created: i64) -> PodFacts {
    pod(name, created, |pod| pod.lacks = Some(Lack::Missed))
}

fn facts(pods: Vec<PodFacts>) -> Facts {
    Facts { owner: Owner { desired: i64::try_from(pods.len()).expect("a few"), ..Owner::default() }, pods }
}

fn three() -> Facts {
    facts(vec![missed("a", 90), missed("b", 80), pod("c", 100, |_| {})])
}

fn asked() -> Repair {
    Repair { missed: true, ..Repair::default() }
}

fn begun(left: u16) -> Entry {
    Entry { left, newest: NEWEST, last: NEWEST, end: None }
}

/// Of which the last eviction wasn't refused.
fn next(facts: &Facts, entry: Option<Entry>, asked: &Repair, waited: Duration) -> Move {
    super::next(facts, entry, asked, Some(Waited { since: Some(waited), lacking: waited }))
}

const LONG: Duration = Duration::from_secs(30);

#[test]
fn the_oldest_goes_first_and_the_number_is_fixed_with_it() {
    let entry = begun(1);
    let expected = Move::Evict { name: "b".to_owned(), uid: "b-uid".to_owned(), entry };
    assert_eq!(next(&three(), None, &asked(), LONG), expected);
}

#[test]
fn a_workload_that_is_not_well_is_left() {
    type Change = fn(&mut Facts);
    let cases: [(Change, Left); 7] = [
        (|one| one.owner.paused = true, Left::Paused),
        (|one| one.owner.rolling = true, Left::RollingOut),
        (|one| one.pods[2].crashing = true, Left::Crashing),
        (|one| one.owner.desired = 1, Left::FewReplicas),
        (|one| one.pods[1..].iter_mut().for_each(|pod| pod.ready = false), Left::FewReplicas),
        (|one| one.pods[0].ready = false, Left::NotReady),
        (|one| one.owner.desired = 4, Left::NotReady),
    ];
    for (change, left) in cases {
        let mut facts = three();
        change(&mut facts);
        assert_eq!(next(&facts, None, &asked(), LONG), Move::Leave(left), "{facts:?}");
    }
}

#[test]
fn the_next_one_waits_for_the_last_ones_replacement() {
    let after = |change: &dyn Fn(&mut Vec<PodFacts>)| {
        let mut pods = vec![missed("a", 90), pod("c", 100, |_| {}), pod("d", 130, |_| {})];
        change(&mut pods);
        Facts { owner: Owner { desired: 3, ..Owner::default() }, pods }
    };
    let waits = |facts: &Facts| next(facts, Some(begun(1)), &asked(), LONG) == Move::Wait;
    assert!(waits(&after(&|pods| pods.truncate(2))), "it isn't there yet");
    assert!(waits(&after(&|pods| pods[2].ready = false)), "it isn't Ready yet");
    assert!(waits(&after(&|pods| pods.push(pod("b", 80, |pod| pod.leaving = true)))), "the last one hasn't gone yet");
    let there = after(&|_| {});
    assert_eq!(next(&there, Some(begun(1)), &asked(), PAUSE / 2), Move::Wait, "it may crash yet");
    let slow = Facts { owner: Owner { pause: 2 * LONG, ..there.owner.clone() }, ..there.clone() };
    assert_eq!(next(&slow, Some(begun(1)), &asked(), LONG), Move::Wait, "minReadySeconds");
    let expected = Move::Evict {
        name: "a".to_owned(),
        uid: "a-uid".to_owned(),
        entry: Entry { left: 0, newest: NEWEST, last: 130, end: None },
    };
    assert_eq!(next(&there, Some(begun(1)), &asked(), LONG), expected);
    assert_eq!(next(&after(&|pods| pods[0].lacks = None), Some(begun(1)), &asked(), LONG), Move::Done);
}

#[test]
fn what_was_refused_is_neither_waited_for_nor_blamed() {
    type Change = fn(&mut PodFacts);
    let again = |facts: &Facts| super::next(facts, Some(begun(2)), &asked(), None);
    let entry = begun(1);
    assert_eq!(again(&three()), Move::Evict { name: "b".to_owned(), uid: "b-uid".to_owned(), entry });
    let cases: [(Change, Left); 2] =
        [(|pod| pod.ready = false, Left::NotReady), (|pod| pod.leaving = true, Left::Terminating)];
    for (change, left) in cases {
        let mut unwell = three();
        change(&mut unwell.pods[2]);
        assert_eq!(again(&unwell), Move::Leave(left), "{unwell:?}");
    }
}

#[test]
fn what_comes_back_no_better_ends_it() {
    let after = |change: fn(&mut PodFacts)| {
        let pods = vec![missed("a", 90), pod("c", 100, |_| {}), pod("d", 130, change)];
        Facts { owner: Owner { desired: 3, ..Owner::default() }, pods }
    };
    for (change, end) in
        [(|pod: &mut PodFacts| pod.lacks = Some(Lack::Missed)) as fn(&mut PodFacts), |pod: &mut PodFacts| {
            pod.lacks = Some(Lack::Outdated);
        }]
        .into_iter()
        .map(|change| (change, End::Unmarked))
        .chain(
            [(|pod: &mut PodFacts| pod.crashing = true) as fn(&mut PodFacts), |pod| pod.restarted = true]
                .map(|change| (change, End::NotReady)),
        )
    {
        assert_eq!(next(&after(change), Some(begun(1)), &asked(), Duration::ZERO), Move::Stop(end));
    }
    let never_ready = after(|pod| pod.ready = false);
    assert_eq!(next(&never_ready, Some(begun(1)), &asked(), PATIENCE), Move::Stop(End::NotReady));
    let impatient = Facts { owner: Owner { patience: Some(LONG), ..never_ready.owner.clone() }, ..never_ready };
    assert_eq!(next(&impatient, Some(begun(1)), &asked(), LONG), Move::Stop(End::NotReady));
    let for_ever = Duration::from_secs(i32::MAX.unsigned_abs().into());
    let endless = Facts { owner: Owner { patience: Some(for_ever), ..impatient.owner.clone() }, ..impatient };
    assert_eq!(next(&endless, Some(begun(1)), &asked(), 2 * PATIENCE), Move::Wait);
    assert_eq!(next(&endless, Some(begun(1)), &asked(), Duration::from_hours(1)), Move::Stop(End::NotReady));
}

/// A replacement that is Ready, and what was there before and has to go for the next one.
fn replaced(change: impl FnOnce(&mut Vec<PodFacts>)) -> Facts {
    let leaving = pod("b", 80, |pod| (pod.leaving, pod.grace) = (true, 2 * LONG));
    let mut pods = vec![missed("a", 90), pod("c", 100, |_| {}), pod("d", 130, |_| {}), leaving];
    change(&mut pods);
    Facts { owner: Owner { desired: 3, ..Owner::default() }, pods }
}

#[test]
fn an_old_pod_that_goes_slowly_is_waited_for_and_then_its_workload_is_left() {
    let left = Move::Leave(Left::Terminating);
    let without_the_next = replaced(|pods| drop(pods.remove(2)));
    for facts in [replaced(|_| {}), without_the_next] {
        let after = |waited| next(&facts, Some(begun(1)), &asked(), waited);
        assert_eq!((after(PATIENCE), after(PATIENCE + LONG)), (Move::Wait, Move::Wait), "{facts:?}");
        assert_eq!(after(PATIENCE + 2 * LONG), left, "{facts:?}");
        let again = super::next(&facts, Some(begun(1)), &asked(), Some(Waited::default()));
        assert_eq!(again, left, "it isn't waited for twice: {facts:?}");
    }
    let endless = replaced(|pods| pods[3].grace = 10 * LONGEST);
    assert_eq!(next(&endless, Some(begun(1)), &asked(), LONGEST), Move::Wait);
    assert_eq!(next(&endless, Some(begun(1)), &asked(), PATIENCE + LONGEST), left);
    let last = replaced(|pods| pods[0].lacks = None);
    assert_eq!(next(&last, Some(begun(0)), &asked(), PATIENCE + LONG), Move::Wait);
    assert_eq!(next(&last, Some(begun(0)), &asked(), PATIENCE + 2 * LONG), Move::Done, "it was the last one");
}

#[test]
fn an_old_pod_that_isnt_ready_is_no_fault_of_the_new_one() {
    // The last but one has come back well, and was there when the last one was evicted.
    let entry = Entry { last: 130, ..begun(1) };
    for lost in [0, 1, 2] {
        let facts = replaced(|pods| {
            pods[3] = pod("e", 160, |_| {});
            pods[lost].ready = false;
        });
        let facts = Facts { owner: Owner { desired: 4, ..facts.owner }, ..facts };
        assert_eq!(next(&facts, Some(entry), &asked(), LONG), Move::Wait, "{lost}");
        assert_eq!(next(&facts, Some(entry), &asked(), PATIENCE), Move::Leave(Left::NotReady), "{lost}");
        let mut facts = facts;
        facts.pods[3].ready = false;
        assert_eq!(next(&facts, Some(entry), &asked(), PATIENCE), Move::Stop(End::NotReady), "the new one: {lost}");
    }
}

#[test]
fn a_replacement_is_late_from_when_it_could_come() {
    type Change = fn(&mut Vec<PodFacts>);
    let lacks = |facts: &Facts| lacks_replacement(facts, begun(1));
    let fine: [Change; 3] = [|_| {}, |pods| pods[0].ready = false, |pods| drop(pods.remove(2))];
    for change in fine {
        let facts = replaced(change);
        assert!(!lacks(&facts), "{facts:?}");
    }
    let late: [Change; 3] = [
        |pods| pods[2].ready = false,
        |pods| (pods[2].ready, pods[3].leaving) = (false, false),
        |pods| pods.truncate(2),
    ];
    for change in late {
        let facts = replaced(change);
        assert!(lacks(&facts), "{facts:?}");
        let after = |since: Option<Duration>, lacking: Duration| {
            super::next(&facts, Some(begun(1)), &asked(), Some(Waited { since, lacking }))
        };
        assert_eq!(after(Some(2 * PATIENCE), PATIENCE / 2), Move::Wait, "{facts:?}");
        assert_eq!(after(None, Duration::ZERO), Move::Wait, "it was left, and is looked at again: {facts:?}");
        assert_eq!(after(Some(PATIENCE), PATIENCE), Move::Stop(End::NotReady), "{facts:?}");
    }
}

#[test]
fn once_is_enough() {
    for (end, left) in
        [(End::Done, Left::Once), (End::Unmarked, Left::CameBackUnmarked), (End::NotReady, Left::CameBackNotReady)]
    {
        let entry = Some(Entry { end: Some(end), ..begun(5) });
        assert_eq!(next(&three(), entry, &asked(), LONG), Move::Leave(left));
    }
    assert_eq!(next(&three(), Some(begun(0)), &asked(), LONG), Move::Stop(End::Done), "the number is spent");
}

#[test]
fn only_what_was_asked_for_is_evicted() {
    let outdated = |name: &str, created| pod(name, created, |pod| pod.lacks = Some(Lack::Outdated));
    let mixed = facts(vec![missed("a", 90), outdated("b", 80), outdated("c", 85), pod("d", 100, |_| {})]);
    let evicted =
        |missed: bool, outdated: bool| match next(&mixed, None, &Repair { missed, outdated, dry_run: false }, LONG) {
            Move::Evict { name, entry, .. } => Some((name, entry.left)),
            _ => None,
        };
    assert_eq!(evicted(true, false), Some(("a".to_owned(), 0)));
    assert_eq!(evicted(false, true), Some(("b".to_owned(), 1)));
    assert_eq!(evicted(true, true), Some(("b".to_owned(), 2)));
    assert_eq!(next(&mixed, None, &Repair::default(), LONG), Move::Done);
}

/// Whatever the pods do, a workload gets no more evictions than it had pods to repair, and comes to an end.
#[test]
fn every_workload_comes_to_an_end() {
    // What each replacement is like, by the digits of a number in base 5.
    let natures: [fn(&mut PodFacts); 5] = [
        |_| {},
        |pod| pod.lacks = Some(Lack::Missed),
        |pod| pod.crashing = true,
        |pod| pod.ready = false,
        |pod| pod.leaving = true,
    ];
    for course in 0..5_usize.pow(4) {
        let mut facts = facts((0..4).map(|number| missed(&format!("p{number}"), number)).collect());
        let (mut entry, mut evicted) = (None, 0);
        let mut ended = false;
        for round in 0..20 {
            match next(&facts, entry, &asked(), PATIENCE) {
                Move::Evict { name, entry: now, .. } => {
                    entry = Some(now);
                    facts.pods.retain(|pod| pod.name != name);
                    let nature = natures[course / 5_usize.pow(evicted) % 5];
                    facts.pods.push(pod(&format!("r{round}"), 1_000 + round, nature));
                    evicted += 1;
                }
                Move::Wait => panic!("{course}: it has waited for long enough"),
                Move::Done | Move::Stop(_) | Move::Leave(_) => {
                    ended = true;
                    break;
                }
            }
        }
        assert!(ended && evicted <= 4, "{course}: {evicted}");
    }
}

//! Every way to start from, run through with a clock that the test moves. API servers are as late as they may be, and a
//! call of any of them to any replica must not fail, but where the test says so.

mod moves;
mod world;

use std::time::Duration;

use jiff::SignedDuration;

use super::observe::{Contents, Registration, Stripped};
use super::plan::Phase;
use crate::api::stack::Provider;
use crate::tls::Authority;
use crate::tls::authority::BACKDATE;
use world::{World, settings};

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

fn own() -> super::Settings {
    settings(Provider::Otelgate, "10h", "1h")
}

#[test]
fn the_first_certificate_is_issued_at_once() {
    let mut world = World::new(own());
    world.act();
    assert_eq!(world.writes, [1, 1, 1]);
    world.run(Duration::from_secs(1));
    assert!(world.every_call_succeeds());
    assert_eq!((world.phase(), world.bundle().len()), (Phase::Stable, 1));
    assert_eq!(world.writes, [1, 1, 1], "and then there is nothing to do");
}

#[test]
fn without_a_registration_or_replicas_the_certificate_is_there_all_the_same() {
    let mut world = World::new(own());
    world.observed.registration = None;
    world.replicas.clear();
    world.act();
    assert_eq!(world.writes, [1, 1, 0]);
    world.observed.registration = Some(Registration { bundles: vec![Vec::new(); 3], ..Registration::default() });
    world.act();
    assert_eq!(world.writes, [1, 1, 1], "a registration that comes later is told at once");
}

#[test]
fn a_certificate_is_renewed_when_a_third_is_left_and_nothing_else_moves() {
    let mut world = World::settled(own());
    let (leaf, bundle) = (world.leaf(), world.bundle());
    world.run_without_failure(39 * MINUTE);
    assert_eq!(world.leaf(), leaf);
    world.run_without_failure(2 * MINUTE);
    assert_ne!(world.leaf(), leaf);
    assert_eq!(world.bundle(), bundle);
    assert_eq!(world.writes, [1, 2, 1]);
}

#[test]
fn an_authority_is_replaced_with_both_trusted_until_every_replica_has_switched() {
    let mut world = World::settled(own());
    let old = world.bundle();
    let mut seen_both = false;
    world.run_with(7 * HOUR, |world| {
        assert!(world.every_call_succeeds());
        seen_both |= world.bundle().len() == 2;
    });
    assert!(seen_both);
    assert_eq!((world.phase(), world.bundle().len()), (Phase::Stable, 1));
    assert_ne!(world.bundle(), old);
    assert_eq!(world.writes[0], 2);
}

#[test]
fn a_hundred_rotations_of_seconds_fail_no_call() {
    let mut world = World::settled(settings(Provider::Otelgate, "30s", "12s"));
    let before = world.writes[0];
    world.run_without_failure(20 * MINUTE);
    assert!(world.writes[0] - before >= 50, "{:?}", world.writes);
}

#[test]
fn a_life_that_is_shorter_than_the_usual_time_to_settle_is_kept_too() {
    let mut world = World::settled(settings(Provider::Otelgate, "6s", "6s"));
    world.run_without_failure(2 * MINUTE);
}

#[test]
fn deleted_secrets_come_back_without_a_failed_call() {
    for (authority, serving) in [(true, false), (false, true), (true, true)] {
        let mut world = World::settled(own());
        let leaf = world.leaf();
        if authority {
            world.observed.authority = None;
        }
        if serving {
            world.observed.serving = None;
        }
        world.run_without_failure(MINUTE);
        assert_eq!((world.phase(), world.bundle().len()), (Phase::Stable, 1), "{authority} {serving}");
        assert_ne!(world.leaf(), leaf);
    }
}

#[test]
fn corrupt_secrets_are_written_anew_without_a_failed_call() {
    type Damage = fn(&mut Contents);
    let cut: Damage = |it| it.certificate.truncate(200);
    let damages: [Damage; 5] = [
        cut,
        |it| it.certificate.clear(),
        |it| it.key = b"-----BEGIN PRIVATE KEY-----\nMIGH\n-----END PRIVATE KEY-----\n".to_vec(),
        |it| {
            it.key = Authority::make(HOUR, "2027-01-15T08:00:00Z".parse().expect("a time")).expect("made").key().into();
        },
        |it| it.certificate = vec![0xff; 100],
    ];
    for (index, damage) in damages.into_iter().enumerate() {
        for authority in [true, false] {
            let mut world = World::settled(own());
            let secret = if authority { &mut world.observed.authority } else { &mut world.observed.serving };
            damage(secret.as_mut().expect("there"));
            world.run_without_failure(MINUTE);
            assert_eq!((world.phase(), world.bundle().len()), (Phase::Stable, 1), "{index} {authority}");
        }
    }
}

#[test]
fn a_bundle_that_was_edited_is_put_right_at_once() {
    let foreign = Authority::make(HOUR, own_time()).expect("made").certificate().pem();
    let edits = [String::new(), foreign.clone(), "nonsense".to_owned()];
    for edit in edits {
        let mut world = World::settled(own());
        let bundle = world.bundle();
        world.set_bundle(edit.as_bytes());
        world.act();
        let registration = world.observed.registration.as_ref().expect("there");
        assert!(registration.bundles.iter().all(|written| *written == bundle.pem().into_bytes()));
        assert_eq!(world.writes, [1, 1, 2], "nothing else changes");
    }
    let mut world = World::settled(own());
    let both = format!("{foreign}{}", world.bundle().pem());
    world.set_bundle(both.as_bytes());
    world.run_without_failure(MINUTE);
    assert_eq!(world.bundle().len(), 1, "a certificate that nobody serves under goes");
}

#[test]
fn one_entry_that_was_edited_is_put_right() {
    let mut world = World::settled(own());
    world.observed.registration.as_mut().expect("there").bundles[1].clear();
    world.act();
    let registration = world.observed.registration.as_ref().expect("there");
    assert_eq!(registration.bundles[0], registration.bundles[1]);
}

#[test]
fn the_secrets_own_bundle_is_put_right() {
    for edit in ["", "nonsense"] {
        let mut world = World::settled(own());
        let bundle = world.bundle();
        world.observed.serving.as_mut().expect("there").authorities = edit.into();
        world.run_without_failure(MINUTE);
        assert_eq!(world.bundle(), bundle);
    }
}

#[test]
fn secrets_that_lost_their_owner_get_it_back_with_what_is_in_them() {
    for (authority, serving) in [(true, false), (false, true), (true, true)] {
        let mut world = World::settled(own());
        let (secrets, writes) =
            (|world: &World| (world.observed.authority.clone(), world.observed.serving.clone()), world.writes);
        let before = secrets(&world);
        world.observed.stripped = Stripped { authority, serving };
        world.act();
        assert_eq!(world.observed.stripped, Stripped::default());
        assert!(secrets(&world) == before, "no other certificate");
        let due = [usize::from(authority), usize::from(serving), 0];
        assert_eq!(world.writes, [0, 1, 2].map(|kind| writes[kind] + due[kind]));
    }
}

#[test]
fn a_replica_that_sleeps_through_a_rotation_is_trusted_when_it_wakes() {
    let mut world = World::settled(own());
    world.replicas[1].sleeps = true;
    world.observed.authority = None;
    world.run_without_failure(MINUTE);
    assert_eq!((world.phase(), world.bundle().len()), (Phase::Switching, 2));
    assert_ne!(world.replicas[0].serves, world.replicas[1].serves);
    world.replicas[1].sleeps = false;
    // It answers with what it had, before it has read anything.
    assert!(world.every_call_succeeds());
    world.run_without_failure(MINUTE);
    assert_eq!((world.phase(), world.bundle().len()), (Phase::Stable, 1));
}

#[test]
fn a_replica_that_sleeps_for_ever_keeps_its_authority_until_its_certificate_has_expired() {
    let mut world = World::settled(own());
    world.replicas[1].sleeps = true;
    let expiry = world.chain().leaf().not_after();
    world.observed.authority = None;
    world.run(MINUTE);
    assert_eq!(world.bundle().len(), 2);
    let left = Duration::try_from(expiry.duration_since(world.now)).expect("in the future");
    world.run(left.saturating_sub(MINUTE));
    assert_eq!(world.bundle().len(), 2);
    world.run(2 * MINUTE);
    assert_eq!(world.bundle().len(), 1);
    assert!(world.observed.serving.as_ref().expect("there").previous.is_empty());
}

#[test]
fn replicas_that_nobody_can_look_at_are_switched_all_the_same() {
    let mut world = World::settled(own());
    world.blind = true;
    world.observed.authority = None;
    world.run_without_failure(MINUTE);
    assert_eq!((world.writes[0], world.bundle().len()), (2, 2));
}

#[test]
fn a_replica_that_sleeps_while_both_secrets_are_lost_is_trusted_when_it_wakes() {
    let mut world = World::settled(own());
    world.replicas[1].sleeps = true;
    world.observed.authority = None;
    world.observed.serving = None;
    world.run_without_failure(MINUTE);
    world.replicas[1].sleeps = false;
    assert!(world.every_call_succeeds());
    world.run_without_failure(MINUTE);
    assert_eq!((world.phase(), world.bundle().len()), (Phase::Stable, 1));
}

#[test]
fn the_clock_jumps() {
    let day = SignedDuration::from_hours(24);
    for by in [day, -day, day * 400, -day * 400, BACKDATE, -BACKDATE] {
        let mut world = World::settled(own());
        world.jump(by, true);
        // What has expired can't be helped; what follows can.
        world.run(Duration::from_secs(1));
        world.run_without_failure(MINUTE);
        assert_eq!((world.phase(), world.bundle().len()), (Phase::Stable, 1), "{by}");
        world.run_without_failure(2 * HOUR);
    }
}

#[test]
fn a_small_correction_of_the_clock_changes_nothing() {
    for by in [-4, 4] {
        let mut world = World::settled(own());
        world.jump(SignedDuration::from_mins(by), true);
        world.run_without_failure(MINUTE);
        assert_eq!(world.writes, [1, 1, 1], "{by}");
    }
}

#[test]
fn a_controller_whose_own_clock_is_wrong_breaks_nothing() {
    let year = SignedDuration::from_hours(8760);
    for by in [year, -year] {
        let mut world = World::settled(own());
        world.jump(by, false);
        world.run_without_failure(MINUTE);
        world.jump(-by, false);
        world.run_without_failure(MINUTE);
        assert_eq!((world.phase(), world.bundle().len()), (Phase::Stable, 1), "{by}");
    }
}

#[test]
fn another_cluster_domain_makes_another_certificate_under_the_same_authority() {
    let mut world = World::settled(own());
    let (leaf, bundle) = (world.leaf(), world.bundle());
    world.settings.names[1] = "otelgate-webhook.otelgate.svc.example.org".to_owned();
    world.run_without_failure(MINUTE);
    assert_ne!(world.leaf(), leaf);
    assert_eq!(world.bundle(), bundle);
    assert_eq!(world.chain().leaf().names(), world.settings.names);
}

#[test]
fn shorter_lives_count_at_once() {
    let mut world = World::settled(own());
    let leaf = world.leaf();
    world.settings = settings(Provider::Otelgate, "10h", "20m");
    world.run_without_failure(MINUTE);
    assert_ne!(world.leaf(), leaf);
    assert_eq!(world.writes[0], 1);
    world.settings = settings(Provider::Otelgate, "1h", "20m");
    world.run_without_failure(MINUTE);
    assert_eq!((world.writes[0], world.bundle().len()), (2, 1));
}

#[test]
fn longer_lives_count_with_the_next_renewal() {
    let mut world = World::settled(own());
    world.settings = settings(Provider::Otelgate, "100h", "10h");
    world.run_without_failure(MINUTE);
    assert_eq!(world.writes, [1, 1, 1]);
}

#[test]
fn no_certificate_outlives_its_authority() {
    let mut world = World::settled(own());
    world.run_with(20 * HOUR, |world| {
        let chain = world.chain();
        let signers: Vec<_> = world.bundle().iter().filter(|known| chain.leads_to(known)).cloned().collect();
        assert_eq!(signers.len(), 1, "signed by one that is trusted");
        assert!(chain.leaf().not_after() <= signers[0].not_after());
    });
}

#[test]
fn a_controller_that_was_away_for_long_needs_no_more_than_an_instant() {
    let mut world = World::settled(own());
    world.jump(SignedDuration::from_hours(100), true);
    assert!(!world.every_call_succeeds(), "everything has expired");
    world.run(2 * world::TICK);
    world.run_without_failure(MINUTE);
}

fn own_time() -> jiff::Timestamp {
    "2027-01-15T08:00:00Z".parse().expect("a time")
}

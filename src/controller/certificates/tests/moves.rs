//! From one provider to another, in every direction.

use std::time::Duration;

use super::super::plan::Phase;
use super::world::{World, settings};
use super::{HOUR, MINUTE, own};
use crate::api::stack::Provider;
use crate::tls::Authority;

fn given(provider: Provider) -> super::super::Settings {
    settings(provider, "10h", "1h")
}

fn authority(world: &World) -> Authority {
    Authority::make(100 * HOUR, world.real).expect("made")
}

/// Asks for that provider, as a change of the chart's values does: its Secret, and cert-manager's annotation.
fn go_to(world: &mut World, provider: Provider) {
    world.settings = given(provider);
    world.injector = provider == Provider::CertManager;
    world.observed.registration.as_mut().expect("there").injected = provider == Provider::CertManager;
    if provider != Provider::Otelgate {
        let theirs = authority(world);
        world.provide(&theirs, 2 * HOUR);
    }
}

#[test]
fn every_move_is_without_a_failed_call() {
    use Provider::{CertManager, Otelgate, Provided};
    let ways = [
        [Otelgate, Provided, CertManager],
        [Otelgate, CertManager, Provided],
        [Provided, Otelgate, CertManager],
        [Provided, CertManager, Otelgate],
        [CertManager, Otelgate, Provided],
        [CertManager, Provided, Otelgate],
    ];
    for way in ways {
        let mut world = World::new(own());
        go_to(&mut world, way[0]);
        world.run(Duration::from_secs(15));
        assert_eq!(world.phase(), Phase::Stable, "{way:?}");
        for provider in &way[1..] {
            let leaf = world.leaf();
            go_to(&mut world, *provider);
            world.run_without_failure(MINUTE);
            assert_ne!(world.leaf(), leaf, "{way:?}");
            assert_eq!((world.phase(), world.bundle().len()), (Phase::Stable, 1), "{way:?} at {provider:?}");
            assert_eq!(world.fault(), None);
        }
    }
}

#[test]
fn a_renewed_certificate_of_theirs_is_taken_at_once() {
    let mut world = World::new(own());
    go_to(&mut world, Provider::Provided);
    let theirs = authority(&world);
    world.provide(&theirs, 2 * HOUR);
    world.run(Duration::from_secs(15));
    let leaf = world.leaf();
    world.provide(&theirs, 3 * HOUR);
    world.run_without_failure(Duration::from_secs(1));
    assert_ne!(world.leaf(), leaf);
}

#[test]
fn a_certificate_of_theirs_under_another_authority_waits_until_that_is_trusted() {
    let mut world = World::new(own());
    go_to(&mut world, Provider::Provided);
    world.run(Duration::from_secs(15));
    let leaf = world.leaf();
    let other = authority(&world);
    world.provide(&other, 2 * HOUR);
    world.run_without_failure(Duration::from_secs(9));
    assert_eq!((world.leaf(), world.phase(), world.bundle().len()), (leaf, Phase::Trusting, 2));
    world.run_without_failure(MINUTE);
    assert_ne!(world.leaf(), leaf);
    assert_eq!(world.bundle().len(), 1);
}

#[test]
fn what_cannot_be_used_changes_nothing_and_is_told() {
    type Damage = fn(&mut World);
    let other_name: Damage = |world| {
        let names = std::mem::replace(&mut world.settings.names, vec!["elsewhere.otelgate.svc".to_owned()]);
        let theirs = authority(world);
        world.provide(&theirs, HOUR);
        world.settings.names = names;
    };
    let damages: [(Damage, &str); 8] = [
        (|world| world.observed.source = None, "isn't there"),
        (|world| source(world).certificate.truncate(100), "tls.crt"),
        (|world| source(world).key.clear(), "no private key"),
        (|world| source(world).key = authority(world).key().into(), "don't belong together"),
        (|world| source(world).authorities.clear(), "ca.crt"),
        (|world| source(world).authorities = authority(world).certificate().pem().into(), "signed"),
        (other_name, "otelgate-webhook.otelgate.svc"),
        (
            |world| {
                let theirs = authority(world);
                world.provide(&theirs, Duration::from_secs(10));
                world.run(Duration::from_secs(11));
            },
            "expired",
        ),
    ];
    for (damage, told) in damages {
        let mut world = World::settled(own());
        let bundle = world.bundle();
        go_to(&mut world, Provider::Provided);
        damage(&mut world);
        world.run_without_failure(MINUTE);
        let fault = world.fault().expect("a fault");
        assert!(fault.contains(told) && fault.contains("otelgate-webhook-provided"), "{fault}");
        if told != "expired" {
            assert_eq!(world.bundle(), bundle, "{told}");
        }
        // Its own certificate is renewed for as long as there is nothing else.
        if told == "isn't there" {
            world.run_without_failure(5 * HOUR);
            assert_eq!((world.phase(), world.writes[0]), (Phase::Stable, 1));
        }
    }
}

fn source(world: &mut World) -> &mut super::super::observe::Contents {
    world.observed.source.as_mut().expect("there")
}

#[test]
fn without_any_certificate_it_waits_and_says_for_what() {
    let mut world = World::new(own());
    world.settings = given(Provider::Provided);
    world.run(MINUTE);
    assert_eq!((world.phase(), world.writes), (Phase::WaitingForSource, [0, 0, 0]));
    assert!(world.fault().is_some());
    let theirs = authority(&world);
    world.provide(&theirs, HOUR);
    world.run(Duration::from_secs(1));
    assert!(world.every_call_succeeds());
    assert_eq!(world.phase(), Phase::Stable);
}

#[test]
fn an_injector_that_does_nothing_is_waited_for_and_named() {
    let mut world = World::settled(own());
    let leaf = world.leaf();
    go_to(&mut world, Provider::CertManager);
    world.injector = false;
    world.run_without_failure(MINUTE);
    assert_eq!((world.phase(), world.leaf()), (Phase::WaitingForInjector, leaf));
    assert_eq!(world.writes[2], 1, "caBundle is cert-manager's now");
    world.injector = true;
    world.run_without_failure(MINUTE);
    assert_eq!((world.phase(), world.bundle().len()), (Phase::Stable, 1));
}

#[test]
fn self_signed_certificates_are_their_own_authority() {
    let mut world = World::settled(own());
    world.settings = given(Provider::Provided);
    let key = rcgen::KeyPair::generate().expect("a key");
    for is_ca in [rcgen::IsCa::NoCa, rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained)] {
        let mut params = rcgen::CertificateParams::new(world.settings.names.clone()).expect("parameters");
        params.is_ca = is_ca;
        let certificate = params.self_signed(&key).expect("signed").pem();
        world.observed.source = Some(super::super::observe::Contents {
            certificate: certificate.clone().into_bytes(),
            key: key.serialize_pem().into_bytes(),
            authorities: certificate.into_bytes(),
            ..Default::default()
        });
        world.run_without_failure(MINUTE);
        assert_eq!((world.phase(), world.bundle().len(), world.fault()), (Phase::Stable, 1, None));
    }
}

#[test]
fn a_certificate_through_an_intermediate_authority_is_taken() {
    let mut world = World::settled(own());
    world.settings = given(Provider::Provided);
    let signing = |name: &str| {
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        (params, rcgen::KeyPair::generate().expect("a key"))
    };
    let ((root, root_key), (middle, middle_key)) = (signing("root"), signing("middle"));
    let root = rcgen::CertifiedIssuer::self_signed(root, root_key).expect("signed");
    let middle = rcgen::CertifiedIssuer::signed_by(middle, middle_key, &root).expect("signed");
    let key = rcgen::KeyPair::generate().expect("a key");
    let leaf = rcgen::CertificateParams::new(world.settings.names.clone()).expect("parameters");
    let leaf = leaf.signed_by(&key, &middle).expect("signed").pem();
    world.observed.source = Some(super::super::observe::Contents {
        certificate: format!("{leaf}{}", middle.pem()).into_bytes(),
        key: key.serialize_pem().into_bytes(),
        authorities: root.pem().into_bytes(),
        ..Default::default()
    });
    world.run_without_failure(MINUTE);
    assert_eq!((world.phase(), world.bundle().len(), world.fault()), (Phase::Stable, 1, None));
    // And back, while one replica sleeps: its chain is remembered whole.
    world.replicas[0].sleeps = true;
    world.settings = own();
    world.run_without_failure(MINUTE);
    assert_eq!(world.bundle().len(), 2);
    world.replicas[0].sleeps = false;
    assert!(world.every_call_succeeds());
}

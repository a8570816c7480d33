//! Certificates that expired, begin later, or are trusted by nobody; read from the Secret, or told by the controller.

use super::*;

/// The cluster whose webhook serves that certificate, and whose registration trusts that authority.
fn with(leaf: Option<&str>, authority: &str) -> Snapshot {
    let mut snapshot = healthy(Stage::After);
    snapshot.serving = Ok(leaf.map(|pem| Serving { chain: pem.as_bytes().to_vec() }));
    snapshot.registrations = Ok(vec![registration(authority)]);
    snapshot
}

fn found(snapshot: &Snapshot) -> Vec<(&'static str, String)> {
    faults(snapshot).0
}

#[track_caller]
fn finds(snapshot: &Snapshot, check: &str, words: &str) {
    let failed = found(snapshot);
    let [(name, found)] = &failed[..] else { panic!("{check}: {failed:#?}") };
    assert_eq!(*name, check, "{found}");
    assert!(found.contains(words), "{found:?} lacks {words:?}");
}

#[test]
fn each_fault_of_a_certificate_has_its_check() {
    let (authority, another) = (Authority::new(), Authority::new());
    let leaf = authority.leaf(HOST, -1, 10);
    assert_eq!(found(&with(Some(&leaf), &authority.pem())), []);
    finds(&with(Some(&authority.leaf(HOST, -9, -1)), &authority.pem()), "certificate-valid", "expired at 2026-11-23");
    finds(
        &with(Some(&authority.leaf(HOST, 1, 9)), &authority.pem()),
        "certificate-valid",
        "isn't valid before 2026-11-25",
    );
    finds(&with(None, &authority.pem()), "certificate-valid", "no Secret otelgate-webhook-tls");
    finds(&with(Some("nonsense"), &authority.pem()), "certificate-valid", "can be read");
    finds(&with(Some(&leaf), &another.pem()), "certificate-trusted", "no authority in caBundle");
    finds(&with(Some(&authority.leaf("otelgate.svc", -1, 10)), &authority.pem()), "certificate-name", HOST);
    // While an authority is exchanged, both are trusted.
    assert_eq!(found(&with(Some(&leaf), &format!("{}{}", another.pem(), authority.pem()))), []);
}

#[test]
fn each_fault_of_a_bundle_has_its_check() {
    let authority = Authority::new();
    let leaf = authority.leaf(HOST, -1, 10);
    finds(&with(Some(&leaf), ""), "ca-bundle", "empty for enabled.otelgate.dev");
    finds(&with(Some(&leaf), "nonsense"), "ca-bundle", "no certificate");
    let mut snapshot = with(Some(&leaf), &authority.pem());
    let webhooks = snapshot.registrations.as_mut().unwrap()[0].webhooks.as_mut().unwrap();
    let more = format!("{}{}", authority.pem(), Authority::new().pem());
    webhooks[2].client_config.ca_bundle = Some(k8s_openapi::ByteString(more.into_bytes()));
    finds(&snapshot, "ca-bundle", "different");
    let mut snapshot = with(Some(&leaf), &authority.pem());
    let later = now().checked_add(Span::new().hours(24 * 400)).unwrap();
    snapshot.server.as_mut().unwrap().date = Some(later);
    let names: Vec<&str> = found(&snapshot).into_iter().map(|(name, _)| name).collect();
    assert!(names.contains(&"ca-bundle") && names.contains(&"certificate-valid"), "{names:?}");
}

/// A certificate that signed itself, as people without an authority make it, is its own authority.
#[test]
fn a_certificate_may_be_its_own_authority() {
    let mut params = CertificateParams::new([HOST.to_owned()]).expect("a name");
    set_validity(&mut params, -1, 10);
    let own = params.self_signed(&KeyPair::generate().expect("a key")).expect("a certificate").pem();
    assert_eq!(found(&with(Some(&own), &own)), []);
}

/// Without a right to read the Secret, what the controller says in the `TelemetryStack` counts.
#[test]
fn without_the_secret_the_controllers_word_is_taken() {
    let authority = Authority::new();
    let forbidden = || Unavailable::Forbidden {
        verb: "get".into(),
        resource: "secrets".into(),
        namespace: Some("otelgate".into()),
    };
    let mut snapshot = with(None, &authority.pem());
    snapshot.serving = Err(forbidden());
    assert_eq!(faults(&snapshot), (Vec::new(), vec!["certificate-valid", "certificate-trusted", "certificate-name"]));
    let tell = |snapshot: &mut Snapshot, leaf: i64, authority: i64| {
        let at = |days: i64| now().checked_add(Span::new().hours(days * 24)).unwrap().to_string();
        let told = json!({"leafNotAfter": at(leaf), "authorityNotAfter": at(authority)});
        snapshot.stacks.as_mut().unwrap()[0]["status"]["certificates"] = told;
    };
    tell(&mut snapshot, 10, 300);
    assert_eq!(faults(&snapshot), (Vec::new(), vec!["certificate-name"]));
    tell(&mut snapshot, -1, 300);
    finds(&snapshot, "certificate-valid", "expired");
    tell(&mut snapshot, 10, 200);
    finds(&snapshot, "certificate-trusted", "lacks the authority");
}

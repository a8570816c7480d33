//! The API server: its version, what it serves, and its clock.

use super::{Objection, Snapshot, Verdict};

/// CEL match conditions and rules of custom resources are stable since this one.
const OLDEST: (u32, u32) = (1, 30);
/// Of clocks, in seconds. The server tells its own to the second.
const SKEW: i64 = 60;

pub fn version(snapshot: &Snapshot) -> Verdict {
    let server = snapshot.server.as_ref()?;
    let digits = |text: &str| text.trim_end_matches(|c: char| !c.is_ascii_digit()).parse::<u32>().ok();
    let Some(version) = digits(&server.major).zip(digits(&server.minor)) else {
        return Err(Objection::unknown(
            format!("the API server calls its version {}.{}", server.major, server.minor),
            "look at kubectl version",
        ));
    };
    if version < OLDEST {
        return Err(Objection::fail(
            format!("the API server is {}", server.git_version),
            "update the cluster: match conditions and rules of custom resources aren't stable before 1.30",
        ));
    }
    Ok(server.git_version.clone())
}

pub fn admission_api(snapshot: &Snapshot) -> Verdict {
    if !snapshot.admission.as_ref()?.webhooks {
        return Err(Objection::fail(
            "mutatingwebhookconfigurations of admissionregistration.k8s.io/v1 aren't served",
            "switch the API on with the API server's flag --runtime-config",
        ));
    }
    Ok("admissionregistration.k8s.io/v1".to_owned())
}

pub fn admission_policies(snapshot: &Snapshot) -> Verdict {
    let served = snapshot.admission.as_ref()?.policies;
    Ok(if served { "served" } else { "not served, as is usual before Kubernetes 1.36" }.to_owned())
}

pub fn clock(snapshot: &Snapshot) -> Verdict {
    let Some(date) = snapshot.server.as_ref()?.date else {
        return Err(Objection::unknown(
            "the API server's answer has no date",
            "look at the proxy in between, if there is one",
        ));
    };
    let skew = snapshot.now.as_second() - date.as_second();
    if skew.abs() <= SKEW {
        return Ok(if skew.abs() <= 2 { String::new() } else { format!("{} s apart", skew.abs()) });
    }
    let direction = if skew > 0 { "ahead of" } else { "behind" };
    Err(Objection::fail(
        format!("the clock here is {} s {direction} the API server's", skew.abs()),
        "set both by NTP: certificates and tokens count as expired, or as not valid yet, by the clock that is wrong",
    ))
}

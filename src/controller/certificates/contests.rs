//! Who else writes what the controller writes for the webhook's certificate: told of each object by itself.

use std::time::Instant;

use super::plan::Action;
use super::settings::Settings;
use crate::api::condition::Reason;
use crate::api::object;
use crate::controller::contest::{Contest, Contested};

/// Of a Secret that it is to be of these settings, whatever key is in it: each is made anew.
#[derive(Debug, Default)]
pub(super) struct Contests {
    pub(super) authority: Contest<Settings>,
    pub(super) serving: Contest<Settings>,
    /// Over `caBundle`.
    pub(super) registration: Contest<Vec<u8>>,
}

/// Somebody else writes one of them too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fight {
    pub(super) over: Over,
    pub(super) contested: Contested,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    Secret(&'static str),
    Registration,
}

// === impl Contests ===

impl Contests {
    /// What keeps an action from being done, or, with nothing to do, what goes on.
    pub(super) fn fight(&mut self, action: Option<&Action>, settings: &Settings, now: Instant) -> Option<Fight> {
        let (authority, serving) = (Over::Secret(object::AUTHORITY), Over::Secret(object::SERVING));
        let (over, contested) = match action {
            Some(Action::MakeAuthority | Action::KeepAuthority) => (authority, self.authority.over(settings, now)),
            Some(Action::WriteServing(_)) => (serving, self.serving.over(settings, now)),
            Some(Action::WriteRegistration(bundle)) => (Over::Registration, self.registration.over(bundle, now)),
            None => {
                let all = [
                    (authority, self.authority.going_on(now)),
                    (serving, self.serving.going_on(now)),
                    (Over::Registration, self.registration.going_on(now)),
                ];
                all.into_iter().find(|(_, contested)| contested.is_some())?
            }
        };
        contested.map(|contested| Fight { over, contested })
    }
}

// === impl Fight ===

impl Fight {
    pub(super) fn told(&self) -> (Reason, String) {
        let Contested { how, by, .. } = &self.contested;
        match self.over {
            Over::Secret(name) => (Reason::CertificateContested, format!("Secret {name} is {how} each time by {by}")),
            Over::Registration => (Reason::RegistrationContested, format!("caBundle is {how} each time by {by}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::{Pair, Serving};
    use super::*;
    use crate::api::stack::Certificates;
    use crate::k8s::Secret;
    use serde_json::json;
    use std::time::Duration;

    fn stored(version: u64, by: &str) -> Secret {
        made(1, version, by)
    }

    fn made(uid: u64, version: u64, by: &str) -> Secret {
        let managers = json!([{"manager": object::FIELD_MANAGER}, {"manager": by}]);
        let metadata =
            json!({"uid": uid.to_string(), "resourceVersion": version.to_string(), "managedFields": managers});
        let secret = json!({"metadata": metadata});
        serde_json::from_value(secret).expect("a Secret")
    }

    fn settings(leaf: &str) -> Settings {
        let spec = Certificates { leaf_lifetime: leaf.to_owned(), ..Certificates::default() };
        Settings::new(&spec, "otelgate", "cluster.local").expect("settings")
    }

    fn serving(pair: Pair) -> Action {
        let (authorities, previous) = (Vec::new(), Vec::new());
        Action::WriteServing(Serving { pair, authorities, previous, direct_injection: false })
    }

    #[test]
    fn who_writes_a_secret_again_and_again_is_named_and_left_to_it_for_a_while() {
        let (mut contests, settings, now) = (Contests::default(), settings("1h"), Instant::now());
        contests.serving.wrote(settings.clone(), None, &stored(1, "-"), now);
        for round in 1..=5 {
            assert_eq!(contests.fight(Some(&serving(Pair::Issue)), &settings, now), None, "round {round}");
            let theirs = stored(10 * round, "sealed-secrets");
            contests.serving.wrote(settings.clone(), Some(&theirs), &stored(10 * round + 1, "-"), now);
            // What is left to do after it goes on from ours.
            let ours = stored(10 * round + 1, "-");
            contests.serving.wrote(settings.clone(), Some(&ours), &stored(10 * round + 2, "-"), now);
        }
        let fight = contests.fight(Some(&serving(Pair::Keep)), &settings, now).expect("a fight");
        let told = "Secret otelgate-webhook-tls is changed back each time by sealed-secrets";
        assert_eq!(fight.told(), (Reason::CertificateContested, told.to_owned()));
        assert_eq!(contests.fight(None, &settings, now), Some(fight.clone()), "nothing is to be done just now");
        assert_eq!(contests.fight(Some(&Action::MakeAuthority), &settings, now), None, "that is another Secret");
        let other = self::settings("2h");
        assert_eq!(contests.fight(Some(&serving(Pair::Issue)), &other, now), None, "a new wish is tried at once");
        assert_eq!(contests.fight(None, &settings, fight.contested.until), None, "it has stayed as it should be");
    }

    #[test]
    fn who_deletes_the_authority_again_and_again_is_told() {
        let (mut contests, settings, now) = (Contests::default(), settings("1h"), Instant::now());
        for round in 1..=6 {
            assert_eq!(contests.fight(Some(&Action::MakeAuthority), &settings, now), None, "round {round}");
            let answer = made(round, round, "-");
            contests.authority.wrote(settings.clone(), None, &answer, now + Duration::from_secs(round));
        }
        let fight = contests.fight(Some(&Action::MakeAuthority), &settings, now).expect("a fight");
        let told = "Secret otelgate-ca is changed back each time by somebody who deletes it";
        assert_eq!(fight.told(), (Reason::CertificateContested, told.to_owned()));
    }

    /// As in a life of seconds.
    #[test]
    fn renewals_are_no_fight() {
        let (mut contests, settings, now) = (Contests::default(), settings("6s"), Instant::now());
        for version in 1..30 {
            let found = (version > 1).then(|| stored(version, "-"));
            contests.serving.wrote(settings.clone(), found.as_ref(), &stored(version + 1, "-"), now);
        }
        assert_eq!(contests.fight(Some(&serving(Pair::Issue)), &settings, now), None);
    }
}

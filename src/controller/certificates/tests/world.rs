//! A cluster in memory with a clock of its own: Secrets, a registration, replicas, and API servers that are late.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::super::observe::{Contents, Endpoint, Observed, Registration};
use super::super::perform::{Write, perform};
use super::super::plan::{Phase, Plan, plan};
use super::super::settings::Settings;
use crate::api::stack::{Certificates, Provider};
use crate::tls::{Authority, Bundle, Chain, Fingerprint, keys_match};

pub const TICK: Duration = Duration::from_millis(200);

/// One replica of the webhook.
pub struct Replica {
    pub serves: Option<Chain>,
    /// Stopped, or cut off: it sees nothing, and nobody sees it.
    pub sleeps: bool,
}

pub struct World {
    /// What the controller's clock says.
    pub now: Timestamp,
    /// What everybody else's says.
    pub real: Timestamp,
    pub settings: Settings,
    pub observed: Observed,
    pub replicas: Vec<Replica>,
    /// A network policy keeps the controller from the replicas.
    pub blind: bool,
    /// cert-manager's injector runs.
    pub injector: bool,
    /// What the registration held, and until when by a clock that doesn't jump: for API servers that are late.
    history: VecDeque<(Vec<u8>, Duration)>,
    passed: Duration,
    pub last: Option<Plan>,
    /// Writes of each kind: authority, serving, registration.
    pub writes: [usize; 3],
}

pub fn settings(provider: Provider, authority: &str, leaf: &str) -> Settings {
    let spec = Certificates {
        provider,
        authority_lifetime: authority.to_owned(),
        leaf_lifetime: leaf.to_owned(),
        ..Certificates::default()
    };
    Settings::new(&spec, "otelgate", "cluster.local").expect("valid")
}

impl World {
    /// Nothing but a registration without `caBundle`, and two replicas that wait for a certificate.
    pub fn new(settings: Settings) -> Self {
        let now = "2027-01-15T08:00:00.5Z".parse().expect("a time");
        let observed = Observed {
            registration: Some(Registration { bundles: vec![Vec::new(); 3], ..Registration::default() }),
            ..Observed::default()
        };
        let replica = || Replica { serves: None, sleeps: false };
        Self {
            now,
            real: now,
            settings,
            observed,
            replicas: vec![replica(), replica()],
            blind: false,
            injector: false,
            history: VecDeque::new(),
            passed: Duration::ZERO,
            last: None,
            writes: [0; 3],
        }
    }

    /// One that has settled.
    pub fn settled(settings: Settings) -> Self {
        let mut world = Self::new(settings);
        world.run(Duration::from_secs(15));
        assert_eq!(world.phase(), Phase::Stable);
        assert!(world.every_call_succeeds());
        world
    }

    pub fn phase(&self) -> Phase {
        self.last.as_ref().expect("it has run").phase
    }

    pub fn fault(&self) -> Option<&str> {
        self.last.as_ref().expect("it has run").fault.as_deref()
    }

    /// Plans and performs until there is nothing to do for now.
    pub fn act(&mut self) {
        for _ in 0..10 {
            self.observe();
            let plan = plan(&self.observed, &self.settings, self.now);
            let action = plan.action.clone();
            assert!(plan.action.is_some() || !plan.look_again.is_zero(), "busy waiting: {plan:?}");
            self.last = Some(plan);
            let Some(action) = action else { return };
            self.write(perform(action, &self.observed, &self.settings, self.now).expect("performed"));
        }
        panic!("it never comes to rest: {:?}", self.last);
    }

    fn write(&mut self, write: Write) {
        match write {
            Write::Authority(contents) => {
                self.writes[0] += 1;
                self.observed.authority = Some(contents);
                self.observed.stripped.authority = false;
            }
            Write::Serving(contents) => {
                self.writes[1] += 1;
                self.observed.serving = Some(contents);
                self.observed.stripped.serving = false;
            }
            Write::Registration(bundle) => {
                self.writes[2] += 1;
                self.set_bundle(&bundle);
            }
        }
    }

    pub fn set_bundle(&mut self, bundle: &[u8]) {
        let registration = self.observed.registration.as_mut().expect("there is one");
        registration.bundles.fill(bundle.to_vec());
        self.note_trust(Duration::ZERO);
    }

    /// What follows from what stands in the cluster, at once: replicas read the Secret, the injector copies.
    fn observe(&mut self) {
        let injected = self.observed.registration.as_ref().is_some_and(|registration| registration.injected);
        if let Some(serving) =
            self.observed.serving.clone().filter(|it| injected && self.injector && it.direct_injection)
        {
            self.set_bundle(&serving.authorities);
        }
        self.observed.endpoints = (0..)
            .map(|index| format!("webhook-{index}"))
            .zip(&self.replicas)
            .map(|(pod, replica)| Endpoint {
                pod,
                ready: !replica.sleeps,
                serves: replica.serves.clone().filter(|_| !replica.sleeps && !self.blind),
            })
            .collect();
    }

    fn replicas_read(&mut self) {
        let Some(serving) = &self.observed.serving else { return };
        let Some(chain) = Chain::read(&serving.certificate) else { return };
        let usable = keys_match(&serving.certificate, &serving.key).is_ok();
        // As the webhook has it: a certificate that isn't valid by its own clock is refused.
        let skew = SignedDuration::from_mins(5);
        if usable && chain.leaf().not_before() <= self.real + skew && self.real < chain.leaf().not_after() {
            for replica in self.replicas.iter_mut().filter(|replica| !replica.sleeps) {
                replica.serves = Some(chain.clone());
            }
        }
    }

    fn note_trust(&mut self, passed: Duration) {
        let Some(registration) = &mut self.observed.registration else { return };
        let before = std::mem::take(&mut registration.trusted_for);
        let since = |of: Fingerprint| before.iter().find(|(known, _)| *known == of).map(|(_, since)| *since + passed);
        registration.trusted_for = registration
            .trusted()
            .iter()
            .map(|authority| (authority.fingerprint(), since(authority.fingerprint()).unwrap_or_default()))
            .collect();
    }

    /// Lets time pass. `check` is asked whenever something may have changed.
    pub fn run_with(&mut self, time: Duration, mut check: impl FnMut(&mut Self)) {
        let (began, end) = (self.passed, self.passed + time);
        while self.passed < end {
            let before = self.writes;
            self.act();
            self.replicas_read();
            self.note_history();
            check(self);
            // What is quiet needs no small steps.
            let quiet = self.passed > began + TICK * 2 && self.writes == before && self.history.len() == 1;
            let plan = self.last.as_ref().expect("it has acted");
            let step = if quiet { plan.look_again.max(TICK) } else { TICK }.min(end.saturating_sub(self.passed));
            self.passed += step;
            self.now += step;
            self.real += step;
            self.note_trust(step);
        }
        self.act();
    }

    /// An API server is late by less than the time to settle.
    fn note_history(&mut self) {
        let bundle = self.observed.registration.as_ref().and_then(|it| it.bundles.first().cloned()).unwrap_or_default();
        match self.history.back_mut() {
            Some((last, until)) if *last == bundle => *until = self.passed,
            _ => self.history.push_back((bundle, self.passed)),
        }
        let late = self.settings.settle().saturating_sub(2 * TICK);
        self.history.retain(|(_, until)| *until + late >= self.passed);
    }

    pub fn run(&mut self, time: Duration) {
        self.run_with(time, |_| {});
    }

    /// As [`Self::run`], with no call that fails.
    pub fn run_without_failure(&mut self, time: Duration) {
        self.run_with(time, |world| {
            assert!(world.every_call_succeeds(), "at {}: {:?}, {:?}", world.real, world.last, world.observed);
        });
    }

    /// Of every API server, early or late, to every replica that is awake.
    pub fn every_call_succeeds(&self) -> bool {
        let bundles: Vec<Bundle> = self.history.iter().map(|(bundle, _)| Bundle::read(bundle)).collect();
        self.replicas.iter().filter(|replica| !replica.sleeps).all(|replica| {
            let trusted = |chain: &Chain, bundle: &Bundle| chain.is_trusted_by(bundle, self.settings.name(), self.real);
            replica.serves.as_ref().is_some_and(|chain| bundles.iter().all(|bundle| trusted(chain, bundle)))
        })
    }

    /// Without waiting: the clock of the controller alone, or of all.
    pub fn jump(&mut self, by: SignedDuration, everybody: bool) {
        self.now += by;
        if everybody {
            self.real += by;
        }
    }

    pub fn bundle(&self) -> Bundle {
        Bundle::read(&self.observed.serving.as_ref().expect("written").authorities)
    }

    pub fn leaf(&self) -> Fingerprint {
        self.chain().leaf().fingerprint()
    }

    pub fn chain(&self) -> Chain {
        Chain::read(&self.observed.serving.as_ref().expect("written").certificate).expect("a certificate")
    }

    /// A Secret as somebody else writes it, of an authority of theirs.
    pub fn provide(&mut self, authority: &Authority, lifetime: Duration) {
        let issued = authority.issue(&self.settings.names, lifetime, self.real).expect("issued");
        self.observed.source = Some(Contents {
            certificate: issued.certificate.into_bytes(),
            key: issued.key.into_bytes(),
            authorities: authority.certificate().pem().into_bytes(),
            ..Contents::default()
        });
    }
}

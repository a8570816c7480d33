//! The cluster's domain, by the controller's own pod: pods that are told names of another find nobody.

use std::time::Duration;

use tokio::net::lookup_host;
use tokio::time::timeout;

/// `None` outside of a pod, and in one that doesn't resolve cluster names.
#[derive(Debug)]
pub struct ClusterDomain(Option<String>);

const RESOLVER: &str = "/etc/resolv.conf";
/// How long one look-up may take.
const PATIENCE: Duration = Duration::from_secs(2);

// === impl ClusterDomain ===

impl ClusterDomain {
    pub async fn read() -> Self {
        let resolver = tokio::fs::read_to_string(RESOLVER).await.unwrap_or_default();
        Self(of(&resolver).map(str::to_owned))
    }

    /// This cluster's, where no name of the one that pods are told is known: a cluster may have several.
    pub async fn instead_of(&self, told: &str) -> Option<&str> {
        let own = self.0.as_deref().filter(|own| !own.eq_ignore_ascii_case(told))?;
        // Each cluster has that Service. With the dot at its end, nothing is appended to the name.
        let name = format!("kubernetes.default.svc.{told}.:443");
        let found = timeout(PATIENCE, lookup_host(name)).await;
        (!found.is_ok_and(|found| found.is_ok_and(|mut addresses| addresses.next().is_some()))).then_some(own)
    }
}

/// The kubelet gives a pod `<namespace>.svc.<domain>`, `svc.<domain>` and `<domain>` to search, before what the node has:
/// <https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/>. Of several lists the last counts.
fn of(resolver: &str) -> Option<&str> {
    let words = resolver.lines().map(str::split_whitespace);
    let mut lists = words.filter_map(|mut words| (words.next()? == "search").then_some(words));
    let domain = lists.next_back()?.find_map(|domain| domain.strip_prefix("svc."))?;
    Some(domain.trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_domain_is_that_of_the_list_which_is_searched() {
        for (resolver, expected) in [
            (
                "search a.svc.cluster.local svc.cluster.local cluster.local\nnameserver 10.0.0.10\n",
                Some("cluster.local"),
            ),
            ("nameserver 10.0.0.10\nsearch a.svc.prod.example. svc.prod.example. prod.example.", Some("prod.example")),
            ("search first svc.first\nsearch\tb.svc.second svc.second", Some("second")),
            ("search b.svc.first svc.first\nsearch example.org", None),
            ("search example.org eu.example.org\nnameserver 192.0.2.1\n", None),
            ("# search svc.cluster.local\n", None),
            ("", None),
        ] {
            assert_eq!(of(resolver), expected, "{resolver}");
        }
    }

    /// The last has no name that could be looked up, as in a cluster of another domain.
    #[tokio::test]
    async fn only_another_domain_that_nobody_knows_is_told() {
        for (own, told, expected) in [
            (None, "invalid", None),
            (Some("cluster.local"), "Cluster.Local", None),
            (Some("cluster.local"), "invalid", Some("cluster.local")),
        ] {
            let domain = ClusterDomain(own.map(str::to_owned));
            assert_eq!(domain.instead_of(told).await, expected, "{told}");
        }
    }
}

//! Which Datadog log source a container's image has, and whether its logs are read at all.

use super::Context;
use super::view::Map;
use crate::api::annotation;
use crate::config::LogOwner;

/// Image names, without registry, tag and the common `-alpine` kind of ending, and Datadog's integration of that log format.
pub const SOURCES: [(&str, &str); 52] = [
    ("airflow", "airflow"),
    ("apache", "apache"),
    ("argocd", "argocd"),
    ("cassandra", "cassandra"),
    ("cert-manager-cainjector", "cert_manager"),
    ("cert-manager-controller", "cert_manager"),
    ("cert-manager-webhook", "cert_manager"),
    ("clickhouse", "clickhouse"),
    ("clickhouse-server", "clickhouse"),
    ("consul", "consul"),
    ("controller", "nginx-ingress-controller"),
    ("coredns", "coredns"),
    ("couchbase", "couchbase"),
    ("couchdb", "couchdb"),
    ("cp-kafka", "kafka"),
    ("elasticsearch", "elasticsearch"),
    ("envoy", "envoy"),
    ("etcd", "etcd"),
    ("fluentd", "fluentd"),
    ("haproxy", "haproxy"),
    ("harbor-core", "harbor"),
    ("httpd", "apache"),
    ("ingress-nginx", "nginx-ingress-controller"),
    ("jenkins", "jenkins"),
    ("kafka", "kafka"),
    ("kibana", "kibana"),
    ("kong", "kong"),
    ("mariadb", "mysql"),
    ("memcached", "memcached"),
    ("mongo", "mongodb"),
    ("mongodb", "mongodb"),
    ("mysql", "mysql"),
    ("nats", "nats"),
    ("nginx", "nginx"),
    ("nginx-ingress-controller", "nginx-ingress-controller"),
    ("nginx-unprivileged", "nginx"),
    ("opensearch", "opensearch"),
    ("percona", "mysql"),
    ("php-fpm", "php-fpm"),
    ("postgres", "postgresql"),
    ("postgresql", "postgresql"),
    ("proxysql", "proxysql"),
    ("rabbitmq", "rabbitmq"),
    ("redis", "redis"),
    ("solr", "solr"),
    ("spark", "spark"),
    ("tomcat", "tomcat"),
    ("traefik", "traefik"),
    ("valkey", "redis"),
    ("vault", "vault"),
    ("varnish", "varnish"),
    ("zookeeper", "zookeeper"),
];

/// The source of an image's logs, if its name tells.
#[must_use]
pub fn source_of_image(image: &str) -> Option<&'static str> {
    let name = image.split_once('@').map_or(image, |(name, _)| name);
    let (path, last) = name.rsplit_once('/').map_or(("", name), |(path, last)| (path, last));
    let short = last.split_once(':').map_or(last, |(short, _)| short);
    let (_, source) = SOURCES.iter().find(|(known, _)| *known == short)?;
    // Many images are called `controller`; only one of them is an ingress controller.
    (short != "controller" || path.ends_with("ingress-nginx")).then_some(source)
}

impl Context<'_, '_> {
    /// Whether a pod excludes a container's logs from the Agent, which owns them: then nobody else reads them.
    pub(super) fn excludes_logs(&self, container: &str) -> bool {
        let by_agent = self.configuration.log_owner() == LogOwner::Agent;
        by_agent && is_excluded(&self.pod.metadata.value.annotations, container)
    }
}

/// By `ad.datadoghq.com/logs_exclude` or `ad.datadoghq.com/exclude`, or by those of the container's own.
fn is_excluded(annotations: &Map<'_>, container: &str) -> bool {
    const PREFIX: &str = annotation::DATADOG_AUTODISCOVERY;
    annotation::DATADOG_EXCLUDE.iter().any(|key| {
        let found = [annotations.get_joined(&[PREFIX, key]), annotations.get_joined(&[PREFIX, container, ".", key])];
        found.into_iter().flatten().any(is_true)
    })
}

/// As the Agent reads it, by Go's `strconv.ParseBool`.
fn is_true(value: &str) -> bool {
    matches!(value, "1" | "t" | "T" | "TRUE" | "true" | "True")
}

#[cfg(test)]
mod tests {
    use super::{SOURCES, source_of_image};

    #[test]
    fn an_image_tells_its_log_source_by_its_last_name() {
        for (image, source) in [
            ("nginx", Some("nginx")),
            ("registry:5000/library/postgres:16@sha256:ab", Some("postgresql")),
            ("registry.k8s.io/ingress-nginx/controller:v1", Some("nginx-ingress-controller")),
            ("quay.io/metallb/controller:v1", None),
            ("shop/web:1", None),
            ("", None),
        ] {
            assert_eq!(source_of_image(image), source, "{image}");
        }
    }

    #[test]
    fn every_image_stands_once() {
        let mut names: Vec<_> = SOURCES.iter().map(|(name, _)| name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), SOURCES.len());
    }
}

//! What is in the distribution `otelcol-contrib`.

use super::names::Version;
use super::part::Section;

/// The newest release that is listed; one that is newer may have more.
const NEWEST: Version = Version { major: 0, minor: 159 };
/// Those that came or went since 0.149: the first and the last release that has them.
const MOVED: [(Section, &str, u32, u32); 11] = [
    (Section::Extensions, "awsiamdbauth", 159, u32::MAX),
    (Section::Extensions, "kafkatopics_observer", 149, 158),
    (Section::Extensions, "pebble_tail_storage", 155, u32::MAX),
    (Section::Receivers, "icmpcheck", 158, u32::MAX),
    (Section::Receivers, "jmx", 149, 153),
    (Section::Receivers, "obi", 156, u32::MAX),
    (Section::Receivers, "signalfx", 149, 156),
    (Section::Receivers, "windowsservice", 155, u32::MAX),
    (Section::Processors, "cardinalityguardian", 157, u32::MAX),
    (Section::Processors, "drain", 152, u32::MAX),
    (Section::Processors, "genainormalizer", 154, u32::MAX),
];

// Types, from `distributions/otelcol-contrib/manifest.yaml` of opentelemetry-collector-releases, 0.149.0 to 0.159.0.
const EXTENSIONS: &str = "\
    ack asapclient awscloudwatchmetricstreamsencoding awsiamdbauth awslogsencoding awsproxy azureauth \
    azureencoding basicauth bearertokenauth cgroupruntime datadog db_storage docker_observer ecs_observer \
    file_storage googleclientauth googlecloudlogentryencoding headers_setter health_check host_observer \
    http_forwarder jaeger_encoding jaegerremotesampling json_log_encoding k8s_leader_elector k8s_observer \
    kafkatopics_observer oauth2client oidc opamp otlp_encoding pebble_tail_storage pprof redis_storage sigv4auth \
    skywalking_encoding sumologic text_encoding zipkin_encoding zpages";
const RECEIVERS: &str = "\
    active_directory_ds aerospike apache apache_spark aws_cloudwatch awscontainerinsight awsecscontainermetrics \
    awsfirehose awslambda awss3 awsxray azureblob azureeventhub azuremonitor carbon chrony ciscoos cloudflare \
    cloudfoundry collectd couchdb datadog docker_stats elasticsearch envoy_als expvar faro file_log file_stats \
    flink_metrics fluentforward github gitlab googlecloudmonitoring googlecloudpubsub googlecloudspanner haproxy \
    host_metrics http_check icmpcheck iis influxdb jaeger jmx journald k8s_cluster k8s_events k8s_objects kafka \
    kafka_metrics kubelet_stats libhoney loki macosunifiedlogging memcached mongodb mongodbatlas mysql namedpipe \
    netflow nginx nop nsxt ntp obi oracledb otelarrow otlp otlp_json_file podman_stats postgresql pprof \
    prometheus prometheus_remote_write prometheus_simple pulsar purefa purefb rabbitmq receiver_creator redis \
    riak saphana signalfx skywalking snmp snowflake solace splunk_hec splunkenterprise sql_query sqlserver \
    sshcheck statsd stef syslog systemd tcp_log tcpcheck tlscheck udp_log vcenter wavefront webhook_event \
    windows_event_log windows_perf_counters windowsservice yang_grpc zipkin zookeeper";
const PROCESSORS: &str = "\
    attributes batch cardinalityguardian coralogix cumulative_to_delta delta_to_cumulative delta_to_rate drain \
    experimental_metricsgeneration filter genainormalizer geoip groupbyattrs groupbytrace interval \
    isolationforest k8s_attributes logdedup memory_limiter metricstarttime metricstransform \
    probabilistic_sampler redaction remotetap resource resource_detection schema span sumologic tail_sampling \
    transform unroll";
const CONNECTORS: &str = "\
    count datadog exceptions failover forward grafanacloud otlpjson round_robin routing service_graph \
    signaltometrics span_metrics sum";
const EXPORTERS: &str = "\
    alibabacloud_logservice awscloudwatchlogs awsemf awskinesis awss3 awsxray azureblob azuredataexplorer \
    azuremonitor bmchelix cassandra clickhouse coralogix datadog dataset debug doris elasticsearch faro file \
    googlecloud googlecloudpubsub googlecloudstorage googlemanagedprometheus honeycombmarker influxdb kafka \
    load_balancing logicmonitor logzio mezmo nop opensearch otelarrow otlp otlp_grpc otlp_http prometheus \
    prometheus_remote_write pulsar rabbitmq sentry signalfx splunk_hec stef sumologic syslog \
    tencentcloud_logservice tinybird zipkin";

/// Whether an image is one of that distribution.
pub fn is_contrib(repository: &str) -> bool {
    repository.rsplit('/').next() == Some("opentelemetry-collector-contrib")
}

/// Whether the distribution has a component of that type; true also where that isn't known.
///
/// A type is compared without its `_`, because many were renamed by nothing else, and without what it is, because the
/// names of some end with it.
pub fn has(version: Version, section: Section, kind: &str) -> bool {
    let kind = plain(section, kind);
    if version > NEWEST {
        return true;
    }
    let moved = MOVED.iter().find(|(of, name, ..)| *of == section && plain(section, name) == kind);
    if let Some((_, _, first, last)) = moved {
        return (*first..=*last).contains(&version.minor);
    }
    listed(section).any(|name| plain(section, name) == kind)
}

fn listed(section: Section) -> impl Iterator<Item = &'static str> {
    let names = match section {
        Section::Extensions => EXTENSIONS,
        Section::Receivers => RECEIVERS,
        Section::Processors => PROCESSORS,
        Section::Connectors => CONNECTORS,
        Section::Exporters => EXPORTERS,
    };
    names.split_whitespace()
}

fn plain(section: Section, kind: &str) -> String {
    let plain = kind.replace('_', "");
    plain.strip_suffix(section.noun()).map_or(plain.clone(), ToOwned::to_owned)
}

/// The type most like a misspelt one.
pub fn nearest(section: Section, kind: &str) -> Option<&'static str> {
    let likeness = |name: &str| strsim::jaro_winkler(name, kind);
    listed(section).max_by(|a, b| likeness(a).total_cmp(&likeness(b))).filter(|name| likeness(name) > 0.85)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn of(minor: u32) -> Version {
        Version { major: 0, minor }
    }

    #[test]
    fn types_are_known_by_all_their_names() {
        for (section, names) in [
            (
                Section::Receivers,
                "otlp filelog file_log k8s_cluster hostmetrics host_metrics awscontainerinsightreceiver",
            ),
            (Section::Processors, "k8sattributes k8s_attributes resourcedetection batch tail_sampling"),
            (Section::Exporters, "otlp otlp_grpc otlphttp otlp_http datadog debug prometheusremotewrite"),
            (Section::Connectors, "datadog spanmetrics span_metrics forward"),
            (Section::Extensions, "health_check file_storage k8s_leader_elector zpages basicauth otlp_encoding"),
        ] {
            for name in names.split(' ') {
                assert!(has(of(159), section, name), "{name}");
            }
        }
    }

    #[test]
    fn what_is_not_there_is_told_with_what_may_be_meant() {
        assert!(!has(of(159), Section::Processors, "filelog") && !has(of(159), Section::Receivers, "bach"));
        assert_eq!(nearest(Section::Processors, "bach"), Some("batch"));
        assert_eq!(nearest(Section::Processors, "qqq"), None);
        assert!(has(of(165), Section::Receivers, "of_a_later_day"));
    }

    #[test]
    fn some_came_and_went() {
        assert!(has(of(153), Section::Receivers, "jmx") && !has(of(154), Section::Receivers, "jmx"));
        assert!(!has(of(151), Section::Processors, "drain") && has(of(152), Section::Processors, "drain"));
    }
}

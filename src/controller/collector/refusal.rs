//! What a Collector's own metrics say of data that it didn't take, or didn't get rid of: pure.

/// Of counters, up to the kind of data that ends their names.
const REFUSED: [(&str, &str); 3] = [
    ("otelcol_receiver_refused_", "refused"),
    ("otelcol_exporter_send_failed_", "failed to send"),
    ("otelcol_exporter_enqueue_failed_", "had no room for"),
];

/// The first that says so, such as `exporter datadog failed to send 12 log_records`.
#[must_use]
pub fn of(metrics: &str) -> Option<String> {
    metrics.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let (prefix, does) = REFUSED.iter().find(|(prefix, _)| line.starts_with(prefix))?;
        let (name, value) = line.rsplit_once(' ')?;
        let number = value.parse::<f64>().ok().filter(|number| *number > 0.0)?;
        let (counter, labels) = name.split_once('{').unwrap_or((name, ""));
        let kind = counter.strip_prefix(prefix)?.trim_end_matches("_total");
        let by = ["receiver", "exporter"].iter().find_map(|label| {
            let (_, rest) = labels.split_once(&format!("{label}=\""))?;
            Some(format!("{label} {}", rest.split('"').next()?))
        });
        Some(format!("{} {does} {number} {kind}", by.as_deref().unwrap_or("it")))
    })
}

/// The last line of a log that tells why, in the words of whoever refused it.
#[must_use]
pub fn words(log: &str) -> Option<&str> {
    let tells = |line: &&str| {
        line.contains("\terror\t") && ["xport", "refused", "ropping"].iter().any(|word| line.contains(word))
    };
    log.lines().rev().find(tells).map(|line| line.split_once("\terror\t").map_or(line, |(_, told)| told))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_or_not_sent_is_told_by_whom() {
        let well = "# TYPE otelcol_receiver_refused_spans counter\n\
                    otelcol_receiver_refused_spans_total{receiver=\"otlp\",transport=\"http\"} 0\n\
                    otelcol_receiver_accepted_spans_total{receiver=\"otlp\"} 12\n";
        assert_eq!(of(well), None);
        let failing = format!("{well}otelcol_exporter_send_failed_log_records{{exporter=\"datadog\"}} 12\n");
        assert_eq!(of(&failing).as_deref(), Some("exporter datadog failed to send 12 log_records"));
        let refusing = "otelcol_receiver_refused_spans_total{receiver=\"otlp\",transport=\"grpc\"} 3";
        assert_eq!(of(refusing).as_deref(), Some("receiver otlp refused 3 spans"));
        assert_eq!(of("otelcol_exporter_enqueue_failed_spans 1").as_deref(), Some("it had no room for 1 spans"));
    }

    #[test]
    fn the_words_are_those_of_the_last_error() {
        let log = "t\tinfo\tx.go:1\tExporting\n\
                   t\terror\tx.go:2\tExporting failed. Dropping data.\t{\"error\": \"403\"}\n\
                   t\terror\ty.go:3\tsomething else\n";
        assert_eq!(words(log), Some("x.go:2\tExporting failed. Dropping data.\t{\"error\": \"403\"}"));
        assert_eq!(words("nothing"), None);
    }
}

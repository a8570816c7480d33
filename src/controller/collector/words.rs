//! What a Collector says before it ends, made fit for a condition: its own words, without what looks like a key, and
//! the key of the configuration that they name.

/// As much as people read.
const LONGEST: usize = 600;
/// Datadog's keys are so many hexadecimal digits, or more.
const LEAST_SECRET: usize = 32;

/// The parts of a configuration that have components.
const PARTS: [&str; 5] = ["receivers", "processors", "exporters", "connectors", "extensions"];

/// The line of a log, or of a termination message, that says why it ended: the last that tells of an error, with what
/// follows it, else the last of all.
#[must_use]
pub fn of(log: &str) -> String {
    let lines: Vec<_> = log.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let tells =
        |line: &&str| line.starts_with("Error: ") || line.starts_with("panic: ") || line.starts_with("fatal error: ");
    let first = lines.iter().rposition(tells).unwrap_or(lines.len().saturating_sub(1));
    // A stack trace follows a panic; what follows an error is part of it, but for the program's last log line.
    let end = if lines.get(first).is_some_and(|line| line.starts_with("Error: ")) { lines.len() } else { first + 1 };
    let said = lines.get(first..end).unwrap_or_default();
    let said = said.iter().filter(|line| !is_a_repetition(line)).copied().collect::<Vec<_>>().join(" ");
    shortened(&without_secrets(&said))
}

/// The program logs once more what it has said.
fn is_a_repetition(line: &str) -> bool {
    line.contains("collector server run finished with error")
}

/// Whether it ended because the API server hadn't told it of pods in time, which no other configuration would mend.
#[must_use]
pub fn waited_for_metadata(words: &str) -> bool {
    ["wait for caches to sync", "waiting for caches to sync", "waiting for cache sync"]
        .iter()
        .any(|told| words.contains(told))
}

/// The key of the configuration that is named, such as `exporters.datadog.api.sit`.
#[must_use]
pub fn key(words: &str) -> Option<String> {
    path(words).or_else(|| decoding(words)).or_else(|| starting(words))
}

/// `processors::memory_limiter: check_interval must be greater than zero`, the longest of its kind.
fn path(words: &str) -> Option<String> {
    let paths = words.split_whitespace().filter_map(|word| {
        let word = word.trim_matches(['\'', '"', '*', ',']);
        let path = word.strip_suffix(':').unwrap_or(word);
        let mut parts = path.split("::");
        let first = parts.next()?;
        let known = PARTS.contains(&first) || first == "service";
        (known && parts.next().is_some_and(|second| !second.is_empty())).then(|| path.replace("::", "."))
    });
    paths.max_by_key(String::len)
}

/// `'exporters' error reading configuration for "datadog": … 'api' has invalid keys: sit`, and
/// `'processors' unknown type: "batc" for id: "batc"`.
fn decoding(words: &str) -> Option<String> {
    let part = PARTS.into_iter().find(|part| words.contains(&format!("'{part}'")));
    if let Some((_, rest)) = words.split_once("error reading configuration for \"") {
        let component = rest.split('"').next()?;
        let component = part.map_or_else(|| component.to_owned(), |part| format!("{part}.{component}"));
        let Some((before, keys)) = rest.split_once(" has invalid keys: ") else { return Some(component) };
        let within = before.rsplit('\'').nth(1).filter(|within| !within.is_empty() && before.ends_with('\''));
        let key = keys.split([',', ' ', '\n']).next()?;
        return Some([Some(component.as_str()), within, Some(key)].into_iter().flatten().collect::<Vec<_>>().join("."));
    }
    let (_, rest) = words.split_once(" for id: \"")?;
    let component = rest.split('"').next()?;
    Some(format!("{}.{component}", part?))
}

/// `failed to build pipelines: failed to create "datadog" exporter for data type "traces"`, and
/// `cannot start pipelines: failed to start "otlp" receiver: …`.
fn starting(words: &str) -> Option<String> {
    let (_, rest) = ["failed to create \"", "failed to start \""].iter().find_map(|told| words.split_once(told))?;
    let (component, rest) = rest.split_once('"')?;
    let kind = rest.trim_start().split([' ', ':', ',']).next()?;
    let part = PARTS.into_iter().find(|part| part.strip_suffix('s') == Some(kind))?;
    Some(format!("{part}.{component}"))
}

fn without_secrets(words: &str) -> String {
    let mut clean = String::with_capacity(words.len());
    let mut digits = String::new();
    let flush = |digits: &mut String, clean: &mut String| {
        clean.push_str(if digits.len() >= LEAST_SECRET { "…" } else { digits });
        digits.clear();
    };
    for character in words.chars() {
        if character.is_ascii_hexdigit() {
            digits.push(character);
        } else {
            flush(&mut digits, &mut clean);
            clean.push(if character.is_control() { ' ' } else { character });
        }
    }
    flush(&mut digits, &mut clean);
    clean
}

/// The middle of a long text is told least by.
fn shortened(words: &str) -> String {
    let count = words.chars().count();
    if count <= LONGEST {
        return words.to_owned();
    }
    let (head, tail) = (LONGEST * 3 / 4, LONGEST / 4);
    let start: String = words.chars().take(head).collect();
    let end: String = words.chars().skip(count - tail).collect();
    format!("{start} … {end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_those_of_the_error() {
        let log = "2026-01-01T00:00:00Z\tinfo\tStarting otelcol\n\
                   Error: invalid configuration: processors::batch: must be greater\nprocessors::batch: again\n\
                   2026/01/01 00:00:00 collector server run finished with error: invalid configuration: x\n";
        let words = "Error: invalid configuration: processors::batch: must be greater processors::batch: again";
        assert_eq!(of(log), words);
        assert_eq!(
            of("panic: runtime error: index out of range\n\ngoroutine 1 [running]:\nmain.main()"),
            "panic: runtime error: index out of range"
        );
        assert_eq!(of("a\nb\n\n"), "b");
        assert_eq!(of(""), "");
    }

    #[test]
    fn nothing_that_looks_like_a_key_is_told() {
        let key = "0123456789abcdef0123456789abcdef";
        assert_eq!(
            of(&format!("Error: key {key} isn't good, {}", &key[1..])),
            format!("Error: key … isn't good, {}", &key[1..])
        );
        let long = of(&format!("Error: invalid {} end", "valid ".repeat(500)));
        assert!(long.chars().count() < LONGEST + 10 && long.starts_with("Error: invalid") && long.ends_with(" end"));
    }

    #[test]
    fn the_key_is_named_where_the_words_name_it() {
        for (words, expected) in [
            (
                "Error: invalid configuration: processors::memory_limiter: 'check_interval' must be greater than zero",
                Some("processors.memory_limiter"),
            ),
            (
                "Error: invalid configuration: service::pipelines::traces: references processor \"batch/x\" which is not configured",
                Some("service.pipelines.traces"),
            ),
            (
                "Error: failed to get config: cannot unmarshal the configuration: decoding failed due to the following error(s): 'exporters' error reading configuration for \"datadog\": decoding failed due to the following error(s): 'api' has invalid keys: sit",
                Some("exporters.datadog.api.sit"),
            ),
            (
                "Error: failed to get config: cannot unmarshal the configuration: decoding failed due to the following error(s): 'processors' error reading configuration for \"batch\": decoding failed due to the following error(s): '' has invalid keys: send_batch_siz, x",
                Some("processors.batch.send_batch_siz"),
            ),
            (
                "Error: failed to get config: cannot unmarshal the configuration: decoding failed due to the following error(s): 'processors' unknown type: \"batc\" for id: \"batc\" (valid values: [batch filter])",
                Some("processors.batc"),
            ),
            (
                "Error: failed to build pipelines: failed to create \"datadog\" exporter for data type \"traces\": api.key is not set",
                Some("exporters.datadog"),
            ),
            (
                "Error: cannot start pipelines: failed to start \"otlp\" receiver: listen tcp 1.2.3.4:4317: bind: cannot assign requested address",
                Some("receivers.otlp"),
            ),
            ("Error: cannot start pipelines: listen tcp :4317: bind: address already in use", None),
            ("panic: runtime error", None),
        ] {
            assert_eq!(key(words).as_deref(), expected, "{words}");
        }
    }

    #[test]
    fn a_wait_for_metadata_is_told_apart() {
        assert!(waited_for_metadata(
            "Error: cannot start pipelines: failed to start \"k8s_attributes\" processor: failed to wait for caches to sync"
        ));
        assert!(!waited_for_metadata("Error: cannot start pipelines: bind: address already in use"));
    }
}

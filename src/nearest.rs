//! "Did you mean …?": of the names that are known, the one that a misspelt one most likely meant.

/// What is less alike is another name.
const LEAST: f64 = 0.75;
/// No name is as long, in bytes; comparing takes the longer, the longer they are.
const LONGEST: usize = 128;

/// The known name that is most like it, large and small letters alike; none where no one is.
#[must_use]
pub fn nearest<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    if name.len() > LONGEST {
        return None;
    }
    let name = name.to_lowercase();
    let compared = known.into_iter().map(|known| (strsim::jaro_winkler(&name, &known.to_lowercase()), known));
    let alike = compared.filter(|(likeness, _)| *likeness > LEAST);
    alike.max_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_like_no_known_name_means_none() {
        let known = ["sampler", "sampler-arg", "skip"];
        for (name, meant) in [
            ("sampler_arg", Some("sampler-arg")),
            ("samplr", Some("sampler")),
            ("SKIP", Some("skip")),
            ("zzz", None),
            ("", None),
        ] {
            assert_eq!(nearest(name, known), meant, "{name}");
        }
        assert_eq!(nearest(&"sampler".repeat(20), known), None);
        assert_eq!(nearest("skip", []), None);
    }
}

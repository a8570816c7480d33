//! Numbers and lists, as messages have them.

/// So many are named.
const MOST: usize = 3;

/// `1 node`, `2 nodes`.
#[must_use]
pub fn count(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

/// `a, b, c and 4 more`.
#[must_use]
pub fn some_of<T: AsRef<str>>(names: &[T]) -> String {
    let told = names.iter().take(MOST).map(T::as_ref).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(MOST) {
        0 => told,
        more => format!("{told} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_of_many_are_named_and_the_others_counted() {
        assert_eq!(some_of::<&str>(&[]), "");
        assert_eq!(some_of(&["a", "b", "c"]), "a, b, c");
        assert_eq!(some_of(&["a", "b", "c", "d", "e"]), "a, b, c and 2 more");
        assert_eq!([count(0, "node"), count(1, "node")], ["0 nodes", "1 node"]);
    }
}

//! Words in a text that stand for names: `kubectl get pods -n NAMESPACE`.

/// With names for them; in one go, so that no name is taken for a word.
pub fn filled(text: &str, names: &[(&str, &str)]) -> String {
    let mut filled = String::with_capacity(text.len());
    let is_of_word = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let mut rest = text;
    while !rest.is_empty() {
        let word = &rest[..rest.find(|character| !is_of_word(character)).unwrap_or(rest.len())];
        let name = names.iter().find(|(stands_for, _)| *stands_for == word);
        filled.push_str(name.map_or(word, |(_, name)| name));
        rest = &rest[word.len()..];
        let between = &rest[..rest.find(is_of_word).unwrap_or(rest.len())];
        filled.push_str(between);
        rest = &rest[between.len()..];
    }
    filled
}

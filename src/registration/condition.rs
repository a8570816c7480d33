//! The match conditions that otelgate's own registration has, evaluated as the API server does.
//!
//! This is no CEL, but the few words of it in which our conditions are written: conjunctions, and their negation, of
//! questions for labels, annotations and the namespace. Whatever is written in other words can't be evaluated here.

use std::collections::BTreeMap;

use super::Creation;

/// What an expression comes to; CEL has errors as a third value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    True,
    False,
    /// It reads what isn't there.
    Error,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'e> {
    Word(&'e str),
    Text(&'e str),
    Sign(&'e str),
}

#[derive(Clone, Copy)]
enum Map {
    Labels,
    Annotations,
}

/// Reads an expression and evaluates it on the way.
struct Parser<'t, 'c> {
    tokens: &'t [Token<'t>],
    creation: Creation<'c>,
}

/// Longest first, so that none is taken for the beginning of another.
const SIGNS: [&str; 8] = ["&&", "==", "!", "(", ")", "[", "]", "."];

/// `None` for an expression in other words.
pub fn evaluate(expression: &str, creation: Creation<'_>) -> Option<Truth> {
    let tokens = tokens(expression)?;
    let mut parser = Parser { tokens: &tokens, creation };
    let truth = parser.conjunction()?;
    parser.tokens.is_empty().then_some(truth)
}

fn tokens(expression: &str) -> Option<Vec<Token<'_>>> {
    let mut rest = expression.trim_start();
    let mut tokens = Vec::new();
    while !rest.is_empty() {
        let (token, length) = if let Some(quoted) = rest.strip_prefix('\'') {
            let text = quoted.split('\'').next().filter(|text| text.len() < quoted.len() && !text.contains('\\'))?;
            (Token::Text(text), text.len() + 2)
        } else if let Some(sign) = SIGNS.into_iter().find(|sign| rest.starts_with(sign)) {
            (Token::Sign(sign), sign.len())
        } else {
            let length = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
            (Token::Word(rest.get(..length).filter(|word| !word.is_empty())?), length)
        };
        tokens.push(token);
        rest = rest[length..].trim_start();
    }
    Some(tokens)
}

// === impl Parser ===

impl<'t> Parser<'t, '_> {
    fn conjunction(&mut self) -> Option<Truth> {
        let mut truth = self.term()?;
        while self.takes(&[Token::Sign("&&")]) {
            truth = truth.and(self.term()?);
        }
        Some(truth)
    }

    fn term(&mut self) -> Option<Truth> {
        if self.takes(&[Token::Sign("!")]) {
            return self.term().map(Truth::not);
        }
        if self.takes(&[Token::Sign("(")]) {
            let truth = self.conjunction()?;
            self.expect(&[Token::Sign(")")])?;
            return Some(truth);
        }
        if self.takes(&[Token::Word("has"), Token::Sign("(")]) {
            let map = self.map()?;
            self.expect(&[Token::Sign(")")])?;
            return Some(Truth::from(self.entries(map).is_some()));
        }
        if self.takes(&[Token::Word("request"), Token::Sign("."), Token::Word("namespace"), Token::Sign("==")]) {
            let namespace = self.text()?;
            return Some(Truth::from(self.creation.namespace == namespace));
        }
        if let Some(key) = self.text() {
            self.expect(&[Token::Word("in")])?;
            let map = self.map()?;
            return Some(self.entries(map).map_or(Truth::Error, |entries| Truth::from(entries.contains_key(key))));
        }
        self.comparison()
    }

    /// `object.metadata.labels['key'] == 'value'`
    fn comparison(&mut self) -> Option<Truth> {
        let map = self.map()?;
        self.expect(&[Token::Sign("[")])?;
        let key = self.text()?;
        self.expect(&[Token::Sign("]"), Token::Sign("==")])?;
        let value = self.text()?;
        let found = self.entries(map).and_then(|entries| entries.get(key));
        Some(found.map_or(Truth::Error, |found| Truth::from(found == value)))
    }

    fn map(&mut self) -> Option<Map> {
        let metadata = [Token::Word("object"), Token::Sign("."), Token::Word("metadata"), Token::Sign(".")];
        self.expect(&metadata)?;
        if self.takes(&[Token::Word("labels")]) {
            Some(Map::Labels)
        } else if self.takes(&[Token::Word("annotations")]) {
            Some(Map::Annotations)
        } else {
            None
        }
    }

    fn text(&mut self) -> Option<&'t str> {
        let (Token::Text(text), rest) = self.tokens.split_first()? else { return None };
        self.tokens = rest;
        Some(text)
    }

    fn expect(&mut self, wanted: &[Token<'_>]) -> Option<()> {
        self.takes(wanted).then_some(())
    }

    fn takes(&mut self, wanted: &[Token<'_>]) -> bool {
        let begins = self.tokens.starts_with(wanted);
        if begins {
            self.tokens = &self.tokens[wanted.len()..];
        }
        begins
    }

    /// An empty map isn't there: the API server leaves it out.
    fn entries(&self, map: Map) -> Option<&BTreeMap<String, String>> {
        let entries = match map {
            Map::Labels => self.creation.labels,
            Map::Annotations => self.creation.annotations,
        };
        Some(entries).filter(|entries| !entries.is_empty())
    }
}

// === impl Truth ===

impl Truth {
    /// An error beside a false is false, on either side.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::False, _) | (_, Self::False) => Self::False,
            (Self::Error, _) | (_, Self::Error) => Self::Error,
            (Self::True, Self::True) => Self::True,
        }
    }

    fn not(self) -> Self {
        match self {
            Self::True => Self::False,
            Self::False => Self::True,
            Self::Error => Self::Error,
        }
    }
}

impl From<bool> for Truth {
    fn from(truth: bool) -> Self {
        if truth { Self::True } else { Self::False }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
        entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn said(expression: &str, labels: &[(&str, &str)], annotations: &[(&str, &str)]) -> Option<Truth> {
        let (labels, annotations) = (map(labels), map(annotations));
        let creation =
            Creation { namespace: "shop", namespace_labels: None, labels: &labels, annotations: &annotations };
        evaluate(expression, creation)
    }

    #[test]
    fn what_is_not_there_is_an_error_unless_it_is_asked_for_first() {
        let own = |expression| said(expression, &[("app", "a")], &[]);
        for (expression, expected) in [
            ("has(object.metadata.labels)", Truth::True),
            ("has(object.metadata.annotations)", Truth::False),
            ("!has(object.metadata.annotations)", Truth::True),
            ("'app' in object.metadata.labels", Truth::True),
            ("'x' in object.metadata.annotations", Truth::Error),
            ("!('x' in object.metadata.annotations)", Truth::Error),
            ("has(object.metadata.annotations) && 'x' in object.metadata.annotations", Truth::False),
            ("'x' in object.metadata.annotations && has(object.metadata.annotations)", Truth::False),
            ("object.metadata.labels['app'] == 'a'", Truth::True),
            ("object.metadata.labels[ 'app' ]=='b'", Truth::False),
            ("object.metadata.labels['x'] == 'b'", Truth::Error),
            ("request.namespace == 'shop'", Truth::True),
            ("!(request.namespace == 'other' && object.metadata.labels['x'] == 'b')", Truth::True),
            ("((request.namespace == 'shop'))", Truth::True),
        ] {
            assert_eq!(own(expression), Some(expected), "{expression}");
        }
    }

    #[test]
    fn other_words_are_not_guessed() {
        for expression in [
            "",
            "true",
            "has(object.spec.nodeName)",
            "has(object.metadata.labels) || true",
            "request.namespace != 'shop'",
            "request.namespace == \"shop\"",
            "request.namespace == 'sh\\'op'",
            "request.namespace == 'shop",
            "request.namespace == 'shop')",
            "(request.namespace == 'shop'",
            "request.namespace == 'shop' request.namespace",
            "object.metadata.labels['a']",
            "object.metadata.labels.size() > 0",
            "'a' in ['a', 'b']",
            "request.namespace == 'shop' ? true : false",
            "é",
        ] {
            assert_eq!(said(expression, &[("a", "b")], &[]), None, "{expression}");
        }
    }
}

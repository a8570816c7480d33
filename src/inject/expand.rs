//! `$(NAME)` as Kubernetes reads it.

use std::borrow::Cow;

/// The literal that Kubernetes reads back as `text`.
pub fn double_dollars(text: &str) -> Cow<'_, str> {
    if text.contains('$') { Cow::Owned(text.replace('$', "$$")) } else { Cow::Borrowed(text) }
}

//! JSON as reviews are read: borrowed from the text, in one pass, and quick about what nobody asks for. And the strings of
//! their answers, which are written as quickly.
//!
//! Most of a review isn't read: `managedFields` alone is two fifths of it. [`Reader::skip`] finds the end of a value by its
//! brackets and strings, 64 bytes at a time, and looks at nothing else of it. So a text that is no JSON may be read, as
//! long as what is wrong stands in an object, a list or a string that is skipped, and the brackets there are balanced. That
//! harms nobody: such a text can't come from an API server, which writes what it sends from objects that it has read; and a
//! patch names only what was read. What is read is read strictly: a field that stands twice is refused, and so is `null` in
//! a list.
//!
//! Nothing here recurses with the depth of the text.

mod fields;
mod reader;
mod scan;
mod write;

pub(crate) use fields::fields;
pub use reader::{Error, Read, Reader, read};
pub use write::{Inside, push_string};

#[cfg(test)]
mod tests;

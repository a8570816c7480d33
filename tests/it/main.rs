//! One binary for all integration tests; a module per topic.

mod properties;
mod reference;

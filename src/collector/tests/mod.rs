//! Tests over whole renderings.

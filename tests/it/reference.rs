//! The reference pages are what the code says. `SNAPSHOTS=overwrite cargo test --test it reference` writes them anew.

use snapbox::{Data, assert_data_eq};

#[test]
fn reference_pages_are_those_of_the_code() {
    for (name, page) in otelgate::reference::pages() {
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference").join(name);
        assert_data_eq!(page, Data::read_from(&file, None).raw());
    }
}

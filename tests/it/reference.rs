//! The reference pages are what the code says. `SNAPSHOTS=overwrite cargo test --test it reference` writes them anew.

use snapbox::{Data, assert_data_eq};

#[test]
fn reference_pages_are_those_of_the_code() {
    for (name, page) in otelgate::reference::pages() {
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference").join(name);
        assert_data_eq!(page, Data::read_from(&file, None).raw());
    }
}

#[test]
fn the_charts_values_and_their_schema_are_those_of_the_code() {
    let schema = serde_json::to_string_pretty(&otelgate::chart::schema()).unwrap() + "\n";
    for (name, text) in [("values.yaml", otelgate::chart::defaults()), ("values.schema.json", schema)] {
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/otelgate").join(name);
        assert_data_eq!(text, Data::read_from(&file, None).raw());
    }
}

#[test]
fn the_custom_resource_definition_is_that_of_the_code() {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/otelgate/crds/telemetrystacks.yaml");
    assert_data_eq!(otelgate::api::crd::yaml(), Data::read_from(&file, None).raw());
}

//! What `docs/deploy.md` says to type, in its order.

use std::path::Path;

use super::person::{Person, listing};
use super::{OTELGATE, whole};
use crate::control_plane::process_nodes::ProcessNodes;
use crate::control_plane::programs::Helm;

#[test]
fn what_the_page_says_to_type() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/deploy.md");
    let page = std::fs::read_to_string(page).expect("the page");
    let blocks = page.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    let commands: Vec<&str> = blocks.flat_map(str::lines).collect();
    assert!(commands.len() >= 8, "{commands:?}");
    let plane = whole();
    let _nodes = ProcessNodes::join(&plane, Path::new(OTELGATE));
    let before = listing::settled(&plane);
    let person = Person::new(&plane, Some(Helm::Four));
    for command in commands {
        let words: Vec<&str> = command.split_whitespace().collect();
        match words[0] {
            "otelgate" => {
                let told = person.run(&words[1..]);
                assert_eq!(told.code, Some(0), "{command}: {}{}", told.stdout, told.stderr);
            }
            "kubectl" => {
                plane.kubectl(&words[1..]).expect(command);
            }
            other => panic!("{other} isn't there"),
        }
    }
    listing::wait_for_same(&before, &plane, "after the last of them");
}

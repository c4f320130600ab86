//! What the documents link to is there.

use std::path::Path;

#[test]
fn files_that_are_linked_to_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut links = 0;
    for document in [
        "README.md",
        "benches/README.md",
        "harness/ARCHITECTURE.md",
        "docs/pool-hit-tag.md",
    ] {
        let text = std::fs::read_to_string(root.join(document)).unwrap();
        let folder = root.join(document).parent().unwrap().to_owned();
        for link in text.split("](").skip(1) {
            let link = link.split([')', '#']).next().unwrap();
            if !link.is_empty() && !link.contains("://") {
                assert!(folder.join(link).exists(), "{document}: {link}");
                links += 1;
            }
        }
    }
    assert!(links > 5, "{links} links");
}

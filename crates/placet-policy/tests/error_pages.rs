//! Every diagnostic code has a page, and every page a code.
// SPDX-License-Identifier: MIT OR Apache-2.0
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops where its own files are missing"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The first halves of the codes of this crate.
const AREAS: &str = "yaml|policy|lint|export|rego";

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
}

fn codes() -> BTreeSet<String> {
    let code = regex::Regex::new(&format!("\"(({AREAS})/[a-z0-9-]+)\"")).unwrap();
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    let texts = files.iter().map(|file| fs::read_to_string(file).unwrap());
    texts
        .flat_map(|text| code.captures_iter(&text).map(|found| found[1].to_owned()).collect::<Vec<_>>())
        .collect()
}

#[test]
fn every_code_has_a_page_and_every_page_a_code() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors");
    let codes = codes();
    assert!(codes.len() > 30, "{codes:?}");
    let missing: Vec<&String> = codes
        .iter()
        .filter(|code| !folder.join(format!("{}.md", code.replace('/', "-"))).is_file())
        .collect();
    assert_eq!(missing, [""; 0], "write docs/errors/<code with `/` as `-`>.md");
    let area = regex::Regex::new(&format!("^({AREAS})-")).unwrap();
    for page in fs::read_dir(&folder).unwrap() {
        let name = page.unwrap().file_name().into_string().unwrap();
        if let (Some(stem), true) = (name.strip_suffix(".md"), area.is_match(&name)) {
            assert!(
                codes.contains(&stem.replacen('-', "/", 1)),
                "docs/errors/{name} is about no code in use"
            );
        }
    }
}

#[test]
fn a_page_begins_with_its_code_and_says_what_to_do() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors");
    for code in codes() {
        let page = folder.join(format!("{}.md", code.replace('/', "-")));
        let text = fs::read_to_string(&page).unwrap();
        assert!(text.starts_with(&format!("# {code}\n")), "{}", page.display());
        assert!(text.contains("**What to do.**"), "{}", page.display());
    }
}

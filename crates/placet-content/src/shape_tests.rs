// SPDX-License-Identifier: MIT OR Apache-2.0

use super::*;

fn words() -> Words {
    Words::from([("n".to_owned(), parse("rule|rules", &Words::new()).unwrap())])
}

#[test]
fn anchors_are_the_beginnings() {
    let anchors = |shape: &str| {
        let found = parse(shape, &words()).unwrap().anchors()?;
        Ok::<_, String>(found.into_iter().map(|a| String::from_utf8(a).unwrap()).collect::<Vec<_>>())
    };
    assert_eq!(anchors("ignore [the] {n}").unwrap(), ["ignore"]);
    assert_eq!(anchors("[the] (omit|skip) {n}").unwrap(), ["omit", "skip", "the"]);
    assert_eq!(anchors("(<|</)(user|sys)>").unwrap(), ["</sys>", "</user>", "<sys>", "<user>"]);
    assert_eq!(anchors("{n} x").unwrap(), ["ruie", "ruies"]);
    for (shape, says) in
        [("[x]", "optional"), ("~3 x", "any word"), ("^ x", "before"), ("< user", "two characters")]
    {
        let error = anchors(shape).unwrap_err();
        assert!(error.contains(says), "{shape}: {error}");
    }
}

#[test]
fn mistakes_are_named() {
    for (shape, says) in [
        ("a (b", "`)` is missing"),
        ("a b)", "closes nothing"),
        ("a {nope}", "no word list is called `nope`; known: n"),
        ("a {n", "`}` is missing"),
        ("a ~ b", "number of words"),
        ("a ()", "empty"),
        ("", "empty"),
        ("\u{200b}", "folds to nothing"),
        ("a \\", "escapes nothing"),
    ] {
        let error = parse(shape, &words()).unwrap_err();
        assert!(error.contains(says), "{shape}: {error}");
    }
}

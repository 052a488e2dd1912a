//! Scripts of this repository that people start by hand.

use std::process::Command;

#[test]
fn a_load_that_ends_before_what_happens_under_it_is_refused_at_the_start() {
    let run = |duration: &str| {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/run");
        // A tool that is missing ends a run whose settings are right, before it reaches a cluster.
        let variables = [("DURATION", duration), ("HELM", "no-such-helm")];
        let output = Command::new(script).envs(variables).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    for short in ["30s", "59", "0m59s", "soon", "1m30"] {
        let (code, said) = run(short);
        assert_eq!(code, Some(2), "{short}: {said}");
        assert!(said.contains(&format!("DURATION={short} must be 60s or more")), "{said}");
    }
    for enough in ["60s", "60", "1m", "1m30s", "2h"] {
        let (code, said) = run(enough);
        assert!(code == Some(1) && said.contains("is missing"), "{enough}: {said}");
    }
}

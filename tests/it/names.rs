//! Who counts as one user, the same in every database.

use crate::harness::{TestApp, refusal};
use serde_json::json;

#[tokio::test]
async fn names_that_look_alike_are_different_users() {
    let (app, _database) = TestApp::start().await;
    // Case, accent, composition, trailing zero-width space, sharp s: databases like to merge these.
    let names = ["Bob", "bob", "böb", "bo\u{308}b", "bob\u{200b}", "strasse", "straße", "ＢＯＢ"];
    for name in names {
        app.say(name, "hi").await;
        app.say(name, "again").await;
    }
    let mut expected = names.to_vec();
    expected.sort_unstable();
    assert_eq!(app.get_json("/users").await, json!({ "users": expected }));
}

#[tokio::test]
async fn white_space_around_a_name_is_removed_and_inside_it_kept() {
    let (app, _database) = TestApp::start().await;
    assert_eq!(app.say("bob ", "hi").await["user"], "bob");
    assert_eq!(app.say("\u{3000}bob\t", "hi").await["user"], "bob");
    assert_eq!(app.say("bob  b", "hi").await["user"], "bob  b");
    assert_eq!(app.get_json("/users").await, json!({ "users": ["bob", "bob  b"] }));
}

#[tokio::test]
async fn a_name_has_up_to_100_characters() {
    let (app, _database) = TestApp::start().await;
    let longest = "🦀".repeat(100);
    assert_eq!(app.say(&longest, "hi").await["user"], longest);
    let too_long = app.post(&"x".repeat(101), "hi");
    assert_eq!(refusal(too_long).await, (422, "user_too_long".into()));
}

#[tokio::test]
async fn a_name_with_control_characters_is_refused() {
    let (app, _database) = TestApp::start().await;
    for name in ["a\0b", "a\nb", "a\u{7f}b", "a\u{9b}b"] {
        assert_eq!(refusal(app.post(name, "hi")).await, (422, "user_invalid".into()));
    }
}

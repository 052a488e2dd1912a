//! Texts that have broken other software: each is kept byte for byte, and nothing of it is ever
//! run.

use crate::harness::TestApp;
use reqwest::Method;

/// Every kind of fault that a text is known to make, in our own words.
fn naughty() -> Vec<String> {
    let mut texts: Vec<String> = [
        // Markup and scripts.
        "<script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)>",
        "javascript:alert(1)//",
        "<svg/onload=alert(1)>",
        "</textarea><!--",
        "{{7*7}} ${7*7} <%= 7*7 %> #{7*7}",
        "&lt;&amp;&#x3C;",
        // SQL.
        "'; drop table messages; --",
        "' or '1'='1",
        "\\'; delete from users where 1=1 #",
        "`messages` /* */ -- %s %d ?1 :name @x $1",
        // Shells, paths, formats, log lines.
        "$(touch /tmp/x) `id` | cat && ls; \\",
        "../../../../etc/passwd%00",
        "%n%n%s%x",
        "line\r\nHTTP/1.1 200 OK\r\nSet-Cookie: a=b",
        "{\"level\":\"INFO\",\"message\":\"forged\"}\n",
        // Characters.
        "\0",
        "a\0b\u{1}\u{7f}\u{80}",
        "\u{feff}starts with a byte order mark",
        "\u{202e}right to left\u{202c} \u{2066}isolate\u{2069}",
        "العربية עברית",
        "zero\u{200b}width\u{200d}joiner\u{2060}",
        "Z\u{351}\u{36b}\u{343}a\u{334}\u{35d}l\u{321}go\u{30a}\u{30a}\u{30a}",
        "é e\u{301}",
        "👩‍👩‍👧‍👦 🏳️‍🌈 🇩🇪",
        "\u{fffd}\u{fffe}\u{ffff}\u{10ffff}\u{e000}",
        "ﷺ ŉ ß ı İ ſ K Å",
        " leading and trailing \t\n\u{a0}",
        "\\u0000 \\\" \\\\ \u{8}\u{c}",
        // Numbers and words that parsers take for something else.
        "null",
        "NaN",
        "1e999",
        "0x7fffffffffffffff",
        "true",
        "-0",
        "[object Object]",
    ]
    .map(str::to_owned)
    .to_vec();
    // Every character of the first planes' edges, once.
    texts.push((0..0x20).filter_map(char::from_u32).collect());
    texts.push((0x7f..0x100).filter_map(char::from_u32).collect());
    texts.push("\u{d7ff}\u{e000}\u{ffff}\u{10000}\u{10ffff}".into());
    texts.push("\u{301}".repeat(1_000));
    texts
}

#[tokio::test]
async fn naughty_strings_come_back_byte_for_byte() {
    let (app, database) = TestApp::start().await;
    let texts = naughty();
    assert!(texts.len() <= 100, "one page holds them");
    for text in &texts {
        let message = app.say("bob", text).await;
        assert_eq!(message["text"], **text, "the answer to the post");
    }
    for (message, text) in app.messages().await.iter().rev().zip(&texts) {
        assert_eq!(message["text"], **text, "the read");
    }
    assert_eq!(database.count_messages().await, texts.len());
}

#[tokio::test]
async fn naughty_strings_can_be_names_unless_they_have_control_characters() {
    let (app, _database) = TestApp::start().await;
    for text in naughty() {
        let name: String = text.chars().take(100).collect();
        let status = app.post(&name, "hi").send().await.unwrap().status();
        let valid = !name.trim().is_empty() && !name.trim().contains(char::is_control);
        assert_eq!(status, if valid { 201 } else { 422 }, "{name:?}");
    }
}

#[tokio::test]
async fn scripts_in_a_text_are_harmless_to_a_browser() {
    let (app, _database) = TestApp::start().await;
    app.say("<b>bob</b>", "<script>alert(1)</script>").await;
    for path in ["/messages", "/messages/1", "/users"] {
        let response = app.get(path).await;
        let headers = response.headers();
        assert_eq!(headers["content-type"], "application/json", "{path}");
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("default-src 'none'"), "{path}: {policy}");
    }
}

#[tokio::test]
async fn half_a_surrogate_pair_is_no_text() {
    let (app, _database) = TestApp::start().await;
    for escape in [r"\ud800", r"\udc00", r"\ud83e\u0041", r"\uZZZZ"] {
        let body = format!(r#"{{"user": "bob", "text": "{escape}"}}"#);
        let request =
            app.request(Method::POST, "/message").header("content-type", "application/json");
        let refused = crate::harness::refusal(request.body(body)).await;
        assert_eq!(refused, (400, "malformed_json".into()), "{escape}");
    }
}

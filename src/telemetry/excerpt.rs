//! Makes client input safe for logs and traces.

use std::borrow::Cow;

/// Enough to recognise a request; a head may be a hundred times longer.
const BYTES_MAX: usize = 256;

/// Returns the beginning of a text. Escapes characters that are not printable, such as line ends
/// and changes of the writing direction, because not every log viewer does.
pub fn excerpt(text: &str) -> Cow<'_, str> {
    let text = &text[..text.floor_char_boundary(BYTES_MAX)];
    if text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
        return text.into();
    }
    let escape =
        |c: char| if c.is_ascii_graphic() { c.into() } else { c.escape_debug().to_string() };
    text.chars().map(escape).collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_printable_stays() {
        assert_eq!(excerpt("/a b\"\\"), "/a b\"\\");
        assert_eq!(excerpt("böb \u{1f600}"), "böb \u{1f600}");
        assert_eq!(
            excerpt("a\n\u{2028}\u{85}\u{9b}\u{202e}\u{1b}[31m"),
            r"a\n\u{2028}\u{85}\u{9b}\u{202e}\u{1b}[31m"
        );
        assert_eq!(excerpt(&"ü".repeat(200)).len(), BYTES_MAX);
    }
}

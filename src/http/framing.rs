//! Rules of HTTP/1.1 for requests that hyper does not check: the host, and the end of the body.
//!
//! If a proxy and a server interpret such a request differently, an attacker can pass off bytes of
//! one client as another client's request.

use crate::telemetry::excerpt;
use hyper::{
    Request, Version,
    body::{Body, Incoming},
    header::{self, HeaderValue},
};
use std::net::Ipv6Addr;

/// The fault of a request, as a sentence for its client. It is passed on with the request to the
/// middleware, which responds with an error.
#[derive(Clone, Debug)]
pub struct Fault(pub String);

/// Returns the fault of a request, if any. If hyper knows the body's length, the coding is valid;
/// only chunked bodies need the second check.
pub fn fault(request: &Request<Incoming>) -> Option<Fault> {
    fault_of_host(request).or_else(|| match request.body().size_hint().exact() {
        Some(_) => None,
        None => fault_of_coding(request),
    })
}

/// RFC 9112, section 3.2: one valid `Host` header; only HTTP/1.0 may omit it.
fn fault_of_host(request: &Request<Incoming>) -> Option<Fault> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) if is_host(host.as_bytes()) => None,
        (Some(host), None) => Some(Fault(format!(
            "The Host header `{}` is not a host with an optional port, such as example.com:8081.",
            shown(host)
        ))),
        (Some(_), Some(_)) => Some(Fault("The Host header is repeated; send it once.".into())),
        (None, _) if request.version() < Version::HTTP_11 => None,
        (None, _) => Some(Fault("The Host header is missing; HTTP/1.1 requires it, once.".into())),
    }
}

/// `uri-host [ ":" port ]` of RFC 9110, section 7.2. A host of the http scheme is never empty.
fn is_host(value: &[u8]) -> bool {
    let colon = value.iter().rposition(|byte| *byte == b':' || *byte == b']');
    let (host, port) = match colon {
        Some(at) if value[at] == b':' => (&value[..at], &value[at + 1..]),
        _ => (value, &[][..]),
    };
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(byte);
    let is_known = match host {
        [b'[', ip @ .., b']'] => str::from_utf8(ip).is_ok_and(|ip| ip.parse::<Ipv6Addr>().is_ok()),
        name if name.iter().all(is_plain) => !name.is_empty(),
        name => name.iter().all(|byte| is_plain(byte) || *byte == b'%') && is_encoded(name),
    };
    is_known && port.iter().all(u8::is_ascii_digit)
}

/// Whether each percent sign begins an encoded byte.
pub fn is_encoded(text: &[u8]) -> bool {
    text.split(|byte| *byte == b'%')
        .skip(1)
        .all(|rest| matches!(rest, [a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit()))
}

/// RFC 9112, sections 6.1 and 7.1: the only accepted transfer coding is a single `chunked`. hyper
/// checks only the last coding.
fn fault_of_coding(request: &Request<Incoming>) -> Option<Fault> {
    let codings: Vec<&HeaderValue> =
        request.headers().get_all(header::TRANSFER_ENCODING).iter().collect();
    if let [coding] = *codings
        && coding.as_bytes().eq_ignore_ascii_case(b"chunked")
    {
        return None;
    }
    let codings: Vec<_> = codings.into_iter().map(shown).collect();
    Some(Fault(format!(
        "The Transfer-Encoding is `{}`, but only a single `chunked` is supported.",
        codings.join(", ")
    )))
}

fn shown(value: &HeaderValue) -> String {
    excerpt(&String::from_utf8_lossy(value.as_bytes())).into_owned()
}

#[cfg(test)]
mod tests {
    use super::is_host;

    #[test]
    fn a_host_is_a_name_or_an_address_with_an_optional_port() {
        for host in [
            "x",
            "example.com",
            "example.com:8081",
            "localhost:",
            "127.0.0.1:80",
            "[::1]",
            "[2001:db8::1]:8081",
            "chat-server_1.default.svc",
            "b%C3%B6b.example",
            "a,b",
        ] {
            assert!(is_host(host.as_bytes()), "{host}");
        }
        for host in [
            "", ":80", "a b", "x:port", "x:80:80", "a/b", "user@x", "http://x", "::1", "[::1",
            "::1]", "[::1]x", "[x]", "[]", "[::1]:x", "böb", "x#", "x?y", "\"x\"", "a\\b", "a<b",
            "a%zz", "a%", "a%4", "%%41", "[%31]",
        ] {
            assert!(!is_host(host.as_bytes()), "{host}");
        }
    }
}

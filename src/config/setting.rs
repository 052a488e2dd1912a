//! Parses the values of settings. An error describes a valid value; clap adds the setting and the
//! value in front.

use bytesize::ByteSize;
use std::{
    fs::File,
    io::{self, Read},
    net::{SocketAddr, ToSocketAddrs},
    ops::RangeInclusive,
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
    time::Duration,
};
use tracing_subscriber::{EnvFilter, filter::LevelFilter};
use url::Url;

/// The maximum duration of a setting. A longer one is most likely a mistake.
const DURATION_MAX: Duration = Duration::from_hours(24);

/// The maximum time to read a file. A pipe may be slow, but one without a writer must not block the
/// startup forever.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// The maximum size of a file: larger than all certificates of a system. A device such as /dev/zero
/// has no end.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

const ADDRESS: &str = "must be HOST:PORT, such as 127.0.0.1:8081, [::1]:8081, localhost:8081, \
    or :8081 for every address";

const BYTES: &str = "must be 1 to 4294967295 bytes, such as 1048576, 500kB, 1MB or 1MiB";

const FILTER: &str = "must be off, error, warn, info, debug or trace, also for one part of the \
    program, such as warn,chat_server=debug";

/// Parses an address to listen on. For a name, this returns its first IPv4 address if it has one,
/// because most clients of `localhost` use that.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    let text = if text.starts_with(':') { format!("[::]{text}") } else { text.to_owned() };
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let (host, port) = text.rsplit_once(':').ok_or(ADDRESS)?;
    // `parse` would accept a plus sign.
    let port: Option<u16> = port.parse().ok().filter(|_| !port.starts_with('+'));
    let port = port.ok_or_else(|| format!("the port is not from 0 to 65535; {ADDRESS}"))?;
    if host.contains([':', '/', '@', '[', ']']) {
        return Err(ADDRESS.to_owned());
    }
    let found = (host, port).to_socket_addrs();
    let found: Vec<_> = found.map_err(|_| format!("the host is unknown; {ADDRESS}"))?.collect();
    let address = found.iter().find(|address| address.is_ipv4()).or(found.first());
    address.copied().ok_or_else(|| ADDRESS.to_owned())
}

/// The URL at which clients reach the server: scheme, host, and optionally port and path. Has no
/// slash at the end.
#[derive(Clone, Copy, Debug)]
pub struct PublicUrl(pub &'static str);

/// Parses a public URL. It may only contain characters without a special meaning in HTML and in a
/// shell, because examples contain it.
pub fn public_url(text: &str) -> Result<PublicUrl, String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._~:/%[]".contains(c);
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let url = url.map(String::from).filter(|url| url.chars().all(is_plain));
    // Parsed once and lives as long as the process.
    url.map(|url| PublicUrl(url.trim_end_matches('/').to_owned().leak())).ok_or_else(|| {
        "must be http://HOST or https://HOST, with an optional path, such as \
         https://example.org/chat"
            .to_owned()
    })
}

/// Parses the path of a file, which is read later.
pub fn file(text: &str) -> Result<PathBuf, String> {
    match text {
        "" => Err("must be the path of a file, such as /run/secrets/database".to_owned()),
        path => Ok(path.into()),
    }
}

/// Reads a file that a setting names.
///
/// # Errors
/// If the file cannot be read, is too large, or does not end in time.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    let path = path.to_owned();
    thread::spawn(move || {
        let mut content = Vec::new();
        let read = File::open(path)
            .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut content))
            .map(|_| content);
        // Fails if the receiver has timed out.
        let _ = sender.send(read);
    });
    match receiver.recv_timeout(READ_TIMEOUT) {
        Ok(Ok(content)) if content.len() as u64 > FILE_BYTES_MAX => {
            Err(io::Error::other("it has more than 1 MiB"))
        }
        Ok(result) => result,
        Err(_) => Err(io::Error::other(format!("it did not end within {READ_TIMEOUT:?}"))),
    }
}

/// Parses a whole number; errors contain `example`.
pub fn count(
    range: RangeInclusive<u32>,
    example: u32,
) -> impl Fn(&str) -> Result<u32, String> + Clone + Send + Sync + 'static {
    move |text| {
        text.parse().ok().filter(|count| range.contains(count)).ok_or_else(|| {
            let (min, max) = (range.start(), range.end());
            format!("must be a whole number from {min} to {max}, such as {example}")
        })
    }
}

/// Parses a number of bytes, with an optional unit: k, M and G are powers of 1000, Ki, Mi and Gi of
/// 1024, as in Kubernetes; a B may follow.
pub fn bytes(text: &str) -> Result<u32, String> {
    let bytes = text.parse().ok().map(|bytes: ByteSize| bytes.as_u64());
    bytes.and_then(|bytes| bytes.try_into().ok()).filter(|bytes| *bytes > 0).ok_or(BYTES.to_owned())
}

/// Parses a duration above zero.
pub fn duration(text: &str) -> Result<Duration, String> {
    let positive = duration_or_none(text).ok().filter(|duration| !duration.is_zero());
    positive.ok_or_else(|| {
        "must be a time above 0s and up to 24h, with its unit, such as 500ms, 10s or 2m".to_owned()
    })
}

pub fn duration_or_none(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).ok();
    duration.filter(|duration| *duration <= DURATION_MAX).ok_or_else(|| {
        "must be a time of up to 24h, with its unit, such as 0s, 500ms, 10s or 2m".to_owned()
    })
}

/// Checks a log filter. A word that is not a level names a part of the program; an unknown part
/// would leave the log empty.
pub fn log_filter(text: &str) -> Result<String, String> {
    let is_word = |part: &&str| !part.contains(['=', '[', ']', '{', '}']);
    let is_known = |word: &str| {
        !word.is_empty() && word.parse::<LevelFilter>().is_ok() || word.starts_with("chat_server")
    };
    let words_are_known = text.split(',').map(str::trim).filter(is_word).all(is_known);
    if words_are_known && text.parse::<EnvFilter>().is_ok() {
        Ok(text.to_owned())
    } else {
        Err(FILTER.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_the_units_of_kubernetes() {
        for (text, expected) in [
            ("1048576", 1_048_576),
            ("1k", 1_000),
            ("500kB", 500_000),
            ("1M", 1_000_000),
            ("1 MB", 1_000_000),
            ("1Ki", 1_024),
            ("1MiB", 1_048_576),
            ("1.5Mi", 1_572_864),
            ("4294967295", u32::MAX),
        ] {
            assert_eq!(bytes(text), Ok(expected), "{text}");
        }
        for text in ["", "0", "-1", "M", "1 potato", "4GiB", "99999999999999999999"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_address_may_leave_out_the_host_or_name_it() {
        for (text, expected) in [
            ("0.0.0.0:8081", "0.0.0.0:8081"),
            (":8081", "[::]:8081"),
            ("localhost:8081", "127.0.0.1:8081"),
            ("[::1]:0", "[::1]:0"),
        ] {
            assert_eq!(address(text), Ok(expected.parse().unwrap()), "{text}");
        }
    }
}

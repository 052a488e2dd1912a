//! Limits of a MySQL that are smaller than what this server promises or uses.

use super::{insert::text_bytes_max, url};
use crate::{message::TEXT_CHARS_MAX, readiness::DatabaseFault, store::distance::is_too_slow};
use sqlx::mysql::MySqlDatabaseError;

/// What the database reported to the last new connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The maximum size of a packet, in bytes.
    pub packet_bytes_max: usize,
    /// The maximum number of connections of all clients together.
    pub connections_max: u32,
    /// Whether reads wait until this node of a cluster has what was committed on the others.
    pub waits_for_cluster: bool,
}

/// A connection that the database has refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub cause: RefusalCause,
    /// The number of connections that this server had.
    pub connections: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalCause {
    /// The variable or the property of the user that limits them.
    Limit(&'static str),
    /// The user, the password or the certificate.
    Login(DatabaseFault),
    /// A part of the URL, such as a character set that the database does not know.
    Url,
    /// This host, since too many of its connections have failed.
    HostBlocked,
    /// The database did not respond in time.
    NoResponse,
}

/// Properties of a user, as the database names them when one is reached.
const LIMITS_OF_USER: [&str; 4] =
    ["max_user_connections", "max_connections_per_hour", "max_questions", "max_updates"];

impl Refusal {
    /// Why connecting failed, if open connections may be usable all the same.
    pub fn cause(error: &sqlx::Error) -> Option<RefusalCause> {
        if let Some(error) = error.as_database_error()
            && let Some(error) = error.try_downcast_ref::<MySqlDatabaseError>()
        {
            let of_user = || LIMITS_OF_USER.into_iter().find(|it| error.message().contains(it));
            match error.number() {
                1040 => return Some(RefusalCause::Limit("max_connections")),
                1203 | 1226 => {
                    return Some(RefusalCause::Limit(of_user().unwrap_or(LIMITS_OF_USER[0])));
                }
                1129 => return Some(RefusalCause::HostBlocked),
                _ => {}
            }
        }
        if url::refusal(error).is_some() {
            return Some(RefusalCause::Url);
        }
        if is_too_slow(error) {
            return Some(RefusalCause::NoResponse);
        }
        let fault = DatabaseFault::of(error)?;
        matches!(fault, DatabaseFault::AccessDenied | DatabaseFault::TlsFailed)
            .then_some(RefusalCause::Login(fault))
    }

    fn warning(self, connections_used: usize) -> String {
        let Self { cause, connections } = self;
        match cause {
            RefusalCause::Limit(limit) => format!(
                "The database's {limit} leaves this server {connections} of the \
                 {connections_used} connections of DATABASE_MAX_CONNECTIONS, so requests wait for \
                 one another: raise it, or lower DATABASE_MAX_CONNECTIONS"
            ),
            RefusalCause::Login(fault) => format!(
                "The database refuses new connections ({}), so requests use the {connections} \
                 that are open: bring {} up to date",
                fault.as_str(),
                match fault {
                    DatabaseFault::TlsFailed => "the files of ssl-ca, ssl-cert and ssl-key",
                    _ => "DATABASE_URL_FILE or DATABASE_PASSWORD_FILE",
                }
            ),
            RefusalCause::Url => format!(
                "The database refuses a part of the URL in DATABASE_URL_FILE, so requests use the \
                 {connections} connections that are open: correct its character set, collation, \
                 time zone or names"
            ),
            RefusalCause::HostBlocked => format!(
                "The database has blocked this host after many failed connections \
                 (max_connect_errors), so requests use the {connections} that are open: let it \
                 forget them with FLUSH HOSTS"
            ),
            RefusalCause::NoResponse => format!(
                "The database gives no response to new connections, so requests use the \
                 {connections} that are open: look at its load, and at what is between it and this \
                 server"
            ),
        }
    }
}

/// Whether the database has reached its limit of prepared statements.
pub fn is_out_of_statements(error: &sqlx::Error) -> bool {
    let error = error.as_database_error().and_then(|it| it.try_downcast_ref());
    error.is_some_and(|error: &MySqlDatabaseError| error.number() == 1461)
}

impl Default for Limits {
    fn default() -> Self {
        Self { packet_bytes_max: usize::MAX, connections_max: u32::MAX, waits_for_cluster: false }
    }
}

impl Limits {
    /// Warnings for operators of a server that uses up to this many connections.
    pub fn warnings(self, connections_used: usize, refusal: Option<Refusal>) -> Vec<String> {
        let mut warnings = Vec::new();
        let text_bytes_max = text_bytes_max(self.packet_bytes_max);
        if text_bytes_max < 4 * TEXT_CHARS_MAX {
            warnings.push(format!(
                "The database's max_allowed_packet is {} bytes, so texts of more than \
                 {text_bytes_max} bytes are refused, though {TEXT_CHARS_MAX} characters are \
                 allowed: set it to 1 MiB or more",
                self.packet_bytes_max
            ));
        }
        if let Some(refusal) = refusal {
            warnings.push(refusal.warning(connections_used));
        } else if (self.connections_max as usize) < connections_used {
            warnings.push(format!(
                "The database's max_connections is {}, and this server alone may use \
                 {connections_used}: raise it, or lower DATABASE_MAX_CONNECTIONS",
                self.connections_max
            ));
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_is_large_enough_is_no_reason_to_warn() {
        let limits =
            Limits { packet_bytes_max: 1024 * 1024, connections_max: 20, ..Limits::default() };
        assert_eq!(limits.warnings(20, None), [""; 0]);
        assert_eq!(Limits { packet_bytes_max: 500_000, ..limits }.warnings(20, None).len(), 1);
        assert_eq!(limits.warnings(21, None).len(), 1);
    }
}

//! Limits of a MySQL that are smaller than what this server promises or uses.

use super::transaction;
use crate::message::TEXT_CHARS_MAX;

/// What the database told with the last connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest packet that it takes, in bytes.
    pub packet_bytes_max: usize,
    /// The connections that all its clients together may have.
    pub connections_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { packet_bytes_max: usize::MAX, connections_max: u32::MAX }
    }
}

impl Limits {
    /// What to change, in words, for a server that uses up to this many connections.
    pub fn warnings(self, connections_used: u32) -> Vec<String> {
        let mut warnings = Vec::new();
        let text_bytes_max = transaction::text_bytes_max(self.packet_bytes_max);
        if text_bytes_max < 4 * TEXT_CHARS_MAX {
            warnings.push(format!(
                "The database's max_allowed_packet is {} bytes, so texts of more than \
                 {text_bytes_max} bytes are refused, though {TEXT_CHARS_MAX} characters are \
                 allowed: set it to 1 MiB or more",
                self.packet_bytes_max
            ));
        }
        if self.connections_max < connections_used {
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
        let limits = Limits { packet_bytes_max: 1024 * 1024, connections_max: 20 };
        assert_eq!(limits.warnings(20), [""; 0]);
        assert_eq!(Limits { packet_bytes_max: 500_000, ..limits }.warnings(20).len(), 1);
        assert_eq!(limits.warnings(21).len(), 1);
    }
}

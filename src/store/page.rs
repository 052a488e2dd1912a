//! Which messages a read is about.

use crate::message::{Message, MessageId};

/// Which messages a read is about. The newest of them comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// The newest ones between two ids, both excluded.
    Newest { after: MessageId, before: MessageId, limit: u32 },
    /// The ones that follow an id directly.
    Following { after: MessageId, limit: u32 },
}

impl Page {
    /// The same page without what is newer than an id, as far as that moves its beginning.
    #[must_use]
    pub fn up_to(self, newest: MessageId) -> Self {
        match self {
            Self::Newest { after, before, limit } => {
                Self::Newest { after, before: before.min(newest.saturating_add(1)), limit }
            }
            Self::Following { .. } => self,
        }
    }

    /// Whether no id is missing in these messages, the newest first.
    pub fn is_without_gaps(self, messages: &[Message]) -> bool {
        let (after, is_cut_off) = match self {
            Self::Newest { after, limit, .. } => (after, messages.len() == limit as usize),
            Self::Following { after, .. } => (after, false),
        };
        let consecutive = messages.windows(2).all(|pair| pair[0].id == pair[1].id + 1);
        let oldest = messages.last().map_or(0, |oldest| oldest.id);
        consecutive && (is_cut_off || oldest == after + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::OffsetDateTime;

    fn is_without_gaps(page: Page, ids: &[MessageId]) -> bool {
        let message = |id: &MessageId| {
            let (user, text) = (String::new(), String::new());
            Message { id: *id, user, text, created_at: OffsetDateTime::UNIX_EPOCH }
        };
        page.is_without_gaps(&ids.iter().map(message).collect::<Vec<_>>())
    }

    #[test]
    fn a_gap_is_found_within_a_page_and_at_the_end_where_more_may_be() {
        let newest = Page::Newest { after: 2, before: 100, limit: 4 };
        assert!(is_without_gaps(newest, &[9, 8, 7, 6]) && is_without_gaps(newest, &[4, 3]));
        assert!(!is_without_gaps(newest, &[9, 8, 6, 5]) && !is_without_gaps(newest, &[5, 4]));
        let following = Page::Following { after: 2, limit: 4 };
        assert!(is_without_gaps(following, &[6, 5, 4, 3]) && is_without_gaps(following, &[3]));
        assert!(!is_without_gaps(following, &[7, 6, 5, 4]) && !is_without_gaps(following, &[5, 3]));
    }
}

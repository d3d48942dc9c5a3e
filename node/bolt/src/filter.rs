//! Which notifications a client wants to hear, from Bolt 5.2 on: said in HELLO for the whole connection, in BEGIN
//! and RUN for one transaction.

use crate::message::{text, texts};
use crate::value::{Map, PackValue};
use crate::{DecodeError, Version};

/// How much a notification matters, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Information,
    Warning,
}

/// The least that is heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threshold {
    From(Severity),
    Off,
}

/// What a client says about notifications. What it does not say is as the connection has it, and there as the
/// server has it: everything is heard.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct NotificationFilter {
    pub threshold: Option<Threshold>,
    /// Categories, called classifications from 5.5 on, that are not heard; in capitals.
    pub disabled: Option<Vec<String>>,
}

const THRESHOLD: &str = "notifications_minimum_severity";

fn disabled_key(version: Version) -> &'static str {
    if version.has_statuses() {
        "notifications_disabled_classifications"
    } else {
        "notifications_disabled_categories"
    }
}

impl Severity {
    /// Returns its word in filters and statuses.
    pub fn word(self) -> &'static str {
        match self {
            Severity::Information => "INFORMATION",
            Severity::Warning => "WARNING",
        }
    }
}

impl NotificationFilter {
    /// Whether a notification is heard.
    pub fn lets_through(&self, severity: Severity, category: &str) -> bool {
        let is_heard = match self.threshold {
            None => true,
            Some(Threshold::Off) => false,
            Some(Threshold::From(least)) => severity >= least,
        };
        is_heard && !self.disabled.iter().flatten().any(|disabled| disabled == category)
    }

    /// Fills in what is not said here.
    pub fn over(&self, below: &NotificationFilter) -> NotificationFilter {
        NotificationFilter {
            threshold: self.threshold.or(below.threshold),
            disabled: self.disabled.clone().or_else(|| below.disabled.clone()),
        }
    }

    pub(crate) fn from_map(map: &Map, version: Version) -> Result<NotificationFilter, DecodeError> {
        if !version.has_notification_filter() {
            return Ok(NotificationFilter::default());
        }
        let threshold = match text(map, THRESHOLD)?.map(|word| word.to_ascii_uppercase()).as_deref() {
            None => None,
            Some("OFF") => Some(Threshold::Off),
            Some("WARNING") => Some(Threshold::From(Severity::Warning)),
            Some("INFORMATION") => Some(Threshold::From(Severity::Information)),
            Some(_) => {
                return Err(DecodeError::Field { name: THRESHOLD, expected: "OFF, WARNING or INFORMATION" });
            }
        };
        let key = disabled_key(version);
        let disabled = match map.get(key) {
            None | Some(PackValue::Null) => None,
            Some(value) => Some(texts(value, key)?.iter().map(|word| word.to_ascii_uppercase()).collect()),
        };
        Ok(NotificationFilter { threshold, disabled })
    }

    pub(crate) fn put_into(&self, map: &mut Map, version: Version) {
        if !version.has_notification_filter() {
            return;
        }
        if let Some(threshold) = self.threshold {
            map.insert(
                THRESHOLD,
                match threshold {
                    Threshold::Off => "OFF",
                    Threshold::From(severity) => severity.word(),
                },
            );
        }
        if let Some(disabled) = &self.disabled {
            let words: Vec<PackValue> = disabled.iter().map(|word| word.as_str().into()).collect();
            map.insert(disabled_key(version), words);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_later_counts_and_the_rest_stays() {
        let connection = NotificationFilter {
            threshold: Some(Threshold::From(Severity::Warning)),
            disabled: Some(vec!["SCHEMA".into()]),
        };
        assert!(connection.lets_through(Severity::Warning, "TOPOLOGY"));
        assert!(!connection.lets_through(Severity::Information, "TOPOLOGY"));
        assert!(!connection.lets_through(Severity::Warning, "SCHEMA"));
        let query = NotificationFilter { threshold: None, disabled: Some(Vec::new()) }.over(&connection);
        assert!(query.lets_through(Severity::Warning, "SCHEMA"));
        assert!(!query.lets_through(Severity::Information, "SCHEMA"));
        let silent = NotificationFilter { threshold: Some(Threshold::Off), disabled: None }.over(&connection);
        assert!(!silent.lets_through(Severity::Warning, "TOPOLOGY"));
        assert!(NotificationFilter::default().lets_through(Severity::Information, "SCHEMA"));
    }

    #[test]
    fn the_key_is_the_versions() {
        let filter = NotificationFilter {
            threshold: Some(Threshold::From(Severity::Information)),
            disabled: Some(vec!["HINT".into()]),
        };
        for (version, key) in [
            (Version::V5_2, "notifications_disabled_categories"),
            (Version::V5_4, "notifications_disabled_categories"),
            (Version::V5_5, "notifications_disabled_classifications"),
            (Version::V5_8, "notifications_disabled_classifications"),
        ] {
            let mut map = Map::new();
            filter.put_into(&mut map, version);
            assert!(map.get(key).is_some(), "{version}: {map:?}");
            assert_eq!(NotificationFilter::from_map(&map, version), Ok(filter.clone()), "{version}");
        }
        let mut map = Map::new();
        filter.put_into(&mut map, Version::V5_1);
        assert!(map.is_empty());
        let odd = Map::new().with(THRESHOLD, "LOUD");
        assert!(matches!(
            NotificationFilter::from_map(&odd, Version::V5_8),
            Err(DecodeError::Field { name: THRESHOLD, .. })
        ));
        assert_eq!(NotificationFilter::from_map(&odd, Version::V5_1), Ok(NotificationFilter::default()));
    }
}

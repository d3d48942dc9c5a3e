//! Statuses of GQL (ISO/IEC 39075, clause 23), which Bolt carries in summaries from 5.5 on and in failures from
//! 5.7 on.
//!
//! A status is a class of two characters and a subclass of three. Those with `N` at the third place are not
//! the standard's but those that Neo4j's drivers know. What has no status of its own gets that of its class: code and
//! message say what it is.

use crate::value::Map;

/// A status and the words that the standard has for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    pub code: &'static str,
    pub text: &'static str,
}

impl Status {
    pub const SUCCESS: Status = Status { code: "00000", text: "note: successful completion" };
    /// Of a statement that has no columns.
    pub const OMITTED_RESULT: Status =
        Status { code: "00001", text: "note: successful completion - omitted result" };
    /// Of a result without a row.
    pub const NO_DATA: Status = Status { code: "02000", text: "note: no data" };
    pub const WARNING: Status = Status { code: "01N42", text: "warn: unknown warning" };
    pub const INFORMATION: Status = Status { code: "03N42", text: "info: unknown notification" };
    pub const PROTOCOL: Status =
        Status { code: "08N06", text: "error: connection exception - protocol error" };
    pub const DATA: Status = Status { code: "22000", text: "error: data exception" };
    pub const TRANSACTION_STATE: Status = Status { code: "25000", text: "error: invalid transaction state" };
    pub const READ_ONLY: Status =
        Status { code: "25G03", text: "error: invalid transaction state - read-only GQL-transaction" };
    pub const ROLLBACK: Status = Status { code: "40000", text: "error: transaction rollback" };
    /// Whether the transaction stands is not known.
    pub const UNKNOWN_COMPLETION: Status =
        Status { code: "40003", text: "error: transaction rollback - statement completion unknown" };
    pub const RULE: Status = Status { code: "42000", text: "error: syntax error or access rule violation" };
    pub const SYNTAX: Status =
        Status { code: "42001", text: "error: syntax error or access rule violation - invalid syntax" };
    pub const DENIED: Status = Status {
        code: "42NFF",
        text: "error: syntax error or access rule violation - permission/access denied",
    };
    pub const INTERNAL: Status =
        Status { code: "50N00", text: "error: general processing exception - internal error" };
    pub const UNEXPECTED: Status =
        Status { code: "50N42", text: "error: general processing exception - unexpected error" };
    pub const GRAPH_TYPE: Status = Status { code: "G2000", text: "error: graph type violation" };

    /// Every status of this crate.
    pub const ALL: [Status; 17] = [
        Status::SUCCESS,
        Status::OMITTED_RESULT,
        Status::NO_DATA,
        Status::WARNING,
        Status::INFORMATION,
        Status::PROTOCOL,
        Status::DATA,
        Status::TRANSACTION_STATE,
        Status::READ_ONLY,
        Status::ROLLBACK,
        Status::UNKNOWN_COMPLETION,
        Status::RULE,
        Status::SYNTAX,
        Status::DENIED,
        Status::INTERNAL,
        Status::UNEXPECTED,
        Status::GRAPH_TYPE,
    ];

    /// Returns the status of that code, [`UNEXPECTED`](Status::UNEXPECTED) for one of others.
    pub fn of_code(code: &str) -> Status {
        Status::ALL.into_iter().find(|status| status.code == code).unwrap_or(Status::UNEXPECTED)
    }

    /// Whether a failure may have it.
    pub fn is_error(self) -> bool {
        !matches!(self.code.as_bytes(), [b'0', b'0'..=b'3', ..])
    }

    /// Where it stands in a summary: no data before warnings, these before success, that before information.
    pub fn rank(self) -> u8 {
        match &self.code[..2] {
            "02" => 0,
            "01" => 1,
            "00" => 2,
            _ => 3,
        }
    }

    /// Returns what goes with every status, and `more`.
    pub fn diagnostic_record(more: Map) -> Map {
        let mut record =
            Map::new().with("OPERATION", "").with("OPERATION_CODE", "0").with("CURRENT_SCHEMA", "/");
        record.0.extend(more.0);
        record
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_is_listed_once_and_well_formed() {
        for status in Status::ALL {
            assert_eq!(Status::of_code(status.code), status);
            let is_word = |b: u8| b.is_ascii_digit() || b.is_ascii_uppercase();
            assert!(status.code.len() == 5 && status.code.bytes().all(is_word), "{status:?}");
            assert_eq!(status.is_error(), status.text.starts_with("error: "), "{status:?}");
        }
        assert_eq!(Status::of_code("99999"), Status::UNEXPECTED);
        let mut ranks: Vec<Status> =
            vec![Status::INFORMATION, Status::SUCCESS, Status::WARNING, Status::NO_DATA];
        ranks.sort_by_key(|status| status.rank());
        assert_eq!(ranks, [Status::NO_DATA, Status::WARNING, Status::SUCCESS, Status::INFORMATION]);
    }
}

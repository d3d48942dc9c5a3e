//! Why a handshake failed, in words for the one who runs the nodes.

use quinn::{ConnectionError, TransportErrorCode};

/// Says why a connection did not come to stand, or ended.
pub(super) fn explain(error: &ConnectionError) -> String {
    match error {
        // Said by the other side: it judged what this one showed.
        ConnectionError::ConnectionClosed(close) => match alert(close.error_code) {
            Some(alert) => format!("the other side refused the handshake: {}", words(alert)),
            None => error.to_string(),
        },
        // Said by this side, with a reason of its own.
        ConnectionError::TransportError(failed) => match alert(failed.code) {
            Some(alert) if failed.reason.is_empty() => format!("the handshake failed: {}", words(alert)),
            Some(_) => format!("the handshake failed: {}", failed.reason),
            None => error.to_string(),
        },
        _ => error.to_string(),
    }
}

/// The TLS alert in an error code, where there is one.
fn alert(code: TransportErrorCode) -> Option<u8> {
    u64::from(code).checked_sub(0x100).and_then(|alert| u8::try_from(alert).ok())
}

fn words(alert: u8) -> String {
    match alert {
        42 => "the certificate is not for this cluster, or is damaged".to_owned(),
        45 => "the certificate has expired".to_owned(),
        48 => "the certificate is of another authority".to_owned(),
        116 => "a certificate is required".to_owned(),
        120 => "it speaks another version of the replication protocol".to_owned(),
        other => format!("TLS alert {other}"),
    }
}

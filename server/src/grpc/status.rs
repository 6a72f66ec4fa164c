//! The one place where errors become gRPC statuses.
//!
//! What a caller may read is the error's own text; paths, addresses and the text of libraries go to the log.
//!
//! Where a request has faults of several kinds, all of them are in its BadRequest, and the gravest gives the code and the
//! reason: a field that cannot be accepted (INVALID_ARGUMENT) before a name that is not there (NOT_FOUND) before what
//! cannot be had now (FAILED_PRECONDITION).

use crate::engine::EngineError;
use crate::error::{Error, Fault, Faults, Violation, header_bytes, within};
use crate::model::ModelError;
use crate::store::StoreError;
use lapel_heads::BundleError;
use std::collections::HashMap;
use std::time::Duration;
use tonic::{Code, Status};
use tonic_types::{BadRequest, ErrorDetails, FieldViolation, StatusExt};

const DOMAIN: &str = "lapel";
/// What text and violations may take as headers of the answer: clients refuse more than 8 to 16 KiB of them.
const TEXT_BYTES: usize = 1500;
const VIOLATIONS_BYTES: usize = 1500;
/// What one violation may take of that.
const VIOLATION_BYTES: usize = 500;

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let (code, reason) = code_and_reason(&error);
        if is_of_server(&error, code) {
            tracing::error!(error = %with_sources(&error), "a request failed");
        }
        let mut details = ErrorDetails::new();
        details.set_error_info(reason, DOMAIN, facts(&error));
        if let Some(fields) = fields(&error) {
            details.set_bad_request(BadRequest::new(fields).field_violations);
        }
        if matches!(code, Code::ResourceExhausted | Code::Unavailable) {
            details.set_retry_info(Some(Duration::from_millis(200)));
        }
        let text = match &error {
            Error::Store(error) => store_text(error),
            _ if code == Code::Internal => "the server has a fault; its log says more".to_owned(),
            error => error.to_string(),
        };
        Status::with_error_details(code, within(&text, TEXT_BYTES), details)
    }
}

/// Whether an operator has to hear of an error. A request id that is used twice comes from the store and is its caller's.
fn is_of_server(error: &Error, code: Code) -> bool {
    let is_of_store = matches!(error, Error::Store(_)) && code != Code::InvalidArgument;
    is_of_store || matches!(code, Code::Internal | Code::DataLoss)
}

/// The fields that an error is about, with what is wrong with each.
fn fields(error: &Error) -> Option<Vec<FieldViolation>> {
    match error {
        Error::Invalid(violations) => {
            let told = |v: &Violation| (v.field.clone(), v.description.clone());
            Some(readable(violations.iter().map(told), violations.len()))
        }
        Error::Faults(faults) => {
            let told = |fault: &Fault| (fault.field().to_owned(), fault.description());
            Some(readable(faults.all().iter().map(told), faults.all().len()))
        }
        _ => None,
    }
}

/// As many violations as a client can be counted on to read, and how many there are besides.
fn readable(violations: impl Iterator<Item = (String, String)>, count: usize) -> Vec<FieldViolation> {
    let mut room = VIOLATIONS_BYTES;
    let mut fields = Vec::new();
    for (field, description) in violations {
        let field = within(&field, VIOLATION_BYTES / 2);
        let description = within(&description, VIOLATION_BYTES / 2);
        let cost = header_bytes(&field) + header_bytes(&description);
        if cost > room {
            let more = count - fields.len();
            fields.push(FieldViolation::new("", format!("and {more} more")));
            break;
        }
        room -= cost;
        fields.push(FieldViolation::new(field, description));
    }
    fields
}

/// What a program may want to know of an error beside its reason.
fn facts(error: &Error) -> HashMap<String, String> {
    let facts: &[(&str, &str)] = match error {
        Error::NotFound { what, name, .. } => &[("what", what), ("name", name)],
        Error::UnknownLabel { attribute, label, .. } => {
            &[("what", "label"), ("name", label), ("attribute", attribute)]
        }
        Error::UnknownVersion { head, version, .. } => {
            &[("what", "version"), ("name", version), ("head", head)]
        }
        Error::Faults(faults) => return gravest(faults).map(facts).unwrap_or_default(),
        _ => &[],
    };
    facts.iter().map(|(fact, value)| ((*fact).to_owned(), within(value, VIOLATION_BYTES))).collect()
}

/// The error of the gravest of several faults; `None` where that is a malformed field.
fn gravest(faults: &Faults) -> Option<&Error> {
    match faults.gravest() {
        Some(Fault::Unmet { error, .. }) => Some(error),
        Some(Fault::Malformed(_)) | None => None,
    }
}

/// What is said of a stream of items that cannot go on: at which message (the first is 1), and what became of those
/// before it, which are durable.
pub(super) fn cut_short(cause: &Status, message: usize, stored: usize) -> Status {
    let mut details = cause.get_error_details();
    let reason = details.error_info().map_or_else(|| "MESSAGE_UNREADABLE".to_owned(), |i| i.reason.clone());
    let place = HashMap::from([
        ("message".to_owned(), message.to_string()),
        ("stored".to_owned(), stored.to_string()),
    ]);
    details.set_error_info(reason, DOMAIN, place);
    let before = message - 1;
    let text = format!(
        "message {message} of the stream was not taken ({}); of the {before} before it {stored} were stored and {} refused",
        cause.message(),
        before - stored
    );
    Status::with_error_details(cause.code(), text, details)
}

/// The code and the stable reason of an error.
pub(super) fn code_and_reason(error: &Error) -> (Code, &'static str) {
    match error {
        Error::Invalid(_) => (Code::InvalidArgument, "INVALID_FIELD"),
        Error::Faults(faults) => {
            gravest(faults).map_or((Code::InvalidArgument, "INVALID_FIELD"), code_and_reason)
        }
        Error::NotFound { .. } | Error::UnknownLabel { .. } | Error::UnknownVersion { .. } => {
            (Code::NotFound, "NOT_FOUND")
        }
        Error::Exists(_) => (Code::AlreadyExists, "NAME_TAKEN"),
        Error::Precondition { reason, .. } => (Code::FailedPrecondition, reason),
        Error::Unauthenticated => (Code::Unauthenticated, "TOKEN_UNKNOWN"),
        Error::Forbidden { .. } => (Code::PermissionDenied, "ROLE_MISSING"),
        Error::UnknownMethod => (Code::Unimplemented, "METHOD_UNKNOWN"),
        Error::MessageTooLarge { .. } => (Code::OutOfRange, "MESSAGE_TOO_LARGE"),
        Error::Late => (Code::DeadlineExceeded, "DEADLINE_PASSED"),
        Error::Stalled => (Code::DeadlineExceeded, "STALLED"),
        Error::Left => (Code::Cancelled, "CALLER_LEFT"),
        Error::Exhausted(_) => (Code::ResourceExhausted, "LIMIT_REACHED"),
        Error::Bundle(BundleError::Backbone { .. }) => (Code::FailedPrecondition, "OTHER_BACKBONE"),
        Error::Bundle(_) => (Code::InvalidArgument, "UNSOUND_BUNDLE"),
        Error::Photo(_) | Error::Picture { .. } => (Code::InvalidArgument, "BAD_IMAGE"),
        Error::Model(ModelError::ExtractParts(BundleError::Backbone { .. })) => {
            (Code::FailedPrecondition, "OTHER_BACKBONE")
        }
        Error::Model(_) => (Code::InvalidArgument, "UNSOUND_MODEL"),
        Error::Store(error) => of_store(error),
        Error::Unreadable => (Code::Unavailable, "SIGNATURES_UNREADABLE"),
        Error::Engine(EngineError::Busy(_)) => (Code::ResourceExhausted, "MODEL_BUSY"),
        Error::Engine(EngineError::Stopped) => (Code::Unavailable, "STOPPING"),
        Error::Engine(EngineError::Failed(_)) => (Code::Internal, "MODEL_FAILED"),
        Error::Internal(_) => (Code::Internal, "FAULT"),
    }
}

fn of_store(error: &StoreError) -> (Code, &'static str) {
    match error {
        StoreError::Damaged { .. }
        | StoreError::Unreadable(_)
        | StoreError::Broken { .. }
        | StoreError::Format { .. } => (Code::DataLoss, "DAMAGED_RECORD"),
        StoreError::RequestId(_) => (Code::InvalidArgument, "REQUEST_ID_REUSED"),
        error if error.is_full() => (Code::ResourceExhausted, "DISK_FULL"),
        StoreError::Reopening | StoreError::Database(_) => (Code::Unavailable, "STORE_FAILED"),
        StoreError::Folder { .. } | StoreError::InUse { .. } => (Code::Internal, "STORE_FAILED"),
    }
}

/// What a caller may read of a store's error: no paths and no text of the library.
fn store_text(error: &StoreError) -> String {
    match error {
        StoreError::RequestId(_) => error.to_string(),
        StoreError::Damaged { table, key } => {
            let table = if table.starts_with("signatures/") { "signatures" } else { table };
            format!("what is stored of {key:?} in {table} is damaged; write it again, or restore a backup")
        }
        error if error.is_full() => {
            "the catalogue's disk is full; make room, then send it again (with its request_id, where it had one)".to_owned()
        }
        StoreError::Reopening | StoreError::Database(_) => {
            "the catalogue's store failed and is being opened anew; repeat the request with the same request_id"
                .to_owned()
        }
        StoreError::Unreadable(_) | StoreError::Broken { .. } | StoreError::Format { .. } => {
            "pages of the catalogue's file are damaged; the server's log says more".to_owned()
        }
        StoreError::Folder { .. } | StoreError::InUse { .. } => {
            "the server has a fault; its log says more".to_owned()
        }
    }
}

fn with_sources(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    if let Error::Internal(reason) | Error::Engine(EngineError::Failed(reason)) = error {
        text.push_str(": ");
        text.push_str(reason);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Choices;
    use lapel_heads::PhotoError;

    fn unknown_label() -> Error {
        let valid = Choices::of("blakc", ["black", "red"]);
        Error::UnknownLabel { attribute: "color".into(), label: "blakc".into(), valid }
    }

    /// What cannot be had now, then what is not there, then a malformed field or none.
    fn faults(malformed: bool) -> Error {
        let mut faults = Faults::default();
        let impossible = Error::Precondition { reason: "LABEL_WITHOUT_PROTOTYPE", message: "none".into() };
        faults.unmet("manipulations[1]", impossible);
        faults.unmet("manipulations[0].label", unknown_label());
        if malformed {
            faults.refuse("k", "too large");
        }
        faults.end().expect_err("faults")
    }

    #[test]
    fn faults_of_every_kind_are_told_with_their_fields() {
        let status = Status::from(faults(true));
        let details = status.get_error_details();
        let bad = details.bad_request().expect("fields");
        let told: Vec<_> =
            bad.field_violations.iter().map(|v| (v.field.as_str(), v.description.as_str())).collect();
        let label = "attribute \"color\" has no label \"blakc\"; did you mean \"black\"? it has: black, red";
        assert_eq!(
            told,
            [("manipulations[1]", "none"), ("manipulations[0].label", label), ("k", "too large")]
        );
        for (_, description) in told {
            assert!(status.message().contains(description), "{description} is not in {}", status.message());
        }
        // The metadata are those of the fault that gives the code.
        let details = Status::from(faults(false)).get_error_details();
        let facts = &details.error_info().expect("a reason").metadata;
        let fact = |name: &str| facts.get(name).map(String::as_str);
        assert_eq!(
            (fact("what"), fact("name"), fact("attribute")),
            (Some("label"), Some("blakc"), Some("color"))
        );
    }

    #[test]
    fn errors_about_much_fit_the_headers_that_clients_accept() {
        let violations =
            (0..100).map(|at| Violation::new(format!("filters[{at}].attribute"), "х".repeat(5000))).collect();
        let status = Status::from(Error::Invalid(violations));
        assert!(header_bytes(status.message()) + status.details().len() * 4 / 3 < 7000);
        let bad = status.get_error_details().bad_request().cloned().expect("violations");
        let last = bad.field_violations.last().expect("a last one");
        assert!(bad.field_violations.len() > 2 && last.description.starts_with("and "), "{bad:?}");
    }

    #[test]
    fn every_error_has_its_code_and_reason() {
        let io =
            |kind| Error::from(StoreError::Database(redb::Error::Io(std::io::Error::new(kind, "/secret"))));
        let cases = [
            (Error::invalid("k", "at least 1"), Code::InvalidArgument, "INVALID_FIELD"),
            (Error::not_found("item", "x"), Code::NotFound, "NOT_FOUND"),
            (unknown_label(), Code::NotFound, "NOT_FOUND"),
            (faults(false), Code::NotFound, "NOT_FOUND"),
            (faults(true), Code::InvalidArgument, "INVALID_FIELD"),
            (Error::Exists("taken".into()), Code::AlreadyExists, "NAME_TAKEN"),
            (
                Error::Precondition { reason: "LAST_HEAD", message: "m".into() },
                Code::FailedPrecondition,
                "LAST_HEAD",
            ),
            (Error::Exhausted("full".into()), Code::ResourceExhausted, "LIMIT_REACHED"),
            (Error::Unauthenticated, Code::Unauthenticated, "TOKEN_UNKNOWN"),
            (Error::Forbidden { roles: "search or heads".into() }, Code::PermissionDenied, "ROLE_MISSING"),
            (Error::UnknownMethod, Code::Unimplemented, "METHOD_UNKNOWN"),
            (Error::MessageTooLarge { most: 1 }, Code::OutOfRange, "MESSAGE_TOO_LARGE"),
            (Error::Late, Code::DeadlineExceeded, "DEADLINE_PASSED"),
            (Error::Stalled, Code::DeadlineExceeded, "STALLED"),
            (Error::Left, Code::Cancelled, "CALLER_LEFT"),
            (Error::Bundle(BundleError::Probe), Code::InvalidArgument, "UNSOUND_BUNDLE"),
            (
                Error::Bundle(BundleError::Backbone { wanted: "a".into(), found: "b".into() }),
                Code::FailedPrecondition,
                "OTHER_BACKBONE",
            ),
            (Error::Photo(PhotoError::Empty), Code::InvalidArgument, "BAD_IMAGE"),
            (
                Error::Model(ModelError::PartHead(lapel_heads::EmbedError::NotAPartHead)),
                Code::InvalidArgument,
                "UNSOUND_MODEL",
            ),
            (
                StoreError::Damaged { table: "items".into(), key: "x".into() }.into(),
                Code::DataLoss,
                "DAMAGED_RECORD",
            ),
            (StoreError::Unreadable("secret".into()).into(), Code::DataLoss, "DAMAGED_RECORD"),
            (
                StoreError::Broken { file: "/secret/file".into(), reason: "cut".into() }.into(),
                Code::DataLoss,
                "DAMAGED_RECORD",
            ),
            (StoreError::Format { found: 9 }.into(), Code::DataLoss, "DAMAGED_RECORD"),
            (StoreError::RequestId("r".into()).into(), Code::InvalidArgument, "REQUEST_ID_REUSED"),
            (StoreError::Reopening.into(), Code::Unavailable, "STORE_FAILED"),
            (io(std::io::ErrorKind::StorageFull), Code::ResourceExhausted, "DISK_FULL"),
            (io(std::io::ErrorKind::Other), Code::Unavailable, "STORE_FAILED"),
            (StoreError::InUse { folder: "/secret/path".into() }.into(), Code::Internal, "STORE_FAILED"),
            (Error::Unreadable, Code::Unavailable, "SIGNATURES_UNREADABLE"),
            (Error::Engine(EngineError::Busy(3)), Code::ResourceExhausted, "MODEL_BUSY"),
            (Error::Engine(EngineError::Stopped), Code::Unavailable, "STOPPING"),
            (Error::Engine(EngineError::Failed("x".into())), Code::Internal, "MODEL_FAILED"),
            (Error::Internal("x".into()), Code::Internal, "FAULT"),
        ];
        for (error, code, reason) in cases {
            let is_told =
                matches!(reason, "STORE_FAILED" | "DISK_FULL" | "DAMAGED_RECORD" | "MODEL_FAILED" | "FAULT");
            assert_eq!(is_of_server(&error, code), is_told, "{reason}");
            let status = Status::from(error);
            assert_eq!(status.code(), code);
            let details = status.get_error_details();
            assert_eq!(details.error_info().map(|i| i.reason.as_str()), Some(reason));
            let retry = matches!(code, Code::ResourceExhausted | Code::Unavailable);
            assert_eq!(details.retry_info().is_some(), retry);
            assert!(!status.message().contains("secret"), "paths stay in the log");
        }
    }

    #[test]
    fn what_is_not_there_is_told_to_programs_too() {
        let details = Status::from(Error::not_found("head", "colour")).get_error_details();
        let info = details.error_info().expect("a reason");
        let fact = |name: &str| info.metadata.get(name).map(String::as_str);
        assert_eq!((fact("what"), fact("name")), (Some("head"), Some("colour")));
    }

    #[test]
    fn all_violations_are_told_at_once() {
        let both = vec![Violation::new("k", "too large"), Violation::new("weights", "all zero")];
        let status = Status::from(Error::Invalid(both));
        let details = status.get_error_details();
        assert_eq!(details.bad_request().map(|b| b.field_violations.len()), Some(2));
        assert!(status.message().contains("too large") && status.message().contains("all zero"));
    }
}

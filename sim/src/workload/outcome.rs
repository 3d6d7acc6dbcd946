//! What a client may claim about an operation that was not answered with success.
//!
//! *Fail* is said only where the operation certainly had no effect: the store refused it by name, or it could have had
//! none (a read). Everything else is *info*: time-outs, lost connections, a server that stops, a leader that changes. A
//! wrong *fail* would make the judge accuse a sound store; a needless *info* only costs it work.
//!
//! Source: etcd's error table (`api/v3rpc/rpctypes/error.go`).

use squall_checker::history::{Error, ErrorKind, Op, Outcome};
use tonic::{Code, Status};

use crate::world::NeverSent;

/// The outcome and the error that the history records for a call that ended in `status`.
pub fn of_status(op: &Op, status: &Status) -> (Outcome, Error) {
    let error = Error {
        kind: ErrorKind::from_message(status.message()),
        code: format!("{:?}", status.code()),
        message: status.message().to_owned(),
    };
    let outcome = if !op.may_change() || certainly_refused(status) { Outcome::Fail } else { Outcome::Info };
    (outcome, error)
}

/// The outcome of a call that the client gave up at its own deadline.
pub fn timed_out(op: &Op) -> (Outcome, Error) {
    of_status(op, &Status::deadline_exceeded("context deadline exceeded"))
}

fn certainly_refused(status: &Status) -> bool {
    // The channel knows that no byte of the request left this machine.
    if std::error::Error::source(status).is_some_and(|source| source.is::<NeverSent>()) {
        return true;
    }
    match status.code() {
        Code::InvalidArgument
        | Code::NotFound
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::PermissionDenied
        | Code::Unauthenticated
        | Code::Unimplemented => true,
        // "database space exceeded" may come from the apply, after a part of what the client cannot see.
        Code::ResourceExhausted => {
            status.message() == "etcdserver: too many requests"
                // The transport read no more than the size.
                || status.message().starts_with("grpc: received message larger than max")
        }
        // Refused before anything was proposed: there was nobody to propose to.
        Code::Unavailable => status.message() == "etcdserver: no leader",
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use squall_checker::history::{Put, Range};

    use super::*;

    #[test]
    fn only_what_certainly_did_not_happen_is_a_failure() {
        let put = Op::Put(Put::default());
        let get = Op::Range(Range::default());
        let cases = [
            (&put, Status::invalid_argument("etcdserver: key is not provided"), Outcome::Fail),
            (&put, Status::resource_exhausted("etcdserver: too many requests"), Outcome::Fail),
            (&put, Status::resource_exhausted("etcdserver: mvcc: database space exceeded"), Outcome::Info),
            (
                &put,
                Status::resource_exhausted("grpc: received message larger than max (9 vs. 8)"),
                Outcome::Fail,
            ),
            (&put, Status::unavailable("etcdserver: no leader"), Outcome::Fail),
            (&put, Status::unavailable("etcdserver: leader changed"), Outcome::Info),
            (&put, Status::unavailable("etcdserver: request timed out"), Outcome::Info),
            (&put, Status::unavailable("connection reset"), Outcome::Info),
            (&put, Status::cancelled("etcdserver: request canceled"), Outcome::Info),
            (&put, Status::deadline_exceeded("context deadline exceeded"), Outcome::Info),
            (&put, Status::unknown("?"), Outcome::Info),
            (&get, Status::unavailable("connection reset"), Outcome::Fail),
        ];
        for (op, status, expected) in cases {
            assert_eq!(of_status(op, &status).0, expected, "{op:?} {status:?}");
        }
    }

    #[test]
    fn facts_keep_their_kind() {
        let get = Op::Range(Range::default());
        let status = Status::out_of_range("etcdserver: mvcc: required revision has been compacted");
        assert_eq!(of_status(&get, &status).1.kind, ErrorKind::Compacted);
    }
}

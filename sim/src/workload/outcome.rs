//! The outcome that a client records for an operation that was not answered with success.
//!
//! The outcome is *fail* only if the operation certainly had no effect and will never have one: the store refused it
//! with a known error, the request never left the machine, or it is a read. Everything else is *info*: timeouts, lost
//! connections, a server that stops, a leader that changes. A wrong *fail* makes the judge accuse a sound store; a
//! needless *info* only costs it work. So an unknown code or message is *info*.
//!
//! Only this module says which of etcd's errors are certain refusals. The sources are etcd's error table
//! (`api/v3rpc/rpctypes/error.go`) and the place where its server raises each error: before it proposes, or when it
//! applies.

use squall_checker::history::{Error, ErrorKind, Lock, Op, Outcome};
use tonic::{Code, Status};

use crate::world::NeverSent;

/// The outcome and the error that the history records for a call that ended in `status`.
pub fn of_status(op: &Op, status: &Status) -> (Outcome, Error) {
    let error = Error {
        kind: ErrorKind::from_message(status.message()),
        code: format!("{:?}", status.code()),
        message: status.message().to_owned(),
    };
    let certain = match op {
        // Several requests in one: the refusal of a later one does not undo an earlier one.
        Op::Lock(lock) => {
            let is_first = matches!(lock, Lock::Proclaim(_)) && status.message() == "election: not leader";
            is_first || was_never_sent(status)
        }
        _ => certainly_refused(status),
    };
    let outcome = if !op.may_have_effect() || certain { Outcome::Fail } else { Outcome::Info };
    (outcome, error)
}

/// The outcome of a call that the client gave up at its own deadline.
pub fn timed_out(op: &Op) -> (Outcome, Error) {
    of_status(op, &Status::deadline_exceeded("context deadline exceeded"))
}

/// Whether the channel knows that no byte of the request left this machine.
fn was_never_sent(status: &Status) -> bool {
    std::error::Error::source(status).is_some_and(|source| source.is::<NeverSent>())
}

fn certainly_refused(status: &Status) -> bool {
    if was_never_sent(status) {
        return true;
    }
    let message = status.message();
    match status.code() {
        // Only a server that has examined the request returns these, and never after it has applied the request.
        Code::InvalidArgument
        | Code::NotFound
        | Code::FailedPrecondition
        | Code::PermissionDenied
        | Code::Unauthenticated
        | Code::Unimplemented => true,
        // A revision or a TTL out of range, refused by the state machine or before it.
        Code::OutOfRange => message.starts_with("etcdserver: ") || too_large(message),
        // "database space exceeded" is ambiguous, because the members' disks differ.
        Code::ResourceExhausted => message == "etcdserver: too many requests" || too_large(message),
        // Refused before anything was proposed.
        Code::Unavailable => {
            matches!(
                message,
                "etcdserver: no leader"
                    | "etcdserver: unhealthy cluster"
                    | "etcdserver: rpc not supported for learner"
            )
        }
        // These end the call, not the request, which may be in the log.
        Code::Cancelled | Code::DeadlineExceeded | Code::Aborted => false,
        // A member that finds the cluster corrupt refuses requests that the others may apply.
        Code::DataLoss => false,
        Code::Ok | Code::Unknown | Code::Internal | Code::AlreadyExists => false,
    }
}

/// The transport refused the request for its size. It cannot be the response that was too large: clients accept any.
fn too_large(message: &str) -> bool {
    message.contains("message length too large") || message.contains("message larger than max")
}

#[cfg(test)]
mod tests {
    use squall_checker::history::{Put, Range};
    use squall_core::Refusal;

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
                Status::resource_exhausted("grpc: received message larger than max (9 vs. 5)"),
                Outcome::Fail,
            ),
            (
                &put,
                Status::out_of_range("Error, decoded message length too large: found 9 bytes"),
                Outcome::Fail,
            ),
            (&put, Status::out_of_range("?"), Outcome::Info),
            (&put, Status::resource_exhausted("?"), Outcome::Info),
            (&put, Status::unavailable("etcdserver: no leader"), Outcome::Fail),
            (&put, Status::unavailable("etcdserver: rpc not supported for learner"), Outcome::Fail),
            (&put, Status::unavailable("connection reset"), Outcome::Info),
            (&put, Status::unavailable("?"), Outcome::Info),
            (&put, Status::internal("a response without a header"), Outcome::Info),
            (&put, Status::aborted("?"), Outcome::Info),
            (&put, Status::unknown("?"), Outcome::Info),
            (&get, Status::unavailable("connection reset"), Outcome::Fail),
        ];
        for (op, status, expected) in cases {
            assert_eq!(of_status(op, &status).0, expected, "{op:?} {status:?}");
        }
        // The Lock and the Election service make several steps: *fail* only if certainly none of them was made.
        let lock = Op::Lock(Lock::Lock(Default::default()));
        let proclaim = Op::Lock(Lock::Proclaim(Default::default()));
        let leader = Op::Lock(Lock::Leader(Default::default()));
        for (op, message, expected) in [
            (&lock, "mutex: session is expired", Outcome::Info),
            (&lock, "election: not leader", Outcome::Info),
            (&proclaim, "election: not leader", Outcome::Fail),
            (&leader, "election: no leader", Outcome::Fail),
        ] {
            assert_eq!(of_status(op, &Status::unknown(message)).0, expected, "{op:?} {message}");
        }
        let denied = Status::permission_denied("etcdserver: permission denied");
        assert_eq!(of_status(&lock, &denied).0, Outcome::Info);
        let mut never_sent = Status::unavailable("dial m1:2379: connection refused");
        never_sent.set_source(std::sync::Arc::new(NeverSent));
        assert_eq!(of_status(&put, &never_sent).0, Outcome::Fail);
        assert_eq!(of_status(&lock, &never_sent).0, Outcome::Fail);
        assert_eq!(timed_out(&put).0, Outcome::Info);
        assert_eq!(timed_out(&get).0, Outcome::Fail);
    }

    /// Every refusal of the store is listed by name. A new one fails here until it has been classified.
    #[test]
    fn a_refusal_that_may_have_been_applied_is_ambiguous() {
        let ambiguous: Vec<Refusal> = Refusal::ALL
            .iter()
            .copied()
            .filter(|refusal| {
                let status = Status::new(Code::from_i32(refusal.code() as i32), refusal.message());
                of_status(&Op::Put(Put::default()), &status).0 == Outcome::Info
            })
            .collect();
        let expected = [
            Refusal::NoSpace,
            // etcd gives it no code. No client of a run gets it.
            Refusal::MemberNotEnoughStarted,
            Refusal::LeaderChanged,
            Refusal::Stopped,
            Refusal::Timeout,
            Refusal::TimeoutDueToLeaderFail,
            Refusal::TimeoutDueToConnectionLost,
            Refusal::TimeoutWithoutLeader,
            Refusal::TimeoutLeaderTransfer,
            Refusal::TimeoutWaitAppliedIndex,
            Refusal::Corrupt,
            // etcd gives it no code. No write gets it.
            Refusal::NoPasswordUser,
            Refusal::Canceled,
            Refusal::DeadlineExceeded,
        ];
        assert_eq!(ambiguous, expected);
    }

    #[test]
    fn facts_keep_their_kind() {
        let get = Op::Range(Range::default());
        let status = Status::out_of_range("etcdserver: mvcc: required revision has been compacted");
        assert_eq!(of_status(&get, &status).1.kind, ErrorKind::Compacted);
    }
}

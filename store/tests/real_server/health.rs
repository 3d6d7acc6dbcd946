//! gRPC's health service, of squalld and of etcd.

use squall_store::proto::grpc::health::v1::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic::Code;

use crate::reference::{PATIENCE, Subject};

fn asking(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.to_owned() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_answers_serves() {
    for subject in Subject::both() {
        let mut health = HealthClient::new(subject.channel());
        let answer = health.check(asking("")).await.expect("an answer").into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{}", subject.name);
        for unknown in ["etcdserverpb.KV", "nothing"] {
            let refused = health.check(asking(unknown)).await.expect_err("refused");
            assert_eq!(
                (refused.code(), refused.message()),
                (Code::NotFound, "unknown service"),
                "{}",
                subject.name
            );
        }
        for (service, status) in [("", ServingStatus::Serving), ("nothing", ServingStatus::ServiceUnknown)] {
            let mut watched = health.watch(asking(service)).await.expect("a stream").into_inner();
            let first = tokio::time::timeout(PATIENCE, watched.message()).await.expect("in time");
            assert_eq!(first.expect("no error").expect("an answer").status(), status, "{}", subject.name);
            let more = tokio::time::timeout(std::time::Duration::from_millis(200), watched.message()).await;
            assert!(more.is_err(), "{}: nothing changes, and nothing ends: {more:?}", subject.name);
        }
    }
}

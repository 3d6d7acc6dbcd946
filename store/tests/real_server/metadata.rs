//! Large metadata: what etcd takes is taken, and what is too large costs its call alone.

use squall_store::proto::etcdserverpb::{RangeRequest, kv_client::KvClient};
use tonic::{Request, metadata::MetadataValue};

use crate::reference::Subject;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_header_is_taken_as_in_etcd() {
    for subject in Subject::both() {
        let name = subject.name;
        let mut client = KvClient::new(subject.channel());
        let range = async |client: &mut KvClient<_>, bytes: usize| {
            let mut request = Request::new(RangeRequest { key: "k".into(), ..Default::default() });
            let value = MetadataValue::try_from("v".repeat(bytes)).expect("ASCII");
            request.metadata_mut().insert("x-large", value);
            client.range(request).await
        };
        for bytes in [20_000, 1_000_000] {
            range(&mut client, bytes).await.unwrap_or_else(|status| panic!("{name}: {bytes}: {status}"));
        }
        if !subject.is_etcd() {
            range(&mut client, 1_050_000).await.expect_err("more than a MiB");
            range(&mut client, 10).await.expect("the connection goes on");
        }
    }
}

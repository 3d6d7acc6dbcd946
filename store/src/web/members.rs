//! `/members` on the members' port, which etcd's members ask before they join.

use serde_json::json;

use super::reply;
use crate::{node::Handle, seam::GrpcResponse};

/// The members as this one has applied them.
pub(super) fn list(node: &Handle) -> GrpcResponse {
    let members: Vec<_> = {
        let state = node.shared().state();
        let member = |member: &squall_core::Member| {
            let mut shown = json!({ "id": member.id.0, "peerURLs": member.peer_urls });
            // As in etcd, empty fields are left out.
            if member.is_learner {
                shown["isLearner"] = json!(true);
            }
            if !member.name.is_empty() {
                shown["name"] = json!(member.name);
            }
            if !member.client_urls.is_empty() {
                shown["clientURLs"] = json!(member.client_urls);
            }
            shown
        };
        state.membership().members().map(member).collect()
    };
    let mut response = reply::json(200, format!("{}\n", json!(members)));
    let cluster = format!("{:x}", node.shared().cluster.0).parse().expect("hexadecimal digits");
    response.headers_mut().insert("x-etcd-cluster-id", cluster);
    response
}

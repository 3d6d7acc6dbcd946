//! Procedures over scripted answers. The members are no servers: all of them answer from one list of members, and a test
//! says which answers are lost after they took effect. A member notes each start, and whether its data folder was empty.

use std::{
    convert::Infallible,
    os::unix::fs::FileExt,
    path::Path,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::{BodyExt, StreamBody};
use prost::Message;
use squall_checker::history as h;
use squall_store::{
    proto::etcdserverpb as pb,
    seam::{BoxFuture, GrpcRequest, GrpcResponse, Router},
};
use tonic::{Status, body::Body, server::NamedService};
use tower::Service;

use super::super::{Cluster, DATA_DIR, Done, Onto, RestorePlan, roster::Standing};
use crate::{
    arena::{Arena, NodeId, Simulated},
    workload::{Journal, Observer, Recorder, read_journal},
    world::{Process, World, WorldConfig},
};

/// What the members answer.
#[derive(Clone, Default)]
struct Script(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    members: Vec<pb::Member>,
    /// The methods whose next answer is lost.
    lost: Vec<&'static str>,
    /// A member that is started as a new cluster finds that it was removed.
    survivor_was_removed: bool,
    diary: Vec<String>,
}

impl Script {
    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.0.lock().expect("not poisoned"))
    }

    fn note(&self, line: String) {
        self.with(|state| state.diary.push(line));
    }

    /// What was noted since the last call.
    fn noted(&self) -> Vec<String> {
        self.with(|state| std::mem::take(&mut state.diary))
    }

    fn answer(&self, method: &str, request: Bytes) -> Result<Vec<u8>, Status> {
        let header = Some(pb::ResponseHeader { member_id: 1, revision: 7, ..Default::default() });
        let mut guard = self.0.lock().expect("not poisoned");
        let state = &mut *guard;
        let answer = match method {
            "MemberList" => pb::MemberListResponse { header, members: state.members.clone() }.encode_to_vec(),
            "MemberRemove" => {
                let id = pb::MemberRemoveRequest::decode(request).expect("a request").id;
                state.diary.push(format!("remove {id}"));
                state.members.retain(|member| member.id != id);
                pb::MemberRemoveResponse { header, members: state.members.clone() }.encode_to_vec()
            }
            "MemberAdd" => {
                let peer_urls = pb::MemberAddRequest::decode(request).expect("a request").peer_urls;
                let id = 1 + state.members.iter().map(|member| member.id).max().unwrap_or_default().max(3);
                state.diary.push(format!("add {} as {id}", peer_urls[0]));
                let member = pb::Member { id, peer_urls, ..Default::default() };
                state.members.push(member.clone());
                let members = state.members.clone();
                pb::MemberAddResponse { header, member: Some(member), members }.encode_to_vec()
            }
            "Status" => pb::StatusResponse { header, leader: 1, raft_applied_index: 9, ..Default::default() }
                .encode_to_vec(),
            "Range" => pb::RangeResponse { header, ..Default::default() }.encode_to_vec(),
            "Snapshot" => {
                let blob = Bytes::from_static(b"no snapshot at all");
                pb::SnapshotResponse { header, blob, ..Default::default() }.encode_to_vec()
            }
            other => return Err(Status::unimplemented(other.to_owned())),
        };
        Ok(answer)
    }
}

/// One of the services.
#[derive(Clone)]
struct Answers<const SERVICE: usize>(Script);

impl NamedService for Answers<0> {
    const NAME: &'static str = "etcdserverpb.KV";
}

impl NamedService for Answers<1> {
    const NAME: &'static str = "etcdserverpb.Cluster";
}

impl NamedService for Answers<2> {
    const NAME: &'static str = "etcdserverpb.Maintenance";
}

impl<const SERVICE: usize> Service<GrpcRequest> for Answers<SERVICE> {
    type Response = GrpcResponse;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<GrpcResponse, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: GrpcRequest) -> Self::Future {
        let script = self.0.clone();
        Box::pin(async move {
            let method = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
            let body = request.into_body().collect().await.expect("a whole request").to_bytes();
            let answer = match script.answer(&method, body.slice(5..)) {
                Ok(answer) => answer,
                Err(status) => return Ok(status.into_http()),
            };
            let is_lost = script.with(|state| {
                let place = state.lost.iter().position(|lost| *lost == method);
                place.map(|place| state.lost.remove(place)).is_some()
            });
            if is_lost {
                std::future::pending::<()>().await;
            }
            // gRPC's prefix: not compressed, and the length.
            let mut message = BytesMut::new();
            message.put_u8(0);
            message.put_u32(answer.len() as u32);
            message.put_slice(&answer);
            let mut trailers = http::HeaderMap::new();
            trailers.insert("grpc-status", "0".parse().expect("a header"));
            let frames = [
                Ok::<_, Status>(http_body::Frame::data(message.freeze())),
                Ok(http_body::Frame::trailers(trailers)),
            ];
            Ok(http::Response::new(Body::new(StreamBody::new(tokio_stream::iter(frames)))))
        })
    }
}

/// A member's process.
async fn serve(script: Script, forced: bool, process: Process, node: NodeId) -> Result<(), String> {
    let files = &process.env.files;
    let mark = Path::new(DATA_DIR).join("mark");
    let failed = |error: std::io::Error| error.to_string();
    let has_data = files.exists(&mark).await.map_err(failed)?;
    if !has_data {
        files.create_dir_all(Path::new(DATA_DIR)).await.map_err(failed)?;
        files.create(&mark).await.map_err(failed)?;
    }
    let data = if has_data { "with data" } else { "empty" };
    script.note(format!("{node} starts {data}{}", if forced { ", as a new cluster" } else { "" }));
    if forced && script.with(|state| state.survivor_was_removed) {
        return Ok(());
    }
    let router = Router::new()
        .add(Answers::<0>(script.clone()))
        .add(Answers::<1>(script.clone()))
        .add(Answers::<2>(script.clone()));
    let address = format!("{node}:2379");
    let _listener = process.env.net.listen(&address, router).await.map_err(|error| error.to_string())?;
    process.stop_requested().await;
    Ok(())
}

struct Clock(World);

impl Observer for Clock {
    fn now_ns(&self) -> u64 {
        self.0.now().0
    }

    fn note(&self, _node: &str, _text: String) {}
}

/// What a test works with.
struct Stand {
    world: World,
    script: Script,
    cluster: Cluster,
    recorder: Arc<Recorder>,
    nodes: Vec<NodeId>,
    journal: std::fs::File,
}

impl Stand {
    fn standing(&self, place: usize) -> Standing {
        self.cluster.inner.roster().standing(self.nodes[place])
    }

    /// The breaks that the journal would hold if the harness died now.
    fn journaled_breaks(&self) -> usize {
        let mut content = vec![0; self.journal.metadata().expect("a file").len() as usize];
        self.journal.read_exact_at(&mut content, 0).expect("it can be read");
        read_journal(&content).history.breaks().count()
    }
}

/// Runs a test on three members, m1 to m3, with the ids 1 to 3, that have started.
fn on_three(test: impl AsyncFnOnce(&Stand) + Send + 'static) {
    let finished = World::run(WorldConfig::new(1), move |world| async move {
        let journal = tempfile::tempfile().expect("a file");
        let writes = Journal::new(journal.try_clone().expect("a file"));
        let recorder = Arc::new(Recorder::new(Some(Arc::new(writes))));
        recorder.attach(Arc::new(Clock(world.clone())));
        let script = Script::default();
        let answers = script.clone();
        let members = Simulated::with_members(
            world.clone(),
            Arc::new(move |config, process, node| {
                Box::pin(serve(answers.clone(), config.force_new_cluster, process, node))
            }),
        );
        let text = "{cluster: {members: 3}, workloads: [], timeLimit: 1s}";
        let spec: crate::scenario::Spec = serde_yaml::from_str(text).expect("a spec");
        let arena: Arc<dyn Arena> = Arc::new(members);
        let cluster = Cluster::new(arena, &spec, recorder.clone(), None);
        let nodes = cluster.nodes();
        script.with(|state| {
            state.members =
                (1..).zip(&nodes).map(|(id, node)| member(id, &format!("http://{node}:2380"))).collect();
        });
        cluster.start();
        world.sleep(Duration::from_secs(1)).await;
        script.noted();
        test(&Stand { world, script, cluster, recorder, nodes, journal }).await;
    });
    finished.expect("the world runs").output.expect("the body ends");
}

fn member(id: u64, url: &str) -> pb::Member {
    pb::Member { id, peer_urls: vec![url.to_owned()], ..Default::default() }
}

#[test]
fn a_replacement_goes_on_where_an_answer_was_lost() {
    on_three(async |stand| {
        stand.script.with(|state| state.lost = vec!["MemberList", "MemberRemove", "MemberAdd"]);
        let m3 = stand.nodes[2];
        assert_eq!(stand.cluster.replace_member("one", m3, Duration::ZERO).await, Done::Success);
        assert_eq!(stand.script.noted(), ["remove 3", "add http://m3:2380 as 4", "m3 starts empty"]);
        assert_eq!(stand.standing(2), Standing::Intact);
        let roster = stand.cluster.inner.roster();
        assert!(roster.id(m3) == Some(4) && roster.had_id(m3, 3));
    });
}

#[test]
fn a_member_is_removed_by_its_id_and_not_by_a_url_that_another_has_now() {
    on_three(async |stand| {
        let m3 = stand.nodes[2];
        stand.cluster.replace_member("one", m3, Duration::ZERO).await;
        stand.script.noted();
        // The operator knows that m3 is member 4. Member 2 has taken over its URL.
        stand.script.with(|state| {
            state.members =
                vec![member(1, "http://m1:2380"), member(2, "http://m3:2380"), member(4, "http://m2:2380")];
        });
        // A second addition at this URL would be refused, so the test ends after the removal.
        tokio::select! {
            biased;
            done = stand.cluster.remove_member("two", m3) => assert_eq!(done, Done::Success),
            () = stand.world.sleep(Duration::from_secs(60)) => panic!("it never ends"),
        }
        assert_eq!(stand.script.noted(), ["remove 4"]);
    });
}

#[test]
fn a_forced_new_cluster_is_journaled_before_its_survivor_starts_and_recorded_after_it_has_answered() {
    on_three(async |stand| {
        // The survivor's first answer is lost: there is time to look.
        stand.script.with(|state| state.lost = vec!["Range"]);
        let force = stand.cluster.force_new_cluster("one", stand.nodes[0], false, Duration::ZERO);
        let look = async {
            stand.world.sleep(Duration::from_secs(1)).await;
            assert_eq!(stand.script.noted(), ["m1 starts with data, as a new cluster"]);
            assert_eq!((stand.journaled_breaks(), stand.recorder.breaks()), (1, 0));
        };
        let (done, ()) = futures_util::join!(force, look);
        assert_eq!(done, Done::Success);
        assert_eq!((stand.journaled_breaks(), stand.recorder.breaks()), (1, 1));
        let line = stand.recorder.last_break().expect("it was recorded");
        assert_eq!(line.kind, h::BreakKind::ForceNewCluster);
        assert!(line.at < stand.world.now().0, "it lies before the survivor's start");
        assert_eq!(
            [0, 1, 2].map(|place| stand.standing(place)),
            [Standing::Intact, Standing::Out, Standing::Out]
        );
        let config = stand.cluster.inner.member(stand.nodes[0]).config.lock().expect("not poisoned");
        assert!(!config.force_new_cluster, "its next start is an ordinary one");
    });
}

#[test]
fn a_survivor_that_was_removed_breaks_nothing_and_is_replaced() {
    on_three(async |stand| {
        stand.script.with(|state| {
            state.survivor_was_removed = true;
            state.members.retain(|member| member.id != 1);
        });
        let done = stand.cluster.force_new_cluster("one", stand.nodes[0], true, Duration::ZERO).await;
        assert_eq!(done, Done::GivenUp("m1 had been removed from the cluster".to_owned()));
        assert_eq!((stand.journaled_breaks(), stand.recorder.breaks()), (0, 0));
        let noted = stand.script.noted();
        assert_eq!(noted[0], "m1 starts with data, as a new cluster");
        assert_eq!(noted.last().expect("lines"), "m1 starts empty");
        assert!(noted.contains(&"add http://m1:2380 as 4".to_owned()), "{noted:?}");
        for line in ["m2 starts with data", "m3 starts with data"] {
            assert!(noted.contains(&line.to_owned()), "the others keep what they have: {noted:?}");
        }
        assert_eq!([0, 1, 2].map(|place| stand.standing(place)), [Standing::Intact; 3]);
    });
}

#[test]
fn a_restore_records_its_break_before_it_wipes_and_says_what_the_tool_refuses() {
    on_three(async |stand| {
        assert_eq!(stand.cluster.save_snapshot("backup", stand.nodes[0]).await, Done::Success);
        let plan = RestorePlan { snapshot: "backup", onto: Onto::All, token: None, pause: Duration::ZERO };
        let Done::Stuck(why) = stand.cluster.restore_snapshot("one", plan).await else {
            panic!("the file is no snapshot");
        };
        assert!(why.starts_with("the restore on m1 is refused: "), "{why}");
        assert_eq!((stand.journaled_breaks(), stand.recorder.breaks()), (1, 1));
        let line = stand.recorder.last_break().expect("it was recorded");
        assert_eq!((line.kind, line.revision), (h::BreakKind::Restore, h::Revision(7)));
        assert_eq!(stand.standing(0), Standing::Out, "it was wiped, and must not start");
        assert_eq!(stand.script.noted(), [""; 0], "nothing runs");
    });
}

#[test]
fn a_restore_without_a_snapshot_starts_what_is_down_and_breaks_nothing() {
    on_three(async |stand| {
        stand.cluster.inner.arena.kill(stand.nodes[1]);
        let plan = RestorePlan { snapshot: "backup", onto: Onto::All, token: None, pause: Duration::ZERO };
        let done = stand.cluster.restore_snapshot("one", plan).await;
        assert_eq!(done, Done::GivenUp("backup saved no snapshot".to_owned()));
        stand.world.sleep(Duration::from_millis(100)).await;
        assert_eq!(stand.script.noted(), ["m2 starts with data"]);
        assert_eq!((stand.journaled_breaks(), stand.recorder.breaks()), (0, 0));
    });
}

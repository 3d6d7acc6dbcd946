//! Plays a recording of a real etcd's answers against the simulated store, and records whether the answers agree.
//!
//! The crate squall-conformance has the recordings and the player. This module provides the member, the seams, and the
//! restarts that the recording asks for. Every operation is asked at its recorded time, since leases depend on time.
//! Each one becomes a line of the history, with both answers if they differ. The first difference ends the play, since
//! later ones may be its consequences. No other operation is in the history of such a run, so only the checker
//! `conformance` judges the answers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use squall_checker::history as h;
use squall_conformance::{Player, Recording, Seams, Server};
use squall_store::seam::{BoxFuture, Channel, DialOptions, Env};

use super::{Endpoints, Recorder};
use crate::scenario::RecordingName;

/// Restarts the only member: kills its process, and starts another one.
pub(crate) type Restart = Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

/// The longest sleep before `stop` is looked at again.
const LOOKS: Duration = Duration::from_millis(200);

/// How many characters of a call are recorded if the answers agree.
const RECORDED: usize = 80;

/// A recording to play.
pub(super) struct Answers {
    pub(super) env: Env,
    pub(super) recorder: Arc<Recorder>,
    pub(super) endpoints: Endpoints,
    pub(super) recording: RecordingName,
    pub(super) restart: Restart,
}

/// The recording of this name, as it was made.
pub(crate) fn recording(name: RecordingName) -> Recording {
    Recording::named(name.name()).unwrap_or_else(|error| panic!("{}: {error}", name.name()))
}

impl Answers {
    /// Plays until the recording ends, an answer differs, or `stop` is set.
    pub(super) async fn play(self, stop: Arc<AtomicBool>) {
        let clock = self.env.clock.clone();
        let seams = Seams { clock: clock.clone(), tasks: self.env.tasks.clone() };
        let (_, address) = &self.endpoints[0];
        let dial = || self.env.net.dial(address, DialOptions::default());
        let client_url = format!("http://{address}");
        let peer_url = client_url.replace(":2379", ":2380");
        let server = Server::connect("the store", seams, dial(), peer_url, client_url).await;
        // Other checkers find a store that does not serve (`vacuous`, `liveness`).
        let Ok(server) = server else { return };
        let mut player = Player::new(recording(self.recording), server);
        let restart = || -> BoxFuture<'static, Channel> {
            let (restarted, channel) = ((self.restart)(), dial());
            Box::pin(async move {
                restarted.await;
                channel
            })
        };
        let began = clock.monotonic();
        'play: while let Some(at) = player.next_at() {
            loop {
                if stop.load(Ordering::Relaxed) {
                    break 'play;
                }
                let left = at.saturating_sub(clock.monotonic().since(began));
                if left.is_zero() {
                    break;
                }
                clock.sleep(left.min(LOOKS)).await;
            }
            let played = player.play(&restart).await.unwrap_or_else(|out_of_date| panic!("{out_of_date}"));
            let differs = played.difference.is_some();
            let (expected, answered) = played.difference.map(|both| (both.etcd, both.squalld)).unzip();
            let recorded = if differs { usize::MAX } else { RECORDED };
            self.recorder.event(h::Event::Compared(h::Compared {
                at: self.recorder.now_ns(),
                number: played.number as u64,
                asked: played.asked.chars().take(recorded).collect(),
                expected,
                answered,
            }));
            if differs {
                break;
            }
        }
        player.tidy_up().await;
    }
}

//! Links: one for each direction between two machines, and the modifiers that are active there.
//!
//! A link carries whole segments (the bytes of one read of a socket), in order. A cut holds all of them until it is
//! lifted, since TCP would send them again. A delay is drawn when a segment enters the link, and ends with its
//! modifier. A lost segment arrives later by TCP's first timeout, doubled for each further loss, or resets its
//! connection. A narrow link is one queue for all its connections.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use system_tokio::time::Instant;
use tokio::sync::Notify;

use crate::{
    arena::{NodeId, Token},
    world::{Chance, Distribution, Latency, LossShows, Stream},
};

/// How long TCP waits before it sends a lost segment again.
const RESEND_AFTER: Duration = Duration::from_millis(200);
/// A segment is lost at most this often in a row.
const MOST_LOSSES: u32 = 5;

/// All links. Clones share them.
#[derive(Clone)]
pub(super) struct Links {
    links: Arc<Mutex<ByEnds>>,
    bites: Arc<Mutex<BTreeMap<Token, u64>>>,
    chance: Chance,
    /// The delay of every link without any fault, if there is one.
    usual: Option<(Latency, Distribution)>,
}

type ByEnds = BTreeMap<(NodeId, NodeId), Arc<Link>>;

/// The effect of a modifier on a link.
#[derive(Debug, Clone, Copy)]
pub(super) enum Effect {
    /// Nothing passes.
    Cut,
    /// Segments take longer.
    Slow(Latency, Distribution),
    /// This many of a thousand segments are lost.
    Loss(u32, LossShows),
    /// The bandwidth is limited to this many bytes a second.
    Narrow(u64),
}

/// One direction between two machines.
pub(super) struct Link {
    state: Mutex<State>,
    changed: Notify,
    bites: Arc<Mutex<BTreeMap<Token, u64>>>,
}

struct State {
    effects: BTreeMap<Token, Effect>,
    usual: Option<(Latency, Distribution)>,
    stream: Stream,
    /// When the narrow link will have sent all earlier segments.
    free_at: Instant,
}

/// What will happen to a segment that entered a link.
pub(super) struct Fate {
    entered: Instant,
    usual: Duration,
    delays: Vec<(Token, Duration)>,
    /// When a narrow link has sent it, and which modifiers make it narrow.
    sent: Option<(Instant, Vec<Token>)>,
    /// The modifiers that have held it, so that each counts it once.
    held_by: Vec<Token>,
    /// Whether it is lost and its connection is reset.
    pub(super) resets: bool,
}

impl Links {
    pub(super) fn new(chance: Chance, usual: Option<(Latency, Distribution)>) -> Self {
        Self { links: Arc::default(), bites: Arc::default(), chance, usual }
    }

    /// The link from one machine to another.
    pub(super) fn between(&self, from: NodeId, to: NodeId) -> Arc<Link> {
        let mut links = lock(&self.links);
        let link = links.entry((from, to)).or_insert_with(|| {
            let usual = self.usual.filter(|_| from != to);
            let stream = self.chance.child(&format!("{from}->{to}")).stream();
            let state = State { effects: BTreeMap::new(), usual, stream, free_at: Instant::now() };
            Arc::new(Link { state: Mutex::new(state), changed: Notify::new(), bites: self.bites.clone() })
        });
        link.clone()
    }

    pub(super) fn impose(&self, from: NodeId, to: NodeId, token: Token, effect: Effect) {
        let link = self.between(from, to);
        lock(&link.state).effects.insert(token, effect);
        lock(&self.bites).entry(token).or_default();
        link.changed.notify_waiters();
    }

    pub(super) fn lift(&self, from: NodeId, to: NodeId, token: Token) {
        let link = self.between(from, to);
        lock(&link.state).effects.remove(&token);
        link.changed.notify_waiters();
    }

    /// How often a modifier took effect.
    pub(super) fn bites(&self, token: Token) -> u64 {
        lock(&self.bites).get(&token).copied().unwrap_or(0)
    }
}

impl Link {
    /// Lets a segment of `bytes` bytes enter the link.
    pub(super) fn enter(&self, bytes: usize) -> Fate {
        let mut state = lock(&self.state);
        let State { effects, usual, stream, free_at } = &mut *state;
        let now = Instant::now();
        let usual = usual.map_or(Duration::ZERO, |usual| drawn(usual, stream));
        let mut fate =
            Fate { entered: now, usual, delays: Vec::new(), sent: None, held_by: Vec::new(), resets: false };
        let mut narrow: Option<(u64, Vec<Token>)> = None;
        for (token, effect) in &*effects {
            match *effect {
                Effect::Cut => {}
                Effect::Slow(latency, distribution) => {
                    fate.delays.push((*token, drawn((latency, distribution), stream)));
                    self.bite(*token);
                }
                Effect::Loss(per_mille, shows) => {
                    let mut lost = || stream.within(0..1000) < u64::from(per_mille);
                    let losses = (0..MOST_LOSSES).take_while(|_| lost()).count() as u32;
                    if losses > 0 {
                        self.bite(*token);
                        match shows {
                            LossShows::Late => {
                                fate.delays.push((*token, RESEND_AFTER * ((1 << losses) - 1)));
                            }
                            LossShows::Reset => fate.resets = true,
                        }
                    }
                }
                Effect::Narrow(bytes_per_second) => {
                    let (least, tokens) = narrow.get_or_insert((bytes_per_second, Vec::new()));
                    *least = (*least).min(bytes_per_second);
                    tokens.push(*token);
                }
            }
        }
        if let Some((rate, tokens)) = narrow {
            let takes = Duration::from_secs_f64(bytes as f64 / rate.max(1) as f64);
            *free_at = (*free_at).max(now) + takes;
            if *free_at > now + Duration::from_millis(1) {
                tokens.iter().for_each(|token| self.bite(*token));
            }
            fate.sent = Some((*free_at, tokens));
        }
        fate
    }

    /// Waits until a segment has passed the link.
    pub(super) async fn pass(&self, fate: &mut Fate) {
        loop {
            let changed = self.changed.notified();
            match self.look(fate) {
                Look::Through => return,
                Look::Held => changed.await,
                Look::Until(at) => {
                    tokio::select! {
                        biased;
                        () = changed => {}
                        () = system_tokio::time::sleep_until(at) => {}
                    }
                }
            }
        }
    }

    /// Waits for a connection request: while the link is cut, and then for the delay of one segment.
    pub(super) async fn pass_request(&self) {
        let mut fate = self.enter(0);
        self.pass(&mut fate).await;
    }

    fn look(&self, fate: &mut Fate) -> Look {
        let state = lock(&self.state);
        let cuts = state.effects.iter().filter(|(_, effect)| matches!(effect, Effect::Cut));
        let mut is_cut = false;
        for (token, _) in cuts {
            is_cut = true;
            if !fate.held_by.contains(token) {
                fate.held_by.push(*token);
                self.bite(*token);
            }
        }
        if is_cut {
            return Look::Held;
        }
        let holds = |token: &Token| state.effects.contains_key(token);
        let delays = fate.delays.iter().filter(|(token, _)| holds(token)).map(|(_, delay)| *delay);
        let mut due = fate.entered + fate.usual + delays.sum::<Duration>();
        if let Some((sent, tokens)) = &fate.sent
            && tokens.iter().any(holds)
        {
            due = due.max(*sent);
        }
        if due <= Instant::now() { Look::Through } else { Look::Until(due) }
    }

    fn bite(&self, token: Token) {
        *lock(&self.bites).entry(token).or_default() += 1;
    }
}

fn drawn((latency, distribution): (Latency, Distribution), stream: &mut Stream) -> Duration {
    let draw = u32::try_from(stream.within(0..1 << 32)).expect("it is below 2^32");
    latency.base + distribution.of(latency.jitter, draw)
}

enum Look {
    Through,
    Held,
    Until(Instant),
}

/// Locks a mutex, ignoring poison: a panic of another holder is reported elsewhere.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::processes::in_real_time;

    fn pair() -> (Links, NodeId, NodeId) {
        let links = Links::new(Chance::root(1), None);
        (links, NodeId::new(0, "a"), NodeId::new(1, "b"))
    }

    #[test]
    fn a_cut_holds_what_entered_until_its_own_token_is_lifted_and_the_other_way_stays_open() {
        in_real_time(async {
            let (links, a, b) = pair();
            let (one, two) = (Token::new(1), Token::new(2));
            links.impose(a, b, one, Effect::Cut);
            links.impose(a, b, two, Effect::Cut);
            let link = links.between(a, b);
            let mut fate = link.enter(10);
            links.between(b, a).pass_request().await;
            let within = Duration::from_millis(30);
            assert!(system_tokio::time::timeout(within, link.pass(&mut fate)).await.is_err());
            links.lift(a, b, one);
            assert!(system_tokio::time::timeout(within, link.pass(&mut fate)).await.is_err());
            links.lift(a, b, two);
            system_tokio::time::timeout(within, link.pass(&mut fate)).await.expect("it passes");
            assert_eq!((links.bites(one), links.bites(two)), (1, 1), "each counts the segment once");
        });
    }

    #[test]
    fn no_delay_outlives_its_modifier() {
        in_real_time(async {
            let (links, a, b) = pair();
            let token = Token::new(1);
            let latency = Latency { base: Duration::from_secs(60), jitter: Duration::ZERO };
            links.impose(a, b, token, Effect::Slow(latency, Distribution::Uniform));
            let link = links.between(a, b);
            let mut fate = link.enter(10);
            let lifts = async {
                system_tokio::time::sleep(Duration::from_millis(20)).await;
                links.lift(a, b, token);
            };
            let began = Instant::now();
            let both = async { tokio::join!(link.pass(&mut fate), lifts) };
            system_tokio::time::timeout(Duration::from_secs(5), both)
                .await
                .expect("it passes once it is lifted");
            assert!(began.elapsed() >= Duration::from_millis(20));
        });
    }

    #[test]
    fn a_narrow_link_is_one_queue() {
        in_real_time(async {
            let (links, a, b) = pair();
            links.impose(a, b, Token::new(1), Effect::Narrow(100_000));
            let link = links.between(a, b);
            let (mut first, mut second) = (link.enter(2_000), link.enter(2_000));
            let began = Instant::now();
            link.pass(&mut second).await;
            link.pass(&mut first).await;
            assert!(began.elapsed() >= Duration::from_millis(39), "4,000 bytes take 40 ms");
        });
    }

    #[test]
    fn losses_come_at_their_rate_and_show_as_told() {
        in_real_time(async {
            let (links, a, b) = pair();
            let token = Token::new(1);
            links.impose(a, b, token, Effect::Loss(300, LossShows::Reset));
            let link = links.between(a, b);
            let resets = (0..1000).filter(|_| link.enter(1).resets).count();
            assert!((200..400).contains(&resets), "{resets} of 1000");
            assert_eq!(links.bites(token), resets as u64);
        });
    }
}

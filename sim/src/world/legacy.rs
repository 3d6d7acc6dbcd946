//! Faults without tokens, as they were before [`super::Modifier`]. They go as soon as nobody calls them.

use std::{collections::BTreeMap, time::Duration};

use super::{Latency, Modifier, NodeId, Token, Unsynced, World};

/// Tokens that the callers of this module's methods do not hold themselves.
#[derive(Debug, Default)]
pub(crate) struct Legacy {
    cuts: BTreeMap<(NodeId, NodeId), Vec<Token>>,
    slow: BTreeMap<(NodeId, NodeId), Token>,
    pauses: BTreeMap<NodeId, Token>,
    stalls: BTreeMap<NodeId, Vec<Token>>,
    slow_disks: BTreeMap<NodeId, Token>,
}

impl World {
    /// [`Self::power_off`].
    pub fn kill(&self, node: NodeId) {
        self.power_off(node, Unsynced::Drawn);
    }

    /// [`Self::power_off`].
    pub fn kill_with(&self, node: NodeId, unsynced: Unsynced) {
        self.power_off(node, unsynced);
    }

    /// [`Modifier::Pause`]; a second one does nothing.
    pub fn pause(&self, node: NodeId) {
        if !self.legacy().lock().pauses.contains_key(&node) {
            let token = self.impose(Modifier::Pause(node));
            self.legacy().lock().pauses.insert(node, token);
        }
    }

    /// Lifts a pause.
    pub fn resume(&self, node: NodeId) {
        let token = self.legacy().lock().pauses.remove(&node);
        token.map(|token| self.lift(token));
    }

    /// [`Modifier::Cut`].
    pub fn cut(&self, from: NodeId, to: NodeId) {
        let token = self.impose(Modifier::Cut { from, to });
        self.legacy().lock().cuts.entry((from, to)).or_default().push(token);
    }

    /// Lifts one cut.
    pub fn heal(&self, from: NodeId, to: NodeId) {
        let token = self.legacy().lock().cuts.get_mut(&(from, to)).and_then(Vec::pop);
        token.map(|token| self.lift(token));
    }

    /// Lifts every cut of this module's.
    pub fn heal_all(&self) {
        let cuts = std::mem::take(&mut self.legacy().lock().cuts);
        for token in cuts.into_values().flatten() {
            self.lift(token);
        }
    }

    /// [`Modifier::Slow`], by what the link is to have; none lifts it.
    pub fn set_latency(&self, from: NodeId, to: NodeId, latency: Option<Latency>) {
        let before = self.legacy().lock().slow.remove(&(from, to));
        before.map(|token| self.lift(token));
        if let Some(whole) = latency {
            let own = self.shared().net.lock().default_latency();
            let latency = Latency {
                base: whole.base.saturating_sub(own.base),
                jitter: whole.jitter.saturating_sub(own.jitter),
            };
            let token = self.impose(Modifier::Slow { from, to, latency });
            self.legacy().lock().slow.insert((from, to), token);
        }
    }

    /// [`Modifier::StallDisk`].
    pub fn stall_disk(&self, node: NodeId) {
        let token = self.impose(Modifier::StallDisk(node));
        self.legacy().lock().stalls.entry(node).or_default().push(token);
    }

    /// Lifts one stall.
    pub fn end_disk_stall(&self, node: NodeId) {
        let token = self.legacy().lock().stalls.get_mut(&node).and_then(Vec::pop);
        token.map(|token| self.lift(token));
    }

    /// [`Modifier::SlowSync`]; no delay lifts it.
    pub fn slow_disk(&self, node: NodeId, extra: Duration) {
        let before = self.legacy().lock().slow_disks.remove(&node);
        before.map(|token| self.lift(token));
        if !extra.is_zero() {
            let token = self.impose(Modifier::SlowSync { node, delay: extra, jitter: Duration::ZERO });
            self.legacy().lock().slow_disks.insert(node, token);
        }
    }

    fn legacy(&self) -> &super::lock::Lock<Legacy> {
        &self.shared().legacy
    }
}

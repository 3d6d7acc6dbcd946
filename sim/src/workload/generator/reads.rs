//! Reads: of one key and of ranges, with every option, now and at past revisions.

use rand::Rng;
use squall_checker::history as h;

use super::Generator;
use crate::scenario::WorkloadKind;

const ORDERS: [h::SortOrder; 3] = [h::SortOrder::None, h::SortOrder::Ascend, h::SortOrder::Descend];
const TARGETS: [h::SortTarget; 5] = [
    h::SortTarget::Key,
    h::SortTarget::Version,
    h::SortTarget::Create,
    h::SortTarget::Mod,
    h::SortTarget::Value,
];

impl Generator {
    /// A read of one key.
    pub(super) fn get(&mut self) -> h::Range {
        let mut range = h::Range { key: self.key(), ..h::Range::default() };
        range.serializable = self.kind == WorkloadKind::Kv && self.one_in(16);
        range
    }

    /// A read of several keys.
    pub(super) fn range(&mut self) -> h::Range {
        let (key, range_end) = self.keys.span(&mut self.chance);
        let mut range = h::Range { key, range_end, ..h::Range::default() };
        // Half of the reads have no options, so that no option hides something from all readers.
        if self.one_in(2) {
            self.add_options(&mut range);
        }
        range.serializable = self.one_in(12);
        range
    }

    /// A read at a named revision, of one key or of several.
    pub(super) fn past(&mut self) -> h::Range {
        let mut range = if self.one_in(2) { self.get() } else { self.range() };
        range.revision = self.past_revision();
        range
    }

    /// Mostly a revision that can be read; sometimes a compacted or future one, or none (negative: newest).
    pub(super) fn past_revision(&mut self) -> h::Revision {
        let newest = self.seen.revision.max(1);
        // Not drawn from `1..=newest`: how much such a draw takes from the stream depends on what was seen.
        let any = 1 + i64::from(self.chance.r#gen::<u32>()) % newest;
        h::Revision(match self.chance.gen_range(0..24) {
            0..=11 => (newest - self.chance.gen_range(0..20)).max(1),
            12..=17 => newest,
            // Old ones: sooner or later compactions have reached them.
            18..=20 => any,
            21 => newest + self.chance.gen_range(1..4),
            22 => newest + 1_000_000,
            _ => -1,
        })
    }

    /// Orders, limits, filters, what to leave out: each by itself, so that they combine.
    fn add_options(&mut self, range: &mut h::Range) {
        range.sort_order = ORDERS[self.chance.gen_range(0..ORDERS.len())];
        range.sort_target = TARGETS[self.chance.gen_range(0..TARGETS.len())];
        if self.one_in(2) {
            range.limit = self.chance.gen_range(1..5);
        }
        match self.chance.gen_range(0..8) {
            0 => range.keys_only = true,
            1 => range.count_only = true,
            _ => {}
        }
        if self.one_in(3) {
            let near = self.near_revision(&range.key.clone());
            match self.chance.gen_range(0..4) {
                0 => range.min_mod_revision = near,
                1 => range.max_mod_revision = near,
                2 => range.min_create_revision = near,
                _ => range.max_create_revision = near,
            }
        }
        if self.one_in(8) {
            // Two bounds together. The narrow ones cut on both sides.
            let before = |back: i64| h::Revision((self.seen.revision - back).max(1));
            match self.seen.revision % 4 {
                0 => (range.min_mod_revision, range.max_mod_revision) = (before(30), before(5)),
                1 => (range.min_mod_revision, range.max_mod_revision) = (before(8), before(2)),
                2 => (range.min_create_revision, range.max_create_revision) = (before(20), before(4)),
                _ => (range.min_mod_revision, range.max_create_revision) = (before(8), before(12)),
            }
        }
    }

    /// A revision at or beside one that the key was seen with, or a recent one. At least 1.
    pub(super) fn near_revision(&mut self, key: &h::Bytes) -> h::Revision {
        let create = self.one_in(3);
        let beside = self.chance.gen_range(-1..=1);
        let recent = self.chance.gen_range(0..12);
        let revision = match self.seen.key(key) {
            Some(kv) if create => kv.create_revision.0 + beside,
            Some(kv) => kv.mod_revision.0 + beside,
            None => self.seen.revision - recent,
        };
        h::Revision(revision.max(1))
    }
}

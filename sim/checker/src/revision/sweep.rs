//! Real time against revision order, in one pass over the whole history.
//!
//! In every legal order revisions rise, and a revision's creator comes before every operation that sees it. So no operation may
//! return with a revision before one with a smaller revision is called, and no operation may see a revision and return before
//! the revision's creator is called. Every conflict is a pair of operations that proves it.

use super::layout::{FOREVER, NONE, Prepared};

/// Two operations that no order fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TimeConflict {
    /// `newer` had returned before `older` was called, yet `older` has the smaller revision.
    Backwards { newer: u32, older: u32 },
    /// `seer` saw the revision of `creator` and returned before that was called.
    Foreseen { seer: u32, creator: u32 },
}

/// The conflict with the first call of a later operation, if there is one.
pub(super) fn sweep(prepared: &Prepared<'_>) -> Option<TimeConflict> {
    let mut found: Option<(u64, TimeConflict)> = None;
    let mut note = |call: u64, conflict: TimeConflict| {
        if found.is_none_or(|(known, _)| call < known) {
            found = Some((call, conflict));
        }
    };
    for era in &prepared.eras {
        let mut least = (FOREVER, NONE);
        for segment in (era.first..=era.last).rev() {
            let creator = prepared.creators[segment as usize];
            let mut here = (FOREVER, NONE);
            let lists = [&prepared.readers, &prepared.locals, &prepared.either];
            for &item in lists.iter().flat_map(|list| list.get(segment)) {
                let times = &prepared.items[item as usize];
                if least.0 < times.call {
                    note(times.call, TimeConflict::Backwards { newer: least.1, older: item });
                }
                here = here.min((times.ret, item));
            }
            if creator != NONE {
                let times = &prepared.items[creator as usize];
                if least.0 < times.call {
                    note(times.call, TimeConflict::Backwards { newer: least.1, older: creator });
                }
                if here.0 < times.call {
                    note(times.call, TimeConflict::Foreseen { seer: here.1, creator });
                }
                here = here.min((times.ret, creator));
            }
            least = least.min(here);
        }
    }
    found.map(|(_, conflict)| conflict)
}

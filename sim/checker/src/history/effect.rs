//! What a fault does to the members that it hits, as far as the checkers need it.
//!
//! Each fault's line names its effects. So no checker knows the names of faults, and a new kind of fault needs no change here.
//! Histories that were written before the effects were recorded, and foreign ones, have a name alone. [`Effect::of_action`]
//! gives the effects that the name had then. It is the only place that knows names.
//!
//! Left out: harm to a disk. It depends on a fault's settings and is a field of its own ([`Fault::harms_disk`]).

use serde::{Deserialize, Serialize};

use super::Fault;

/// One thing that a fault does to the members that it hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// Something breaks or changes. Rules for quiet times do not apply while the fault is active, nor shortly after it.
    Disturbs,
    /// A member may not get to do its work, or may end. Faults of the network alone leave members at work.
    Hinders,
    /// The processes of all members that it hits end at once.
    EndsProcess,
    /// The store's file may become smaller.
    ShrinksStore,
    /// A disk is set back to an older image of itself.
    RollsBackDisk,
    /// A bit on a disk changes and nothing else, so a checksum shows it.
    FlipsBit,
    /// An operator adds, removes or changes a member.
    ChangesMembers,
}

impl Effect {
    /// The effects of a fault whose line does not name them. A kind that has no row here disturbs and hinders: a checker
    /// rather excuses a member than accuses it wrongly.
    pub fn of_action(action: &str) -> &'static [Effect] {
        use Effect::{ChangesMembers, Disturbs, EndsProcess, FlipsBit, Hinders, RollsBackDisk, ShrinksStore};
        match action {
            "compact" | "snapshotSave" => &[],
            "bandwidth" | "clockJump" | "flap" | "halfOpen" | "idleTimeout" | "latency" | "loss"
            | "moveLeader" | "partition" | "resetConnections" | "swizzle" => &[Disturbs],
            "crash" => &[Disturbs, Hinders, EndsProcess],
            "defragment" | "reclaimSpace" | "wipeDisk" => &[Disturbs, Hinders, ShrinksStore],
            "addLearner" | "addMember" | "removeMember" | "replaceMember" | "updateMember" => {
                &[Disturbs, Hinders, ChangesMembers]
            }
            "bitFlip" => &[Disturbs, Hinders, FlipsBit],
            "rollbackDisk" => &[Disturbs, Hinders, RollsBackDisk],
            _ => &[Disturbs, Hinders],
        }
    }
}

impl Fault {
    /// Whether it has this effect on the members that it hits.
    pub fn does(&self, effect: Effect) -> bool {
        match &self.effects {
            Some(effects) => effects.contains(&effect),
            None => Effect::of_action(&self.action).contains(&effect),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_decides_and_the_name_only_where_the_line_says_nothing() {
        let fault = |action: &str, effects: Option<Vec<Effect>>| Fault {
            action: action.to_owned(),
            effects,
            ..Fault::default()
        };
        assert!(fault("pause", None).does(Effect::Hinders));
        assert!(!fault("partition", None).does(Effect::Hinders));
        assert!(!fault("compact", None).does(Effect::Disturbs));
        assert!(
            fault("newKind", None).does(Effect::Hinders) && fault("newKind", None).does(Effect::Disturbs)
        );
        assert!(!fault("newKind", Some(vec![Effect::Disturbs])).does(Effect::Hinders));
        assert!(!fault("crash", Some(Vec::new())).does(Effect::EndsProcess));
    }

    #[test]
    fn a_line_without_effects_is_not_a_line_with_none() {
        let read = |text: &str| serde_json::from_str::<Fault>(text).unwrap();
        assert_eq!(read(r#"{"at":1,"action":"pause"}"#).effects, None);
        let named = read(r#"{"at":1,"action":"pause","effects":["disturbs","rolls-back-disk"]}"#);
        assert_eq!(named.effects, Some(vec![Effect::Disturbs, Effect::RollsBackDisk]));
        let none = Fault { effects: Some(Vec::new()), ..Fault::default() };
        assert_eq!(read(&serde_json::to_string(&none).unwrap()), none);
    }
}

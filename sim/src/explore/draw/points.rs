//! Which points are live in an explored scenario, where a member is to fail in the middle of certain work.

use squall_store::seam::Point;

use super::Draws;
use crate::faults::{Action, AtPoint, Fault, Settings};

/// Makes a few of the points live, if the failure is one at points. With all points to choose from, the right one is
/// seldom live. Most often the member crashes there.
pub(super) fn few_points(failure: &mut Fault, of: &[Point], draws: &mut Draws) {
    let Some(Settings::Points(points)) = failure.blocks.get_mut(&Action::Points).filter(|_| !of.is_empty())
    else {
        return;
    };
    let mut near = of.to_vec();
    draws.0.shuffle(&mut near);
    near.truncate(draws.pick(&[1, 2, 4]));
    (points.names, points.live) = (near.iter().map(|point| point.name().to_owned()).collect(), None);
    points.visits = draws.pick(&[25, 50, 100, 100]);
    if !draws.one_in(4) {
        points.effect = draws.pick(&[AtPoint::Kill, AtPoint::PowerOff]);
    }
}

/// The points that a member passes while it receives and installs a snapshot.
pub(super) fn points_of_installs() -> &'static [Point] {
    &[
        Point::SnapshotBeforeFinish,
        Point::SnapshotBeforeHandOver,
        Point::SnapshotBeforeSaveSnap,
        Point::SnapshotAfterSaveSnap,
        Point::WalBeforeSync,
        Point::RaftAfterSave,
        Point::InstallBeforeOpen,
        Point::InstallBeforeReplace,
        Point::InstallAfterReplace,
        Point::InstallBeforeRelease,
    ]
}

/// The points that a member passes while it does this work; empty if the work has none of its own.
pub(super) fn points_of(work: Action) -> &'static [Point] {
    match work {
        Action::Defragment | Action::ReclaimSpace => &[
            Point::DefragBeforeCopy,
            Point::DefragBeforeRename,
            Point::DefragAfterRename,
            Point::EngineBeforeCommit,
            Point::EngineAfterCommit,
        ],
        Action::Compact => &[
            Point::CompactAfterSchedule,
            Point::CompactBeforeStep,
            Point::CompactAfterStep,
            Point::CompactAfterFinish,
            Point::EngineBeforeCommit,
            Point::EngineAfterCommit,
        ],
        Action::AddMember
        | Action::AddFirst
        | Action::AddLearner
        | Action::RemoveMember
        | Action::UpdateMember => &[
            Point::ApplyBeforeConfChange,
            Point::ApplyAfterConfChange,
            Point::RaftAfterSave,
            Point::RaftBeforeFollowerSend,
            Point::PeerBeforeMembers,
            Point::StartBeforePublish,
        ],
        _ => &[],
    }
}

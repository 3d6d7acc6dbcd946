//! A drawn fault, and its form in a file: a scenario's fault with windows of no width.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    faults::{Action, After, Aim, Fault, Mode, Selector, Settings, Target},
    text::Window,
};

/// One strike of a fault: nothing about it is left to chance but what the cluster looks like when it strikes.
#[derive(Debug, Clone, PartialEq)]
pub struct DrawnFault {
    /// When it strikes: after the start of the clients.
    pub at: Duration,
    /// Its name, unique in the plan; the second and later strikes of a repeated fault are `name.2`, `name.3`, ….
    pub id: String,
    /// Whom it hits. Without meaning for actions that hit the whole cluster.
    pub target: Target,
    /// Picks among several possible targets ([`Target::resolve`]).
    pub draw: u64,
    /// What it waits for before its instant begins to count.
    pub after: Option<After>,
    /// How long it lasts; `None`: until the final heal.
    pub duration: Option<Duration>,
    /// What it does.
    pub settings: Settings,
}

impl DrawnFault {
    /// What it does, without its settings.
    pub fn action(&self) -> Action {
        self.settings.action()
    }

    /// The drawn form of a fault that has passed validation.
    ///
    /// # Panics
    /// Where the fault lacks a block that its action needs: the validation refuses that.
    pub(super) fn new(
        fault: &Fault,
        id: String,
        at: Duration,
        duration: Option<Duration>,
        draw: u64,
    ) -> Self {
        let mut settings = fault
            .settings()
            .unwrap_or_else(|| panic!("fault `{id}` has passed validation without its block of settings"));
        settings.complete(&id);
        let target = Target {
            selector: fault.selector.clone().unwrap_or_default(),
            mode: fault.mode.unwrap_or(Mode::One),
            value: fault.value.unwrap_or(0),
        };
        // An action on the whole cluster chooses no member.
        let draw = if fault.action.aim() == Aim::Cluster { 0 } else { draw };
        Self { at, id, target, draw, after: fault.after.clone(), duration, settings }
    }

    /// The form in a file.
    pub(crate) fn to_fault(&self) -> Fault {
        let action = self.action();
        let aims = action.aim() != Aim::Cluster;
        let mut blocks = BTreeMap::new();
        if action.has_settings() {
            blocks.insert(action, self.settings.clone());
        }
        Fault {
            name: Some(self.id.clone()),
            at: Window::exactly(self.at),
            every: None,
            after: self.after.clone(),
            action,
            selector: (aims && self.target.selector != Selector::default())
                .then(|| self.target.selector.clone()),
            mode: aims.then_some(self.target.mode),
            value: matches!(self.target.mode, Mode::Fixed | Mode::FixedPercent).then_some(self.target.value),
            duration: self.duration.map(Window::exactly),
            draw: aims.then_some(self.draw),
            blocks,
        }
    }
}

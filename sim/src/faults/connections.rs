//! The common part of `halfOpen` and `resetConnections`: every connection of the selected links ends, once, and new
//! ones work at once. They differ only in whether the two ends get a reset; their rooms state that.

/// Defines a room for a type that ends connections.
macro_rules! ends_connections {
    ($(#[$about:meta])* $Room:ident: $action:literal, $line:literal, $how:expr) => {
        $(#[$about])*
        #[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        #[serde(rename_all = "camelCase", deny_unknown_fields, default)]
        pub struct $Room {
            /// The other ends. Default `members`.
            pub peers: super::Peers,
        }

        impl super::Room for $Room {
            const ACTION: &'static str = $action;
            const ABOUT: &'static str = $line;
            const AIM: super::Aim = super::Aim::Members;
            const LASTS: super::Lasts = super::Lasts::Never;
            const COST: super::Cost = super::Cost::Time;
            const EFFECTS: &'static [super::Effect] = &[super::Effect::Disturbs];

            fn draw(drawing: &mut super::Drawing<'_>) -> Option<Self> {
                Some(Self { peers: drawing.one_of(&super::Peers::ALL) })
            }

            fn check(&self, check: &super::Check<'_>) -> Result<(), crate::text::Refusal> {
                check.other_ends(self.peers)
            }

            fn strike<'a>(
                &'a self,
                strike: super::Strike<'a>,
            ) -> squall_store::seam::BoxFuture<'a, super::Struck> {
                Box::pin(async move {
                    super::Struck { bit: strike.end_connections(self.peers, $how), ..Default::default() }
                })
            }
        }
    };
}
pub(super) use ends_connections;

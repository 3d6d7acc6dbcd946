//! The picture of a checked history: one HTML file that needs nothing else, neither network nor server.
//!
//! A [`Picture`] is what is drawn, for every check: a lane for each client, a bar for each operation, linearization
//! points joined in their order, the step that is impossible in red, and, under the pointer, the state before and after a
//! bar. The general check fills one by [`of_linearization`], [`of_violation`] and [`of_prefix`]; the etcd side
//! by [`of_etcd_witness`] and [`of_etcd_violation`]. [`Picture::html`] writes the file.
//!
//! The page opens on the minimal core if there is one, and otherwise on the whole history. Bars are stored in
//! chunks that are parsed when they come into view, so that ten thousand operations open at once; states and labels
//! are stored once each. All text reaches the page through a canvas or as text nodes, never as markup.

mod build;
mod etcd;
mod html;

pub use build::{of_linearization, of_prefix, of_violation};
pub use etcd::{etcd_label, of_etcd_violation, of_etcd_witness};

/// What an instant is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeUnit {
    /// Nanoseconds.
    Nanoseconds,
    /// The event's place in the file.
    Events,
}

/// How a bar is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BarOutcome {
    /// Completed.
    Ok,
    /// Did not happen.
    Fail,
    /// May have happened: a bar without an end.
    Info,
}

/// Where an operation takes effect in the order that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// Its place in the order, from 0.
    pub order: usize,
    /// When, between call and return.
    pub at: f64,
    /// The state before.
    pub before: String,
    /// The state after.
    pub after: String,
}

/// One operation.
#[derive(Clone, Debug, PartialEq)]
pub struct Bar {
    /// Which lane.
    pub lane: usize,
    /// Its call.
    pub call: u64,
    /// Its return, if the client saw one.
    pub ret: Option<u64>,
    /// What it is, in a few words.
    pub label: String,
    /// Its outcome.
    pub outcome: BarOutcome,
    /// The keys it touches, to be searched for.
    pub keys: Vec<String>,
    /// Where it takes effect, if it does so in the order that was found.
    pub point: Option<Point>,
    /// What is impossible about it, if it is what the judge blames.
    pub error: Option<String>,
    /// More to show under the pointer, such as a revision.
    pub note: String,
}

/// Something that happened beside the operations, such as a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// When.
    pub at: u64,
    /// What.
    pub label: String,
}

/// What is drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    /// The verdict, `valid`, `invalid` or `unknown`.
    pub verdict: String,
    /// One line under it: the rule that was broken.
    pub headline: String,
    /// The explanation, as text.
    pub text: String,
    /// What the instants are.
    pub unit: TimeUnit,
    /// The lanes' names.
    pub lanes: Vec<String>,
    /// The operations.
    pub bars: Vec<Bar>,
    /// Other events.
    pub marks: Vec<Mark>,
    /// The essential operations of the minimal core, by their place in `bars`.
    pub essential: Vec<usize>,
    /// Operations that the core leaves open.
    pub possible: Vec<usize>,
}

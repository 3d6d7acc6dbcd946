//! The functions of the language, with the kinds of their arguments.

/// The kind of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One number.
    Scalar,
    /// A string; it occurs only as an argument.
    Text,
    /// An instant vector: one element for each series.
    Instant,
    /// A range vector: samples for each series. It occurs only as an argument.
    Range,
}

impl Kind {
    /// Prometheus' name for the kind.
    pub fn word(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Text => "string",
            Self::Instant => "instant vector",
            Self::Range => "range vector",
        }
    }
}

/// A function of the language.
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: &'static str,
    /// The kinds of its arguments.
    pub takes: &'static [Kind],
    /// How many of `takes`, from the left, are required.
    pub least: usize,
    /// Whether the last argument may be repeated any number of times.
    pub repeats: bool,
    /// The kind of its result.
    pub returns: Kind,
}

impl Function {
    /// The function of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        FUNCTIONS.iter().find(|function| function.name == name)
    }
}

/// Functions of Prometheus 2.42 that are not supported here.
pub const LEFT_OUT: [&str; 29] = [
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atanh",
    "cos",
    "cosh",
    "day_of_month",
    "day_of_week",
    "day_of_year",
    "days_in_month",
    "deg",
    "histogram_count",
    "histogram_fraction",
    "histogram_sum",
    "holt_winters",
    "hour",
    "minute",
    "month",
    "pi",
    "rad",
    "sin",
    "sinh",
    "tan",
    "tanh",
    "year",
    "start",
    "end",
];

use Kind::{Instant, Range, Scalar, Text};

const fn function(name: &'static str, takes: &'static [Kind]) -> Function {
    Function { name, takes, least: takes.len(), repeats: false, returns: Instant }
}

const fn at_least(least: usize, function: Function) -> Function {
    Function { least, ..function }
}

const FUNCTIONS: [Function; 43] = [
    function("abs", &[Instant]),
    function("absent", &[Instant]),
    function("absent_over_time", &[Range]),
    function("avg_over_time", &[Range]),
    function("ceil", &[Instant]),
    function("changes", &[Range]),
    function("clamp", &[Instant, Scalar, Scalar]),
    function("clamp_max", &[Instant, Scalar]),
    function("clamp_min", &[Instant, Scalar]),
    function("count_over_time", &[Range]),
    function("delta", &[Range]),
    function("deriv", &[Range]),
    function("exp", &[Instant]),
    function("floor", &[Instant]),
    function("histogram_quantile", &[Scalar, Instant]),
    function("idelta", &[Range]),
    function("increase", &[Range]),
    function("irate", &[Range]),
    Function { repeats: true, ..at_least(3, function("label_join", &[Instant, Text, Text, Text])) },
    function("label_replace", &[Instant, Text, Text, Text, Text]),
    function("last_over_time", &[Range]),
    function("ln", &[Instant]),
    function("log10", &[Instant]),
    function("log2", &[Instant]),
    function("max_over_time", &[Range]),
    function("min_over_time", &[Range]),
    function("predict_linear", &[Range, Scalar]),
    function("present_over_time", &[Range]),
    function("quantile_over_time", &[Scalar, Range]),
    function("rate", &[Range]),
    function("resets", &[Range]),
    at_least(1, function("round", &[Instant, Scalar])),
    Function { returns: Scalar, ..function("scalar", &[Instant]) },
    function("sgn", &[Instant]),
    function("sort", &[Instant]),
    function("sort_desc", &[Instant]),
    function("sqrt", &[Instant]),
    function("stddev_over_time", &[Range]),
    function("stdvar_over_time", &[Range]),
    function("sum_over_time", &[Range]),
    Function { returns: Scalar, ..function("time", &[]) },
    function("timestamp", &[Instant]),
    function("vector", &[Scalar]),
];

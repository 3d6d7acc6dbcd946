//! `--log FILTER`: the store's logs, stamped with virtual time and node.
//!
//! The subscriber is a default of the thread that calls the runner, and the world also sets it on the run's thread.
//! Nothing is global, so the logs of parallel runs do not mix. Logs only print: they draw no random numbers and take
//! no time, and the audit hash is the same without them.

use crate::{text::Refusal, world::here};
use std::fmt;
use std::path::Path;
use tracing::{Dispatch, Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{EnvFilter, Registry, layer::SubscriberExt};

/// The subscriber for one run, which writes to `writer`.
///
/// # Errors
/// If the filter cannot be parsed.
pub(super) fn dispatch<W>(filter: &str, run: String, writer: W) -> Result<Dispatch, Refusal>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let bad = |error: &dyn fmt::Display| {
        let message = format!(
            "`{filter}` is no log filter ({error}): expected a level, such as `info`, or targets with levels, such \
             as `squall_store=debug,warn`"
        );
        Refusal::of(Path::new("--log"), message)
    };
    let mut directives = EnvFilter::try_new(filter).map_err(|error| bad(&error))?;
    directives = directives.add_directive("madsim=error".parse().map_err(|error| bad(&error))?);
    let layer =
        tracing_subscriber::fmt::layer().with_ansi(false).with_writer(writer).event_format(Stamped { run });
    Ok(Dispatch::new(Registry::default().with(directives).with(layer)))
}

/// `scenario/seed    1.234567890s m1  INFO squall_store::node: message field=value`
struct Stamped {
    run: String,
}

impl<S, N> FormatEvent<S, N> for Stamped
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let meta = event.metadata();
        let (at, node) = here().unwrap_or_default();
        let time = at.since_start();
        write!(out, "{} {:>14.9}s ", self.run, time.as_secs_f64())?;
        let node = node.map_or("-", |node| node.name());
        write!(out, "{node:<8} {:>5} {}: ", meta.level(), meta.target())?;
        context.format_fields(out.by_ref(), event)?;
        writeln!(out)
    }
}

//! `spec.alerts` and `spec.expect.alerts`: the rules that a Prometheus watches the run with, and what must come of them.
//!
//! A scenario names rule files; a plan holds their text, so that it replays the same wherever it lies and whatever became of
//! the files. Everything is read and understood before anything runs: a file that is missing, a rule that our evaluator does
//! not know, an alert that no rule raises are refused with their place.

use std::{borrow::Cow, collections::BTreeMap, fmt, path::Path, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, MapAccess, Visitor, value::MapAccessDeserializer},
};
use squall_alerts::{
    labels::{NAME, is_label_name},
    query,
    rules::{AlertRule, RuleFile},
};
use squall_checker::history::{ExpectedAlert, ExpectedAlerts};

use super::{load, types::Spec};
use crate::text::{Refusal, Source, Step, did_you_mean, format_duration as show, go, one_of};

use Step::{Index, Key};

/// A Prometheus that watches the run: it scrapes every member at virtual moments, evaluates rules, and tells the history which
/// alerts are pending and which fire. It changes nothing in the run.
///
/// It begins with the clients, and stands where they do: a member that is down, paused, or cut off from all clients'
/// machines at the moment of a scrape does not answer, so that its `up` is 0 and its series end. A member that is cut
/// off only from the others answers. Delays and losses shorter than a scrape's time-out of 10 s have no effect. The
/// targets are the members that the run began with, by name (`instance="m1:2379"`), as in a static configuration: one
/// that is removed stays a target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Alerts {
    /// Rule files in Prometheus' format, each by its path, relative to the scenario's file. In a plan each is `{path, text}`.
    pub rules: Vec<RuleSource>,
    /// How often each member is scraped. Default 15s.
    #[serde(with = "go", default = "default_interval")]
    pub scrape_interval: Duration,
    /// How often rules are evaluated, unless their group has an interval of its own. Default 15s.
    #[serde(with = "go", default = "default_interval")]
    pub evaluation_interval: Duration,
    /// The label `job` of all series. Default `etcd`.
    #[serde(default = "default_job")]
    pub job: String,
    /// Labels that templates may name as `$externalLabels`. Default: none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub external_labels: BTreeMap<String, String>,
    /// Which series are kept. Default `ofRules`.
    #[serde(default)]
    pub series: Kept,
}

/// Which of the members' series are scraped and kept in the run folder.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Kept {
    /// Every series that a member shows: about 2,000. For dashboards.
    All,
    /// Those that rules look at.
    #[default]
    OfRules,
    /// Those that rules look at, and only for as long as rules look back: for runs of many hours. The series of such
    /// a run cannot be exported.
    Nothing,
}

/// A rule file, by its path, with its text once it has been read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleSource {
    /// As the scenario names it.
    pub path: String,
    /// What it holds.
    pub text: Option<String>,
}

/// Which alerts must fire in the run, and which must not. Alerts that are not named may do either.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ExpectAlerts {
    /// Each must fire at least once: an alert's name, or its name with labels that it must have,
    /// `etcdNoLeader{instance="m1:2379"}`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub firing: Vec<String>,
    /// None may fire, from the clients' start to the run's end. One whose rule had nothing to look at does not count as silent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_firing: Vec<String>,
    /// How soon after the first fault each of `firing` must fire. Default 0s: not looked at.
    #[serde(with = "go", skip_serializing_if = "Duration::is_zero")]
    pub within: Duration,
}

fn default_interval() -> Duration {
    Duration::from_secs(15)
}

fn default_job() -> String {
    "etcd".to_owned()
}

impl Alerts {
    /// The rules, read.
    ///
    /// # Panics
    /// Where they have not passed validation.
    pub fn rule_files(&self) -> Vec<RuleFile> {
        let files = self.rules.iter().map(|source| {
            let text = source.text.as_deref().expect("it was read with the scenario");
            RuleFile::parse(text).unwrap_or_else(|error| panic!("{}: {error}", source.path))
        });
        files.collect()
    }
}

impl ExpectAlerts {
    /// What the history is told to demand.
    pub fn demands(&self) -> ExpectedAlerts {
        let all = |texts: &[String]| texts.iter().filter_map(|text| selector(text).ok()).collect();
        let within = u64::try_from(self.within.as_nanos()).unwrap_or(u64::MAX);
        ExpectedAlerts {
            firing: all(&self.firing),
            not_firing: all(&self.not_firing),
            within: Some(within).filter(|within| *within > 0),
        }
    }
}

/// Reads the rule files that a plan names and has no text of; they lie relative to its file.
pub(crate) fn read_rules(on: &Source, spec: &mut Spec) -> Result<(), Refusal> {
    read_rules_by(on, spec, &|rules| beside(on.path, rules))
}

/// Reads the rule files that are named without their text; `read` answers a path's text, or says why there is none.
pub(super) fn read_rules_by(
    on: &Source,
    spec: &mut Spec,
    read: &dyn Fn(&str) -> Result<String, String>,
) -> Result<(), Refusal> {
    let sources = spec.alerts.iter_mut().flat_map(|alerts| &mut alerts.rules).enumerate();
    for (index, source) in sources.filter(|(_, source)| source.text.is_none()) {
        match read(&source.path) {
            Ok(text) => source.text = Some(text),
            Err(why) => {
                return on.refuse(&rule_at(index), format!("the rule file `{}`: {why}", source.path));
            }
        }
    }
    Ok(())
}

/// The text of a rule file that lies relative to the file that names it.
pub(super) fn beside(scenario: &Path, rules: &str) -> Result<String, String> {
    let path = scenario.parent().unwrap_or(Path::new("")).join(rules);
    // The refusal names the scenario, so only what is wrong is taken.
    load::read_text(&path).map_err(|refusal| format!("{} ({})", refusal.message, path.display()))
}

fn rule_at(index: usize) -> [Step<'static>; 4] {
    [Key("spec"), Key("alerts"), Key("rules"), Index(index)]
}

/// Checks `spec.alerts` and `spec.expect.alerts`.
pub(super) fn check(on: &Source, spec: &Spec) -> Result<(), Refusal> {
    let expect_at = [Key("spec"), Key("expect"), Key("alerts")];
    let Some(alerts) = &spec.alerts else {
        return on.refuse_if(spec.expect.alerts.is_some(), &expect_at, || {
            "there are no rules that could raise an alert: name rule files in `spec.alerts.rules`, or remove this"
        });
    };
    let at = |key| [Key("spec"), Key("alerts"), Key(key)];
    on.refuse_if(alerts.rules.is_empty(), &at("rules"), || "the list is empty: name at least one rule file")?;
    for (key, interval) in
        [("scrapeInterval", alerts.scrape_interval), ("evaluationInterval", alerts.evaluation_interval)]
    {
        let (least, most) = (Duration::from_millis(100), Duration::from_secs(3600));
        on.refuse_if(interval < least || interval > most, &at(key), || {
            format!("{} is out of range, expected {} to {}", show(interval), show(least), show(most))
        })?;
        on.refuse_if(!interval.as_nanos().is_multiple_of(1_000_000), &at(key), || {
            format!("{} is finer than 1ms: Prometheus knows nothing finer", show(interval))
        })?;
    }
    on.refuse_if(alerts.job.is_empty(), &at("job"), || "a job needs a name, such as `etcd`")?;
    for name in alerts.external_labels.keys() {
        on.refuse_if(!is_label_name(name) || name == NAME, &at("externalLabels"), || {
            format!(
                "{name:?} is no label's name: expected letters, digits and underscores, such as `cluster`"
            )
        })?;
    }
    let mut files = Vec::new();
    for (index, source) in alerts.rules.iter().enumerate() {
        let text = source.text.as_deref().unwrap_or_default();
        match RuleFile::parse(text) {
            Ok(file) => files.push(file),
            Err(error) => {
                let message = format!("the rule file `{}` is not understood: {error}", source.path);
                return on.refuse(&rule_at(index), message);
            }
        }
    }
    let known: Vec<&AlertRule> = files.iter().flat_map(RuleFile::alert_rules).collect();
    on.refuse_if(
        known.is_empty(),
        &at("rules"),
        || "none of the rules raises an alert: name at least one that does",
    )?;
    spec.expect.alerts.as_ref().map_or(Ok(()), |expect| expected(on, expect, &known))
}

fn expected(on: &Source, expect: &ExpectAlerts, known: &[&AlertRule]) -> Result<(), Refusal> {
    let at = |key| [Key("spec"), Key("expect"), Key("alerts"), Key(key)];
    on.refuse_if(
        expect.firing.is_empty() && expect.not_firing.is_empty(),
        &[Key("spec"), Key("expect"), Key("alerts")],
        || "it demands nothing: name alerts in `firing` or in `notFiring`, or remove it",
    )?;
    on.refuse_if(
        expect.firing.is_empty() && !expect.within.is_zero(),
        &at("within"),
        || "`within:` belongs to `firing:`: name alerts there, or remove it",
    )?;
    let mut seen: Vec<ExpectedAlert> = Vec::new();
    for (key, texts) in [("firing", &expect.firing), ("notFiring", &expect.not_firing)] {
        for (index, text) in texts.iter().enumerate() {
            let at = [Key("spec"), Key("expect"), Key("alerts"), Key(key), Index(index)];
            let one = match selector(text) {
                Ok(one) => one,
                Err(why) => return on.refuse(&at, why),
            };
            let named = || known.iter().filter(|rule| rule.name == one.alert);
            on.refuse_if(named().next().is_none(), &at, || {
                let mut names: Vec<&str> = known.iter().map(|rule| rule.name.as_str()).collect();
                names.sort_unstable();
                names.dedup();
                let hint = did_you_mean(&one.alert, names.iter().copied());
                format!("no rule raises the alert `{}`, expected {}{hint}", one.alert, one_of(names))
            })?;
            on.refuse_if(!named().any(|rule| may_have(rule, &one)), &at, || {
                format!("no rule of `{}` gives these labels: each sets another value itself", one.alert)
            })?;
            on.refuse_if(seen.contains(&one), &at, || format!("`{text}` stands in these lists twice"))?;
            seen.push(one);
        }
    }
    Ok(())
}

/// Whether alerts of a rule may have these labels: what the rule sets itself, and not by a template, must agree.
fn may_have(rule: &AlertRule, one: &ExpectedAlert) -> bool {
    rule.fixed_labels().all(|(name, text)| one.labels.get(name).is_none_or(|value| value == text))
}

/// An alert's name, or its name and labels.
fn selector(text: &str) -> Result<ExpectedAlert, String> {
    if !text.contains('{') {
        return Ok(ExpectedAlert { alert: text.trim().to_owned(), labels: BTreeMap::new() });
    }
    let labels = query::metric(text).map_err(|error| {
        format!("{error}: expected an alert's name and labels, such as `NoLeader{{severity=\"critical\"}}`")
    })?;
    let others = labels.iter().filter(|(name, _)| *name != NAME);
    let others = others.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    Ok(ExpectedAlert { alert: labels.metric().to_owned(), labels: others })
}

/// A rule file with its text.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WithText {
    path: String,
    text: String,
}

impl Serialize for RuleSource {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.text {
            None => serializer.serialize_str(&self.path),
            Some(text) => WithText { path: self.path.clone(), text: text.clone() }.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for RuleSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SourceVisitor;

        impl<'de> Visitor<'de> for SourceVisitor {
            type Value = RuleSource;

            fn expecting(&self, out: &mut fmt::Formatter) -> fmt::Result {
                out.write_str("a rule file's path")
            }

            fn visit_str<E: de::Error>(self, path: &str) -> Result<RuleSource, E> {
                Ok(RuleSource { path: path.to_owned(), text: None })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RuleSource, A::Error> {
                let WithText { path, text } = Deserialize::deserialize(MapAccessDeserializer::new(map))?;
                Ok(RuleSource { path, text: Some(text) })
            }
        }

        deserializer.deserialize_any(SourceVisitor)
    }
}

impl JsonSchema for RuleSource {
    fn schema_name() -> Cow<'static, str> {
        "RuleSource".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A rule file: its path, or, in a plan, its path and its text.",
            "anyOf": [{ "type": "string" }, {
                "type": "object",
                "properties": { "path": { "type": "string" }, "text": { "type": "string" } },
                "required": ["path", "text"],
                "additionalProperties": false,
            }],
        })
    }
}

//! Rules that single keys cannot express: names, queries, schedules, models, ranges, receivers, files.
//!
//! What passes here starts: a fault that would stop a worker is found where the file and the key can still be named.

use std::collections::BTreeSet;

use scale::Policy;

use super::{CapacityResource, ForecastJob, NotifySettings, Settings};

/// Longest name of a job, bytes.
const NAME_BYTES_MAX: usize = 128;

/// The first fault: the key, and what is wrong with it.
pub(super) type Fault = (String, String);

impl Settings {
    pub(super) fn faults(&self) -> Result<(), Fault> {
        if let Some(why) = crate::cli::listen_fault(&self.listen) {
            return Err(("listen".into(), why));
        }
        if let Err(why) = self.retention.resolve() {
            return Err(("retention.rules".into(), why));
        }
        self.labels.faults()?;
        self.tiers.as_ref().map_or(Ok(()), super::TierSettings::faults)?;
        self.check_jobs()?;
        self.check_policies()?;
        self.check_advice()?;
        self.check_receivers()?;
        self.check_scrapes()?;
        match crate::engine::check_streams(&self.streams) {
            Ok(()) => Ok(()),
            Err(err) => Err(("streams.files".into(), err.to_string())),
        }
    }

    fn check_jobs(&self) -> Result<(), Fault> {
        let mut names = BTreeSet::new();
        for (i, job) in self.forecast.jobs.iter().enumerate() {
            let key = if job.name.is_empty() { i.to_string() } else { job.name.clone() };
            let key = format!("forecast.jobs.{key}");
            if let Some(why) = name_fault(&job.name) {
                return Err((format!("{key}.name"), why));
            }
            if !names.insert(&job.name) {
                return Err((key, "this name is used twice; names of jobs are unique".into()));
            }
            check_job(job, &key)?;
        }
        Ok(())
    }

    fn check_policies(&self) -> Result<(), Fault> {
        let mut names = BTreeSet::new();
        for policy in &self.scaling.policies {
            let key = format!("scaling.policies.{}", policy.name);
            if !names.insert(&policy.name) {
                return Err((key, "this name is used twice; names of policies are unique".into()));
            }
            if let Err(err) = policy.validate() {
                return Err((key, err.to_string()));
            }
            if !policy.demand.is_empty() {
                check_promql(&format!("{key}.demand"), &policy.demand)?;
            }
            if self.is_shadowed(policy) {
                let why = "a forecast job has this name and another query, but the policy's own forecast needs the name; \
                           rename one of them, or let the job forecast the policy's demand";
                return Err((key, why.into()));
            }
        }
        Ok(())
    }

    /// Whether the job made for the policy's demand would share its name, and so its state and forecast, with another.
    fn is_shadowed(&self, policy: &Policy) -> bool {
        let forecast = |job: &ForecastJob| job.promql.as_deref() == Some(&policy.demand);
        !policy.demand.is_empty()
            && !self.forecast.jobs.iter().any(forecast)
            && self.forecast.jobs.iter().any(|job| job.name == policy.name)
    }

    fn check_advice(&self) -> Result<(), Fault> {
        if let Err(err) = self.rightsizing.policy().validate() {
            return Err(("rightsizing".into(), err.to_string()));
        }
        for (i, resource) in self.capacity.resources.iter().enumerate() {
            check_resource(resource, &format!("capacity.resources.{i}"))?;
        }
        let cost = &self.cost;
        let prices =
            [("cpu_hour", cost.cpu_hour), ("gib_hour", cost.gib_hour), ("disk_gib_month", cost.disk_gib_month)];
        match prices.into_iter().find(|(_, price)| !(price.is_finite() && *price >= 0.0)) {
            Some((name, price)) => Err((format!("cost.{name}"), format!("{price} must be a number from 0 on"))),
            None => Ok(()),
        }
    }

    fn check_scrapes(&self) -> Result<(), Fault> {
        if let Some(fault) = self.scrape.fault() {
            return Err(fault);
        }
        for job in &self.scrape.jobs {
            let mut secrets = job.basic_auth.iter().map(|auth| &auth.password).chain(&job.bearer_token);
            if secrets.any(|secret| secret_source(secret).is_none()) {
                let why = "write secrets as ${env:NAME} or file:/path, not the secret itself";
                return Err((format!("scrape.jobs.{}", job.name), why.into()));
            }
        }
        crate::engine::check_targets(&self.scrape).map_err(|(key, why)| (key.to_owned(), why))
    }

    fn check_receivers(&self) -> Result<(), Fault> {
        let egress =
            actuate::Egress::parse(&self.egress.allow).map_err(|err| ("egress.allow".into(), err.to_string()))?;
        for (i, receiver) in self.notify.iter().enumerate() {
            let key = format!("notify.{i}");
            let same = |other: &NotifySettings| match (other, receiver) {
                (NotifySettings::File { path: a }, NotifySettings::File { path: b }) => a == b,
                (NotifySettings::Webhook { url: a, .. }, NotifySettings::Webhook { url: b, .. }) => a == b,
                _ => false,
            };
            if self.notify.iter().take(i).any(same) {
                return Err((key, "this receiver is listed twice".into()));
            }
            let NotifySettings::Webhook { url, secret } = receiver else { continue };
            if secret.as_deref().is_some_and(|secret| secret_source(secret).is_none()) {
                let why = "write ${env:NAME} or file:/path, not the secret itself";
                return Err((format!("{key}.secret"), why.into()));
            }
            let hook = actuate::WebhookSettings { egress: egress.clone(), ..actuate::WebhookSettings::new(&key, url) };
            if let Err(err) = actuate::WebhookActuator::new(hook) {
                return Err((format!("{key}.url"), err.to_string()));
            }
        }
        Ok(())
    }
}

/// Where a secret comes from.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum SecretSource<'a> {
    /// A variable of the environment.
    Environment(&'a str),
    /// A file.
    File(&'a str),
}

/// `${env:NAME}` or `file:/path`. A secret written out is none, because configurations are copied around.
pub(crate) fn secret_source(text: &str) -> Option<SecretSource<'_>> {
    let variable = text.strip_prefix("${env:").and_then(|rest| rest.strip_suffix('}'));
    let file = text.strip_prefix("file:").filter(|path| !path.is_empty());
    variable.filter(|name| !name.is_empty()).map(SecretSource::Environment).or(file.map(SecretSource::File))
}

fn check_job(job: &ForecastJob, key: &str) -> Result<(), Fault> {
    let fault = |field: &str, why: String| Err((format!("{key}.{field}"), why));
    match (&job.promql, &job.sql) {
        (Some(query), None) => check_promql(&format!("{key}.promql"), query)?,
        (None, Some(statement)) if statement.trim().is_empty() => return fault("sql", "it is empty".into()),
        (None, Some(_)) => {}
        _ => return Err((key.to_owned(), "give exactly one of promql and sql".into())),
    }
    if let Err(err) = control::schedule::Schedule::parse(&job.schedule, "UTC") {
        return fault("schedule", err.to_string());
    }
    if let Some(bad) = job.quantiles.iter().find(|q| !(**q > 0.0 && **q < 1.0)) {
        return fault("quantiles", format!("{bad} is not between 0 and 1"));
    }
    if job.model != "auto"
        && forecast::spec::shipped(job.model.trim()).is_none()
        && let Err(err) = forecast::build(&job.model)
    {
        return fault("model", err.to_string());
    }
    if job.horizon < job.step {
        return fault("horizon", format!("{} is shorter than one step of {}", job.horizon.0, job.step.0));
    }
    let cells = job.horizon.0.0 / job.step.0.0;
    if cells > forecast::MAX_HORIZON as i64 {
        return fault("horizon", format!("{cells} steps, at most {} are forecast", forecast::MAX_HORIZON));
    }
    if let (Some(lower), Some(upper)) = (job.lower, job.upper)
        && lower.partial_cmp(&upper) != Some(std::cmp::Ordering::Less)
    {
        return fault("upper", format!("{upper} is not above `lower`, {lower}"));
    }
    Ok(())
}

fn check_resource(resource: &CapacityResource, key: &str) -> Result<(), Fault> {
    if let Some(why) = name_fault(&resource.name) {
        return Err((format!("{key}.name"), why));
    }
    check_promql(&format!("{key}.used"), &resource.used)?;
    check_promql(&format!("{key}.limit"), &resource.limit)?;
    if resource.threshold > 0.0 && resource.threshold <= 1.0 {
        return Ok(());
    }
    Err((format!("{key}.threshold"), format!("{} is not above 0 and at most 1", resource.threshold)))
}

fn check_promql(key: &str, query: &str) -> Result<(), Fault> {
    promql::parse(query).map(drop).map_err(|err| (key.to_owned(), err.to_string()))
}

/// Names are keys of the control log, labels of series and parts of paths.
fn name_fault(name: &str) -> Option<String> {
    if name.trim().is_empty() {
        return Some("it is empty; give a name".into());
    }
    if name.len() > NAME_BYTES_MAX {
        return Some(format!("it has {} bytes, at most {NAME_BYTES_MAX} are allowed", name.len()));
    }
    let odd = name.chars().find(|c| c.is_control() || matches!(c, '/' | '\\'))?;
    Some(format!("it has the character {odd:?}; use letters, digits, `-`, `_` and `.`"))
}

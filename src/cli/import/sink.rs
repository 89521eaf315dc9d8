//! Where imported batches go: a running server, a data folder, or nowhere.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use series::{Append, AppendError, Batch, SystemClock};
use tokio::runtime::Runtime;

use crate::cli::args::Common;
use crate::cli::client::Client;
use crate::cli::{CliError, WRITE_HEADERS, encoded, runtime};
use crate::engine::Engine;
use crate::settings::Settings;

/// Tries of one batch while the receiver is overloaded, a second apart.
const TRIES: u32 = 60;
const PAUSE: Duration = Duration::from_secs(1);
/// Sentences of refusals that are kept.
const NOTES_MAX: usize = 5;

/// Takes batches.
pub(super) struct Sink {
    target: Target,
    written: Written,
}

enum Target {
    Server(Client),
    Folder(Box<Folder>),
    Nowhere,
}

struct Folder {
    append: Arc<dyn Append>,
    engine: Engine,
    // Declared last: the engine works on it until it is closed.
    _runtime: Runtime,
}

/// What was taken.
#[derive(Debug, Default)]
pub(super) struct Written {
    samples: u64,
    /// Samples that the store refused.
    pub(super) rejected: u64,
    notes: Vec<String>,
    dry: bool,
}

impl Sink {
    /// Counts only.
    pub(super) fn nowhere() -> Self {
        Self { target: Target::Nowhere, written: Written { dry: true, ..Written::default() } }
    }

    /// The server of `--url`, else the data folder, which is made when it does not exist.
    pub(super) fn open(common: &Common) -> Result<Self, CliError> {
        let target = match &common.url {
            Some(url) => Target::Server(Client::new(url)),
            None => {
                let settings = Settings::load(common.config.as_deref(), std::env::vars_os())?;
                let data = common.data.clone().unwrap_or_else(|| settings.data.clone());
                let runtime = runtime()?;
                let (engine, _) = Engine::open(&data, settings, Arc::new(SystemClock), runtime.handle().clone())?;
                Target::Folder(Box::new(Folder { append: engine.importer(), engine, _runtime: runtime }))
            }
        };
        Ok(Self { target, written: Written::default() })
    }

    /// Writes a batch; returns when it is durable.
    pub(super) fn write(&mut self, batch: &Batch) -> Result<(), CliError> {
        let n_samples = batch.n_samples() as u64;
        let refused = match &self.target {
            Target::Nowhere => None,
            Target::Server(client) => send(client, batch)?,
            Target::Folder(folder) => append(&*folder.append, batch)?,
        };
        let (rejected, note) = refused.unwrap_or_default();
        self.written.samples += n_samples.saturating_sub(rejected);
        self.written.rejected += rejected;
        if !note.is_empty() && self.written.notes.len() < NOTES_MAX {
            self.written.notes.push(note);
        }
        Ok(())
    }

    /// Everything taken is durable; a folder's samples also go to files.
    pub(super) fn finish(self) -> Result<Written, CliError> {
        if let Target::Folder(folder) = self.target {
            let folder = *folder;
            folder.engine.core().store.flush(false).map_err(|err| CliError::Failed(err.to_string()))?;
            folder.engine.close();
        }
        Ok(self.written)
    }
}

/// Samples not taken, with the reason; `None` when all were.
fn send(client: &Client, batch: &Batch) -> Result<Option<(u64, String)>, CliError> {
    let body = encoded(batch)?;
    for attempt in 1.. {
        match client.post("/api/v1/import/write", &WRITE_HEADERS, &body) {
            Ok(_) => return Ok(None),
            Err(CliError::Answered { status: 503, .. }) if attempt < TRIES => std::thread::sleep(PAUSE),
            Err(CliError::Answered { status: 400 | 429, message, .. }) if is_partial(&message).is_some() => {
                return Ok(is_partial(&message).map(|rejected| (rejected, message)));
            }
            Err(err) => return Err(err),
        }
    }
    Ok(None)
}

/// `12 samples refused, 500 written: …`: how many were refused.
fn is_partial(message: &str) -> Option<u64> {
    let (rejected, rest) = message.split_once(' ')?;
    rest.starts_with("samples refused").then(|| rejected.parse().ok()).flatten()
}

fn append(append: &dyn Append, batch: &Batch) -> Result<Option<(u64, String)>, CliError> {
    for attempt in 1.. {
        match append.append_wait(batch.clone()) {
            Ok(appended) => {
                let rejected: u64 = appended.rejected.iter().map(|item| item.samples).sum();
                let notes = appended.rejected.iter().map(|item| format!("{} (e.g. {})", item.reason, item.example));
                return Ok((rejected > 0).then(|| (rejected, notes.collect::<Vec<_>>().join("; "))));
            }
            Err(AppendError::Overloaded { .. }) if attempt < TRIES => std::thread::sleep(PAUSE),
            Err(err) => return Err(CliError::Failed(err.to_string())),
        }
    }
    Ok(None)
}

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = if self.dry { "would be imported" } else { "imported" };
        write!(f, "{} samples {verb}", self.samples)?;
        if self.rejected > 0 {
            write!(f, ", {} refused", self.rejected)?;
        }
        self.notes.iter().try_for_each(|note| write!(f, "\n  {note}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partial_refusal_is_told_from_a_whole_one() {
        assert_eq!(is_partial("12 samples refused, 500 written: 12 older than …"), Some(12));
        assert_eq!(is_partial("body is empty"), None);
        assert_eq!(is_partial(""), None);
    }
}

//! `foretide outbox`.

use control::AuditEntry;
use control::outbox::{Message, MessageState};
use series::{Clock, SystemClock, Timestamp};

use super::args::{Common, OutboxAction, OutboxArgs, OutboxState};
use super::local::Local;
use super::{CliError, output};
use crate::engine::EngineError;

pub(super) fn run(common: &Common, args: &OutboxArgs) -> Result<(), CliError> {
    let local = Local::alone(common, "messages of a running server cannot be changed from here")?;
    match &args.action {
        OutboxAction::List { state, limit } => list(&local, *state, *limit),
        OutboxAction::Retry { id } => retry(&local, id),
    }
}

fn list(local: &Local, state: OutboxState, limit: usize) -> Result<(), CliError> {
    let state = match state {
        OutboxState::Waiting => MessageState::Audited,
        OutboxState::Delivered => MessageState::Delivered,
        OutboxState::Failed => MessageState::Failed,
        OutboxState::Superseded => MessageState::Superseded,
    };
    let found = local.engine.core().outbox.newest(state, limit).map_err(EngineError::from)?;
    if found.is_empty() {
        return output::line(&format!("no messages are {state}"));
    }
    let header = ["ID", "SUBJECT", "RECEIVER", "MADE", "TRIES", "WHY"].map(str::to_owned);
    let row = |message: Message| {
        vec![
            message.id,
            message.target,
            message.topic,
            Timestamp(message.created_at).to_string(),
            message.attempts.to_string(),
            message.last_error.unwrap_or_default(),
        ]
    };
    let rows: Vec<_> = found.into_iter().map(row).collect();
    output::put(output::table(&header, &rows).as_bytes(), None)
}

/// Queues a message that was given up; the server sends it when it runs again.
fn retry(local: &Local, id: &str) -> Result<(), CliError> {
    let now = SystemClock.now();
    let audit = AuditEntry {
        at: now.0,
        actor: "cli".into(),
        tenant: "default".into(),
        verb: "retry".into(),
        object: format!("outbox message {id}"),
        result: "ok".into(),
        ..AuditEntry::default()
    };
    local.engine.core().outbox.retry(id, now, audit).map_err(EngineError::from)?;
    output::line(&format!("outbox message {id} is sent again when the server runs"))
}

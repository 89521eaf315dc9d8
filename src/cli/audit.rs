//! `foretide audit`.

use super::args::{AuditAction, AuditArgs, Common};
use super::local::Local;
use super::{CliError, output};

pub(super) fn run(common: &Common, args: &AuditArgs) -> Result<(), CliError> {
    match args.action {
        AuditAction::Verify => verify(common),
    }
}

/// Walks the whole chain; a bad record is a failure.
fn verify(common: &Common) -> Result<(), CliError> {
    let local = Local::alone(common, "the audit trail of a running server can be read with `foretide sql` only")?;
    let verdict = local.engine.core().control.verify_audit().map_err(crate::engine::EngineError::from)?;
    match verdict.first_bad {
        None => output::line(&format!(
            "audit trail is whole: {} records up to number {}, head {}",
            verdict.good,
            verdict.head.seq,
            if verdict.head.hash.is_empty() { "none" } else { &verdict.head.hash }
        )),
        Some(bad) => Err(CliError::Failed(format!(
            "audit record {}: {}; {} records before it are good, up to hash {}",
            bad.seq, bad.reason, verdict.good, verdict.head.hash
        ))),
    }
}

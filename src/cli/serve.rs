//! `foretide serve`.

use std::sync::Arc;

use series::SystemClock;

use super::args::{Common, ServeArgs};
use super::{CliError, bind, runtime, stop_signal};
use crate::engine::Engine;
use crate::settings::Settings;

pub(super) fn run(common: &Common, args: &ServeArgs) -> Result<(), CliError> {
    let mut settings = Settings::load(common.config.as_deref(), std::env::vars_os())?;
    if let Some(listen) = &args.listen {
        settings.listen.clone_from(listen);
    }
    if let Some(data) = &common.data {
        settings.data.clone_from(data);
    }
    let runtime = runtime()?;
    let (address, data) = (settings.listen.clone(), settings.data.clone());
    let stop = {
        let _inside = runtime.enter();
        stop_signal()
    };
    // The port comes first: a taken one must not cost a replay of the log.
    let listener = runtime.block_on(bind(&address))?;
    let (mut engine, _) = Engine::open_early(&data, settings, Arc::new(SystemClock), runtime.handle().clone())?;
    let (failed, failure) = tokio::sync::oneshot::channel();
    engine.watch_start(move |outcome| match outcome {
        Ok(found) => tell(&found),
        // Nobody listens any more when the process is ending anyway.
        Err(err) => drop(failed.send(err)),
    })?;
    engine.start()?;
    let parts = engine.parts();
    tracing::info!(%address, data = %data.display(), "serving; page at http://{address}/");
    let (broken, reason) = std::sync::mpsc::channel();
    let stop = async move {
        tokio::select! {
            () = stop => {}
            Ok(err) = failure => drop(broken.send(err)),
        }
    };
    runtime.block_on(server::serve(listener, parts, stop))?;
    if let Ok(err) = reason.try_recv() {
        return Err(err.into());
    }
    tracing::info!("stopped");
    engine.close();
    // What still runs belongs to clients that are gone; waiting for it would only delay the end.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    Ok(())
}

/// Says what was found in the folder.
fn tell(store: &store::OpenReport) {
    tracing::info!(
        series = store.series,
        files = store.files,
        replayed_samples = store.replayed_samples,
        "data folder open"
    );
    if let Some(tail) = &store.log.torn_tail {
        tracing::warn!(
            file = %tail.path,
            bytes = tail.bytes,
            "the log ended in an unfinished write and was cut there; a crash leaves such an end, damage to the very last record looks the same"
        );
    }
    if store.log.missing > 0 || store.unreadable_records > 0 {
        tracing::error!(
            missing_records = store.log.missing,
            unreadable_records = store.unreadable_records,
            "the log is damaged: records are missing; what was damaged is kept in the quarantine folder"
        );
    }
}

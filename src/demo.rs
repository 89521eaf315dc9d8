//! `foretide demo`: two weeks of a shop and the recording of a real machine, replayed through the HTTP handler into a
//! real store, then forecast, anomalies and advice, and a page that goes on moving.

mod load;
mod report;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use series::{Clock, SystemClock};

use crate::cli::{self, CliError, Common, DemoArgs, ReportFormat};
use crate::engine::Engine;
use crate::settings::Settings;

/// Configuration of the demo's engine.
const SETTINGS: &str = include_str!("demo/demo.yaml");
/// Longest wait for the standing queries after the last sample was sent.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) fn run(common: &Common, args: &DemoArgs) -> Result<(), CliError> {
    let started = Instant::now();
    let mut settings = settings(common)?;
    let folder = Folder::new(common.data.clone())?;
    folder.check_empty()?;
    let runtime = cli::runtime()?;
    let listener = runtime.block_on(listen(args))?;
    let address = listener.local_addr().map_err(|err| CliError::Failed(format!("local address: {err}")))?;
    (settings.listen, settings.data) = (address.to_string(), folder.path.clone());
    let (mut engine, _) = Engine::open(&folder.path, settings, Arc::new(SystemClock), runtime.handle().clone())?;
    let show = Show { bars: std::io::stderr().is_terminal() && std::env::var_os("CI").is_none() && !common.quiet };
    engine.start_streams()?;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = runtime.spawn(server::serve(listener, engine.parts(), async {
        // Ends when told to or when the sender is dropped: both mean that the demo is over.
        drop(stopped.await);
    }));

    let url = format!("http://{address}");
    let loaded = load::run(&engine, &url, args.seed, &show)?;
    let learned = learn(&engine, &show)?;
    let report = report::Report::gather(&engine, &url, &loaded, learned, started.elapsed())?;
    match args.format {
        ReportFormat::Json => cli::line(&report.to_json().to_string())?,
        ReportFormat::Text => cli::put(report.to_text(&folder.describe()).as_bytes(), None)?,
    }
    if !args.once {
        engine.start_rest()?;
        let ended = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| load::go_on(loaded.fleet, &url, &ended));
            runtime.block_on(async { cli::stop_signal().await });
            ended.store(true, std::sync::atomic::Ordering::Relaxed);
        });
    }
    let _ = stop.send(()); // A server that has ended already needs no telling.
    let ended = runtime.block_on(serving).map_err(|err| CliError::Failed(format!("server: {err}")))?;
    ended?;
    engine.close();
    Ok(())
}

/// Forecasts and advice, with what it took.
fn learn(engine: &Engine, show: &Show) -> Result<load::Timing, CliError> {
    let bar = show.spinner("learn");
    let started = Instant::now();
    if !engine.drain_streams(PATIENCE) {
        tracing::warn!("standing queries have not seen everything yet");
    }
    let series = engine.run_jobs()?;
    engine.advise()?;
    bar.finish_and_clear();
    Ok(load::Timing { what: format!("{series} series, models picked by back-test"), took: started.elapsed() })
}

fn settings(common: &Common) -> Result<Settings, CliError> {
    match &common.config {
        Some(file) => Ok(Settings::load(Some(file), std::env::vars_os())?),
        None => Ok(Settings::parse(SETTINGS, "demo.yaml")?),
    }
}

/// The wanted port or, when it is taken, any free one: a demo must not fail because another one runs.
async fn listen(args: &DemoArgs) -> Result<tokio::net::TcpListener, CliError> {
    match cli::bind(&args.listen).await {
        Ok(listener) => Ok(listener),
        Err(err) => {
            tracing::info!(%err, "taking a free port instead");
            cli::bind("127.0.0.1:0").await
        }
    }
}

/// Progress on a terminal, nothing elsewhere.
pub(crate) struct Show {
    bars: bool,
}

impl Show {
    /// A bar of `len` steps.
    fn bar(&self, name: &'static str, len: u64) -> indicatif::ProgressBar {
        if !self.bars {
            return indicatif::ProgressBar::hidden();
        }
        let style = indicatif::ProgressStyle::with_template("  {prefix:9} {bar:24} {percent:>3} %  {eta} left");
        let bar = indicatif::ProgressBar::new(len).with_prefix(name);
        style.map_or_else(|_| indicatif::ProgressBar::hidden(), |style| bar.with_style(style))
    }

    fn spinner(&self, name: &'static str) -> indicatif::ProgressBar {
        if !self.bars {
            return indicatif::ProgressBar::hidden();
        }
        let bar = indicatif::ProgressBar::new_spinner().with_prefix(name).with_message(name);
        bar.enable_steady_tick(Duration::from_millis(120));
        bar
    }
}

/// The demo's data folder: the user's, or a temporary one that goes with the demo.
struct Folder {
    path: PathBuf,
    temporary: bool,
}

impl Folder {
    fn new(wanted: Option<PathBuf>) -> Result<Self, CliError> {
        let temporary = wanted.is_none();
        let own = || std::env::temp_dir().join(format!("foretide-demo-{}-{}", std::process::id(), SystemClock.now().0));
        Ok(Self { path: wanted.unwrap_or_else(own), temporary })
    }

    /// Two replays in one folder would overlap: the story ends now, and now has moved.
    fn check_empty(&self) -> Result<(), CliError> {
        let used = std::fs::read_dir(&self.path).is_ok_and(|mut entries| entries.next().is_some());
        if !used {
            return Ok(());
        }
        Err(CliError::Usage {
            argument: "--data".into(),
            why: format!(
                "{} holds data already; name a new folder, or look at it with `foretide serve --data {}`",
                self.path.display(),
                self.path.display()
            ),
        })
    }

    fn describe(&self) -> String {
        if self.temporary {
            "data in a temporary folder (use --data DIR to keep it)".into()
        } else {
            format!("data kept in {}", self.path.display())
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.temporary
            && let Err(err) = std::fs::remove_dir_all(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %err, "temporary folder not removed");
        }
    }
}

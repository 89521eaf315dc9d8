//! The page over made-up parts: `cargo run -p server --example preview [port]`. For looking at the UI while changing it;
//! in debug builds the files of `ui/` are read at each request.

#[allow(dead_code, reason = "the preview needs only a part of what the tests need")]
#[path = "../tests/http/fakes.rs"]
mod fakes;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use fakes::{NOW, World, lock};
use series::Millis;
use server::{LiveEvent, LiveKind};

/// Series and samples per second that the preview pretends to take.
const SERIES: usize = 4123;
const RATE: f64 = 52_000.0;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port = std::env::args().nth(1).unwrap_or_else(|| "4280".to_owned());
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    let world = World::new();
    if std::env::args().any(|arg| arg == "empty") {
        world.insightful.store(false, Ordering::Relaxed);
    }
    for i in 0..SERIES {
        world.put(&[("__name__", "up"), ("instance", &i.to_string())], &[(NOW.0, 1.0)]);
    }
    let parts = world.parts();
    tokio::spawn(live(Arc::clone(&world), parts.live.clone()));
    let stop = async { drop(tokio::signal::ctrl_c().await) };
    server::serve(listener, parts, stop).await?;
    Ok(())
}

/// Moves the clock, the counters and now and then tells of advice.
async fn live(world: Arc<World>, events: tokio::sync::broadcast::Sender<LiveEvent>) {
    for beat in 0_u64.. {
        let wave = (beat as f64 / 9.0).sin() * 0.12 + (beat as f64 / 2.3).sin() * 0.04;
        world.samples.fetch_add((RATE * (1.0 + wave)) as u64, Ordering::Relaxed);
        *lock(&world.cpu) = 0.31 + wave * 0.9;
        world.clock.advance(Millis::from_secs(1));
        if beat % 20 == 19 {
            drop(events.send(LiveEvent { kind: LiveKind::Advice, payload: serde_json::json!({ "id": "rec-1" }) }));
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

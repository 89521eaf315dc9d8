//! `GET /api/live`: server-sent events, and `GET /api/pulse` for those who prefer to poll.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State as Extract;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::stream::{self, BoxStream, Stream, StreamExt};
use serde::Serialize;
use serde_json::{Value, json};
use tokio_stream::wrappers::errors::BroadcastStreamRecvError;
use tokio_stream::wrappers::{BroadcastStream, WatchStream};

use crate::fault::Fault;
use crate::parts::LiveEvent;
use crate::state::App;

/// Silence after which a comment is sent, so that proxies keep the connection.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// `GET /api/pulse`: the newest beat and the history.
pub(crate) async fn pulse(Extract(app): Extract<App>) -> Json<Value> {
    let mut history = app.pulses.history();
    if history.is_empty() {
        history.push(app.pulses.beat(&app));
    }
    Json(json!({ "now": history.last(), "history": history }))
}

/// `GET /api/live`
pub(crate) async fn events(
    Extract(app): Extract<App>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Fault> {
    let Ok(place) = Arc::clone(&app.live_slots).try_acquire_owned() else {
        let message = format!("{} clients already listen", app.parts.settings.live_max);
        return Err(Fault::busy(message).hint("poll /api/pulse instead, or try again later"));
    };
    let beats = WatchStream::new(app.pulses.follow()).filter_map(async |beat| beat.map(|beat| event("pulse", &beat)));
    let told = BroadcastStream::new(app.parts.live.subscribe()).map(told);
    let mut stopping = app.stopping.subscribe();
    let stop = async move { drop(stopping.wait_for(|stop| *stop).await) };
    let both: BoxStream<'static, Event> = stream::select(beats.boxed(), told.boxed()).boxed();
    let events = both.take_until(stop).map(move |event| {
        let _held = (&place, &app);
        Ok(event)
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

/// A listener that is too slow loses the oldest events and is told how many, so that it can load its lists again.
fn told(received: Result<LiveEvent, BroadcastStreamRecvError>) -> Event {
    match received {
        Ok(LiveEvent { kind, payload }) => event(kind.as_str(), &payload),
        Err(BroadcastStreamRecvError::Lagged(missed)) => event("lagged", &json!({ "missed": missed })),
    }
}

/// JSON has no line breaks outside strings and escapes them inside, so one `data:` line holds it.
fn event(name: &str, data: &impl Serialize) -> Event {
    let text = serde_json::to_string(data).unwrap_or_else(|_| "null".to_owned());
    Event::default().event(name).data(text)
}

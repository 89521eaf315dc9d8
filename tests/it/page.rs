//! The page in a real browser: it shows what the demo found, works by keyboard, complains about nothing and asks only us.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::browser::Page;
use crate::folder;
use crate::program;
use crate::server::Server;

const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];

/// Longest wait for the demo in an unoptimised build on a busy machine.
const DEMO_PATIENCE: Duration = Duration::from_secs(300);

/// The chart is drawn, the lists are filled, the events stream.
const FILLED: [&str; 5] = [
    "document.querySelector('#chart .main-svg .scatterlayer path') !== null",
    "document.querySelectorAll('#advice-cards article.advice').length > 0",
    "document.querySelectorAll('#anomalies-list details').length > 0",
    "document.querySelector('#live').dataset.state === 'live'",
    "document.querySelector('#tile-series b').textContent !== '–'",
];

fn browser(test: &str) -> Option<PathBuf> {
    let found = BROWSERS.iter().find_map(|name| program::on_path(name));
    if found.is_none() {
        program::skip(test, "there is no Chromium on PATH (Debian: apt-get install chromium)");
    }
    found
}

#[test]
fn the_page_shows_forecast_anomalies_and_advice() {
    let Some(program) = browser("the_page_shows_forecast_anomalies_and_advice") else { return };
    let folder = folder::fresh();
    let server = Server::demo(&folder.path().join("data"));
    wait_for_advice(&server);
    let mut page = Page::open(&program, &format!("{}/", server.url()), (1280, 900));
    FILLED.iter().for_each(|part| page.wait_until(part));
    let summary = page.evaluate("document.querySelector('#chart-summary').textContent");
    assert!(summary.as_str().is_some_and(|text| text.len() > 20), "the chart says in words what it shows: {summary}");
    for kind in ["scale", "rightsize", "capacity"] {
        let cards = page.count(&format!("#advice-cards article.advice[data-kind={kind}]"));
        assert!(cards > 0, "no card of kind {kind}");
    }
    let reasons = page.count("#advice-cards article.advice .reason:not(:empty)");
    assert_eq!(reasons, page.count("#advice-cards article.advice"), "every card says why");
    let wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth");
    assert_eq!(wide, 0, "nothing is wider than the window");
    works_by_keyboard(&mut page);
    keep_picture(&mut page, "page-light.png");
    page.prefer("dark");
    FILLED.iter().for_each(|part| page.wait_until(part));
    keep_picture(&mut page, "page-dark.png");
    is_clean(&mut page, &server);
    drop(page);
    server.stop();
}

/// The page is there from the start; what it shows follows when the demo has loaded and learned.
fn wait_for_advice(server: &Server) {
    let started = Instant::now();
    while server.get("/api/recommendations?kind=scale").ok().json()["total"].as_u64().unwrap_or(0) == 0 {
        assert!(started.elapsed() < DEMO_PATIENCE, "no advice within {DEMO_PATIENCE:?}; log:\n{}", server.log());
        std::thread::sleep(Duration::from_millis(500));
    }
}

#[test]
fn an_empty_folder_shows_how_to_begin() {
    let Some(program) = browser("an_empty_folder_shows_how_to_begin") else { return };
    let folder = folder::fresh();
    let server = Server::start(&folder.path().join("data"));
    let mut page = Page::open(&program, &format!("{}/", server.url()), (390, 800));
    page.wait_until("document.querySelector('#forecast-empty').textContent.includes('remote_write')");
    page.wait_until("document.querySelector('#anomalies-list').textContent.includes('Nothing unusual')");
    page.wait_until("document.querySelector('#live').dataset.state === 'live'");
    let block = page.evaluate("document.querySelector('#forecast-empty').textContent");
    let url = format!("{}/api/v1/write", server.url());
    assert!(block.as_str().is_some_and(|text| text.contains(&url)), "{url} can be copied: {block}");
    is_clean(&mut page, &server);
}

fn works_by_keyboard(page: &mut Page) {
    page.press("a");
    page.wait_until("document.activeElement.closest('#anomalies-list') !== null");
    page.press("r");
    page.wait_until("document.activeElement.closest('#advice-cards') !== null");
    page.press("t");
    page.wait_until("document.querySelectorAll('#chart-rows tbody tr').length > 20");
    page.press("t");
    page.wait_until("document.querySelector('#chart-rows').hidden");
    page.press("?");
    page.wait_until("document.querySelector('#keys').open");
    page.evaluate("document.querySelector('#keys').close()");
}

/// Pictures stay in the build's folder for people to look at.
fn keep_picture(page: &mut Page, name: &str) {
    let picture = page.screenshot();
    assert!(picture.starts_with(b"\x89PNG") && picture.len() > 20_000, "{name}: {} bytes", picture.len());
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, picture).expect("the picture can be written");
}

fn is_clean(page: &mut Page, server: &Server) {
    assert_eq!(page.complaints(), Vec::<String>::new(), "the console is silent");
    let (origin, requests) = (format!("{}/", server.url()), page.requests());
    let foreign: Vec<_> = requests
        .iter()
        .filter(|url| !url.starts_with(&origin) && !url.starts_with("data:") && !url.starts_with("blob:"))
        .collect();
    assert!(foreign.is_empty(), "asked others: {foreign:?}");
    assert!(requests.len() > 10, "the page loaded its parts: {requests:?}");
}

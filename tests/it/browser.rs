//! A page in headless Chromium, driven over its debugging pipe (Chrome DevTools Protocol: JSON between zero bytes).

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::folder;
use crate::program;

/// Longest wait for one answer of the browser.
const PATIENCE: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(100);

/// Nothing but the page: no updates, no pings, no first-run pages, and no name but our own resolves.
const OPTIONS: [&str; 12] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--remote-debugging-pipe",
];

/// A browser with one open page; ended when dropped.
pub(crate) struct Page {
    child: Child,
    to: ChildStdin,
    from: Receiver<Value>,
    session: String,
    n_calls: u64,
    events: Vec<Value>,
    _profile: tempfile::TempDir,
}

impl Page {
    /// Starts the browser and opens `url`; everything that the page says and asks for is recorded from the first byte.
    pub(crate) fn open(program: &Path, url: &str, size: (u32, u32)) -> Self {
        let profile = folder::fresh();
        // The browser speaks on descriptors 3 and 4; a shell puts our pipes there.
        let mut child = Command::new("sh")
            .args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 >/dev/null </dev/null"])
            .arg(program)
            .args(OPTIONS)
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the browser starts");
        let to = child.stdin.take().expect("its input is a pipe");
        let from = receive(BufReader::new(child.stdout.take().expect("its output is a pipe")));
        let events = Vec::new();
        let mut page = Self { child, to, from, session: String::new(), n_calls: 0, events, _profile: profile };
        page.attach(size);
        page.call("Page.navigate", json!({"url": url}));
        page
    }

    fn attach(&mut self, (width, height): (u32, u32)) {
        let target = self.call("Target.createTarget", json!({"url": "about:blank"}))["targetId"].clone();
        let attached = self.call("Target.attachToTarget", json!({"targetId": target, "flatten": true}));
        self.session = attached["sessionId"].as_str().expect("a session").to_owned();
        for domain in ["Runtime", "Log", "Network", "Page"] {
            self.call(&format!("{domain}.enable"), json!({}));
        }
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.call("Emulation.setDeviceMetricsOverride", metrics);
    }

    /// Value of a JavaScript expression in the page.
    pub(crate) fn evaluate(&mut self, expression: &str) -> Value {
        let parameters = json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
        let answer = self.call("Runtime.evaluate", parameters);
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {}", answer["exceptionDetails"]);
        answer["result"]["value"].clone()
    }

    /// Waits until the expression is true; until then it may also fail, for instance on what is not there yet.
    pub(crate) fn wait_until(&mut self, expression: &str) {
        let started = Instant::now();
        let guarded = format!("(() => {{ try {{ return {expression} }} catch {{ return false }} }})()");
        while self.evaluate(&guarded) != Value::Bool(true) {
            if started.elapsed() > PATIENCE {
                let shown = self.evaluate("document.body.innerText");
                panic!("not within {PATIENCE:?}: {expression}; said: {:?}; shown: {shown}", self.complaints());
            }
            std::thread::sleep(POLL);
        }
    }

    /// Number of elements that match a selector.
    pub(crate) fn count(&mut self, selector: &str) -> u64 {
        let selector = json!(selector);
        self.evaluate(&format!("document.querySelectorAll({selector}).length")).as_u64().unwrap_or(0)
    }

    /// Presses and releases a key that types a character.
    pub(crate) fn press(&mut self, key: &str) {
        self.call("Input.dispatchKeyEvent", json!({"type": "keyDown", "key": key, "text": key}));
        self.call("Input.dispatchKeyEvent", json!({"type": "keyUp", "key": key}));
    }

    /// Chooses the colour scheme, as the system's setting does.
    pub(crate) fn prefer(&mut self, scheme: &str) {
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.call("Emulation.setEmulatedMedia", json!({"features": features}));
    }

    /// The picture as PNG.
    pub(crate) fn screenshot(&mut self) -> Vec<u8> {
        let answer = self.call("Page.captureScreenshot", json!({"format": "png"}));
        base64(answer["data"].as_str().expect("a picture"))
    }

    /// Errors and warnings of the console, exceptions, blocked loads: what a good page never says.
    pub(crate) fn complaints(&mut self) -> Vec<String> {
        self.listen();
        let complaint = |event: &Value| {
            let parameters = &event["params"];
            match event["method"].as_str()? {
                "Runtime.consoleAPICalled" => {
                    let kind = parameters["type"].as_str()?;
                    ["error", "warning", "assert"].contains(&kind).then(|| format!("console {}", parameters["args"]))
                }
                "Runtime.exceptionThrown" => Some(format!("exception {}", parameters["exceptionDetails"])),
                "Log.entryAdded" => {
                    let entry = &parameters["entry"];
                    ["error", "warning"].contains(&entry["level"].as_str()?).then(|| format!("log {entry}"))
                }
                "Network.loadingFailed" if parameters["canceled"] != true => Some(format!("network {parameters}")),
                _ => None,
            }
        };
        self.events.iter().filter_map(complaint).collect()
    }

    /// Addresses of everything that the page asked for.
    pub(crate) fn requests(&mut self) -> Vec<String> {
        self.listen();
        let sent = self.events.iter().filter(|event| event["method"] == "Network.requestWillBeSent");
        sent.filter_map(|event| event["params"]["request"]["url"].as_str()).map(str::to_owned).collect()
    }

    fn listen(&mut self) {
        self.events.extend(self.from.try_iter());
    }

    fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.n_calls += 1;
        let id = self.n_calls;
        let mut message = json!({"id": id, "method": method, "params": parameters});
        if !self.session.is_empty() {
            message["sessionId"] = json!(self.session);
        }
        self.to.write_all(format!("{message}\0").as_bytes()).unwrap_or_else(|err| panic!("{method}: {err}"));
        let started = Instant::now();
        loop {
            let answer = match self.from.recv_timeout(PATIENCE.saturating_sub(started.elapsed())) {
                Ok(answer) => answer,
                Err(RecvTimeoutError::Timeout) => panic!("{method} is not answered within {PATIENCE:?}"),
                Err(RecvTimeoutError::Disconnected) => panic!("the browser ended during {method}"),
            };
            if answer["id"] == json!(id) {
                assert!(answer["error"].is_null(), "{method}: {}", answer["error"]);
                return answer["result"].clone();
            }
            self.events.push(answer);
        }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // A polite end lets the browser end its own children; whatever is left after that is killed.
        let _ = self.to.write_all(b"{\"id\":0,\"method\":\"Browser.close\"}\0");
        program::wait(&mut self.child, Duration::from_secs(10));
    }
}

/// Messages of the browser, read in a thread of its own until the pipe closes.
fn receive(mut pipe: impl BufRead + Send + 'static) -> Receiver<Value> {
    let (send, from) = channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        while pipe.read_until(0, &mut bytes).is_ok_and(|n_bytes| n_bytes > 0) {
            let message = serde_json::from_slice(bytes.strip_suffix(b"\0").unwrap_or(&bytes));
            // Nobody listens any more after the page is dropped.
            if send.send(message.unwrap_or(Value::Null)).is_err() {
                return;
            }
            bytes.clear();
        }
    });
    from
}

fn base64(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = text.bytes().filter_map(|byte| ALPHABET.iter().position(|known| *known == byte));
    let (mut bytes, mut gathered, mut n_bits) = (Vec::new(), 0_u32, 0);
    for digit in digits {
        gathered = gathered << 6 | digit as u32;
        n_bits += 6;
        if n_bits >= 8 {
            n_bits -= 8;
            bytes.push((gathered >> n_bits) as u8);
            gathered &= (1 << n_bits) - 1;
        }
    }
    bytes
}

#[test]
fn base64_is_read() {
    assert_eq!(base64("Zm9yZXRpZGU="), b"foretide");
    assert_eq!(base64("/+8="), [0xff, 0xef]);
}

//! A small HTTP/1.1 client that keeps its connection and never repeats a request by itself.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Longest silence of the server; unoptimised builds on busy machines are slow.
const PATIENCE: Duration = Duration::from_secs(180);

/// One answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Names in lower case.
    headers: Vec<(String, String)>,
    /// Its body.
    pub body: Vec<u8>,
}

/// One connection.
pub struct Connection {
    stream: BufReader<TcpStream>,
    host: String,
}

impl Answer {
    /// The header's value, or an empty text.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|err| panic!("{err} in {} {:?}", self.status, self.text()))
    }

    /// The same answer, if it is 200.
    pub fn ok(self) -> Self {
        assert_eq!(self.status, 200, "{}", self.text());
        self
    }
}

impl Connection {
    /// Opens a connection to `HOST:PORT`.
    ///
    /// # Errors
    /// The connection's error.
    pub fn open(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream), host: address.to_owned() })
    }

    /// Sends a request and reads its answer.
    ///
    /// # Errors
    /// The connection's error.
    pub fn send(&mut self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> io::Result<Answer> {
        let length = body.len().to_string();
        let declared = ["POST", "PUT"].contains(&method).then_some(("Content-Length", length.as_str()));
        let headers: Vec<_> = headers.iter().copied().chain(declared).collect();
        let mut request = self.head(method, target, &headers).into_bytes();
        request.extend_from_slice(body);
        self.stream.get_mut().write_all(&request)?;
        self.receive()
    }

    /// Sends only a request's head, as given, and reads the answer.
    ///
    /// # Errors
    /// The connection's error.
    pub fn send_head(&mut self, method: &str, target: &str, headers: &[(&str, &str)]) -> io::Result<Answer> {
        let request = self.head(method, target, headers);
        self.stream.get_mut().write_all(request.as_bytes())?;
        self.receive()
    }

    fn head(&self, method: &str, target: &str, headers: &[(&str, &str)]) -> String {
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: {}\r\n", self.host);
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head + "\r\n"
    }

    fn receive(&mut self) -> io::Result<Answer> {
        let status_line = self.line()?;
        let status = status_line.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.ok_or_else(|| broken(&format!("status line {status_line:?}")))?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').ok_or_else(|| broken(&format!("header {line:?}")))?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut answer = Answer { status, headers, body: Vec::new() };
        answer.body = self.body(&answer)?;
        Ok(answer)
    }

    fn body(&mut self, answer: &Answer) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        if matches!(answer.status, 100..200 | 204 | 304) {
            return Ok(body);
        }
        if answer.header("transfer-encoding").eq_ignore_ascii_case("chunked") {
            while let Some(chunk) = self.chunk()? {
                body.extend_from_slice(&chunk);
            }
        } else if let Ok(length) = answer.header("content-length").parse() {
            body.resize(length, 0);
            self.stream.read_exact(&mut body)?;
        } else {
            self.stream.read_to_end(&mut body)?;
        }
        Ok(body)
    }

    /// The next chunk, or `None` after the last one.
    fn chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        let size = self.line()?;
        let n_bytes = usize::from_str_radix(size.trim(), 16).map_err(|_| broken(&format!("chunk size {size:?}")))?;
        let mut chunk = vec![0; n_bytes];
        self.stream.read_exact(&mut chunk)?;
        self.line()?;
        Ok((n_bytes > 0).then_some(chunk))
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end_matches(['\r', '\n']).to_owned())
    }
}

/// One GET on a connection of its own.
pub fn get(address: &str, target: &str) -> Answer {
    send(address, "GET", target, &[], &[])
}

/// One GET on a connection of its own, which may fail.
///
/// # Errors
/// The connection's error.
pub fn try_get(address: &str, target: &str) -> io::Result<Answer> {
    try_send(address, "GET", target)
}

/// One request without a body on a connection of its own, which may fail.
///
/// # Errors
/// The connection's error.
pub fn try_send(address: &str, method: &str, target: &str) -> io::Result<Answer> {
    Connection::open(address)?.send(method, target, &[], &[])
}

/// One request on a connection of its own.
pub fn send(address: &str, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let sent = Connection::open(address).and_then(|mut connection| connection.send(method, target, headers, body));
    sent.unwrap_or_else(|err| panic!("{method} {target}: {err}"))
}

/// `path?name=value&…` with escapes.
pub fn target(path: &str, params: &[(&str, &str)]) -> String {
    let pairs: Vec<_> = params.iter().map(|(name, value)| format!("{name}={}", escape(value))).collect();
    format!("{path}?{}", pairs.join("&"))
}

fn escape(text: &str) -> String {
    let escaped = text.bytes().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    });
    escaped.collect()
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not HTTP: {what}"))
}

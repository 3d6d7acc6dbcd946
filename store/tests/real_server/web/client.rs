//! A minimal HTTP/1.1 client that can also send wrong requests.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
};

use serde_json::Value;

use crate::reference::PATIENCE;

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub content_type: String,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }
}

/// A request whose answer has begun; the body comes line by line.
pub struct Stream {
    reader: BufReader<Box<dyn Read + Send>>,
    pub status: u16,
}

impl Stream {
    /// The next line, as JSON; `None` at the end.
    pub fn next(&mut self) -> Option<Value> {
        let mut line = String::new();
        self.reader.read_line(&mut line).expect("a line");
        (!line.is_empty()).then(|| serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line:?}")))
    }
}

pub fn get(address: &str, path: &str) -> Answer {
    request(address, "GET", path, &[], "")
}

pub fn post(address: &str, path: &str, body: &str) -> Answer {
    request(address, "POST", path, &[], body)
}

/// Sends any request, with additional headers.
pub fn request(address: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let (status, head, mut reader) = begin(address, method, path, headers, body);
    let mut bytes = String::new();
    reader
        .read_to_string(&mut bytes)
        .unwrap_or_else(|error| panic!("{address} {method} {path}: {error} after {bytes:?}"));
    let content_type = header(&head, "content-type").unwrap_or_default().to_owned();
    Answer { status, content_type, body: bytes }
}

/// Sends a POST whose answer is a stream.
pub fn stream(address: &str, path: &str, body: &str) -> Stream {
    let (status, _, reader) = begin(address, "POST", path, &[], body);
    Stream { reader: BufReader::new(reader), status }
}

fn begin(
    address: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> (u16, Vec<String>, Box<dyn Read + Send>) {
    let mut socket = TcpStream::connect(address).expect("a connection");
    socket.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    let more: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {length}\r\n{more}\r\n"
    );
    socket.write_all(head.as_bytes()).expect("the head is sent");
    // A server that refuses the request need not read all of it.
    _ = socket.write_all(body.as_bytes());
    answer_of(socket)
}

/// Reads an answer's head; the rest is its body.
pub fn answer_of(socket: TcpStream) -> (u16, Vec<String>, Box<dyn Read + Send>) {
    let mut reader = BufReader::new(socket);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).expect("a line of the head");
        let line = line.trim_end().to_owned();
        if line.is_empty() {
            break;
        }
        head.push(line);
    }
    let status = head.first().and_then(|line| line.split(' ').nth(1)?.parse().ok());
    let status = status.unwrap_or_else(|| panic!("no answer: {head:?}"));
    let chunked = header(&head, "transfer-encoding") == Some("chunked");
    // It reads no further than the body's length: a server that has not read all of the request may then reset the
    // connection, as etcd does.
    let length = header(&head, "content-length").map_or(u64::MAX, |length| length.parse().expect("a length"));
    let reader: Box<dyn Read + Send> = if chunked {
        Box::new(Chunked { reader, left: 0, ended: false })
    } else {
        Box::new(reader.take(length))
    };
    (status, head, reader)
}

fn header<'a>(head: &'a [String], name: &str) -> Option<&'a str> {
    let lines = head.iter().skip(1).filter_map(|line| line.split_once(": "));
    lines.filter(|(of, _)| of.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
}

/// Decodes `Transfer-Encoding: chunked`.
struct Chunked<R> {
    reader: BufReader<R>,
    left: usize,
    ended: bool,
}

impl<R: Read> Read for Chunked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.left == 0 && !self.ended {
            let mut line = String::new();
            self.reader.read_line(&mut line)?;
            if line.trim().is_empty() {
                line.clear();
                self.reader.read_line(&mut line)?;
            }
            self.left = usize::from_str_radix(line.trim(), 16).map_err(std::io::Error::other)?;
            self.ended = self.left == 0;
        }
        let most = buffer.len().min(self.left);
        let read = self.reader.read(&mut buffer[..most])?;
        self.left -= read;
        Ok(read)
    }
}

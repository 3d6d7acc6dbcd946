//! One server, and the `etcdctl` processes that talk to it.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    process::{Child, Command as Process, Output, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
};

use super::{names::Names, script::Command};
use crate::{
    harness::Etcdctl,
    reference::{PATIENCE, Subject},
};

pub struct Session {
    etcdctl: Etcdctl,
    names: Names,
    background: BTreeMap<String, Background>,
}

/// An `etcdctl` that runs in the background; killed when dropped.
struct Background {
    child: Child,
    lines: Receiver<String>,
    /// Its standard error, which comes when it has ended.
    complaints: Option<thread::JoinHandle<String>>,
}

impl Drop for Background {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

impl Session {
    pub fn new(subject: &Subject) -> Session {
        let member = &subject.member;
        let etcdctl = Etcdctl::find(&[member]).expect("looked for before");
        let mut names = Names::default();
        names.add("client", member.client_address());
        names.add("peer", member.peer_url());
        names.add("dir", member.data_dir.parent().expect("a folder").to_str().expect("UTF-8"));
        // etcd lists its own name only once it has published it.
        let list = loop {
            let list = etcdctl.json(&["member", "list"]);
            if list["members"][0]["name"].is_string() {
                break list;
            }
        };
        let id = |value: &serde_json::Value| value.as_u64().expect("an id");
        names.add_member("cluster", id(&list["header"]["cluster_id"]));
        names.add_member("member", id(&list["header"]["member_id"]));
        Session { etcdctl, names, background: BTreeMap::new() }
    }

    /// Runs a command, and returns its output with names for values.
    pub fn perform(&mut self, command: &Command) -> String {
        let words: Vec<String> = command.words.iter().map(|word| self.names.filled_in(word)).collect();
        let said = if let Some(name) = words[0].strip_prefix('%') {
            self.of_background(name, &words[1])
        } else {
            let mut process = self.etcdctl.command(&words.iter().map(String::as_str).collect::<Vec<_>>());
            process.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
            match &command.background {
                Some(name) => {
                    let begun = Background::begin(process);
                    self.background.insert(name.clone(), begun);
                    return String::new();
                }
                None => {
                    let output = run(process, command.input.as_deref().unwrap_or_default());
                    self.names.learn(&words, &String::from_utf8_lossy(&output.stdout));
                    transcript_of(&output)
                }
            }
        };
        let said = self.names.named(&said);
        match &words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            [.., "-w", "table"] => columns(&said),
            ["member", ..] => in_order(&said),
            ["endpoint", "status"] => status(&said),
            _ => said,
        }
    }

    fn of_background(&mut self, name: &str, what: &str) -> String {
        let background = self.background.get_mut(name).unwrap_or_else(|| panic!("{name} was not begun"));
        match what.parse::<usize>() {
            Ok(count) => {
                let lines: Vec<String> = (0..count).map(|_| background.line()).collect();
                lines.iter().for_each(|line| self.names.learn_key(line));
                lines.concat()
            }
            Err(_) => {
                assert_eq!(what, "end", "a number of lines, or `end`");
                self.background.remove(name).expect("looked at").end()
            }
        }
    }
}

impl Background {
    fn begin(mut process: Process) -> Background {
        let mut child = process.spawn().expect("etcdctl starts");
        let (tell, lines) = channel();
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
        let mut stderr = child.stderr.take().expect("piped");
        let complaints = thread::spawn(move || {
            let mut said = String::new();
            _ = stderr.read_to_string(&mut said);
            said
        });
        Background { child, lines, complaints: Some(complaints) }
    }

    fn line(&mut self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("another line") + "\n"
    }

    /// Interrupts it, and returns its remaining output.
    fn end(mut self) -> String {
        let interrupted = Process::new("kill").args(["-INT", &self.child.id().to_string()]).status();
        assert!(interrupted.expect("kill").success());
        let status = self.child.wait().expect("its end");
        let complaints = self.complaints.take().expect("once").join().expect("no panic");
        let stdout = self.lines.iter().map(|line| line + "\n").collect::<String>().into_bytes();
        transcript_of(&Output { status, stdout, stderr: complaints.into_bytes() })
    }
}

fn run(mut process: Process, input: &str) -> Output {
    let mut child = process.spawn().expect("etcdctl starts");
    // The process may have ended without reading its input.
    _ = child.stdin.take().expect("piped").write_all(input.as_bytes());
    child.wait_with_output().expect("its end")
}

/// A process's output in the form of a transcript, without log lines.
fn transcript_of(output: &Output) -> String {
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    let complaints = String::from_utf8_lossy(&output.stderr);
    for line in complaints.lines().filter(|line| !line.starts_with("{\"level\"")) {
        text.push_str(&format!("! {line}\n"));
    }
    match output.status.code() {
        Some(0) => {}
        Some(code) => text.push_str(&format!("exit {code}\n")),
        None => text.push_str("killed\n"),
    }
    text
}

/// Sorts members by their names in the transcript: servers list them by ids, which differ from run to run.
fn in_order(said: &str) -> String {
    let mut lines: Vec<String> = said.lines().map(str::to_owned).collect();
    if lines.iter().all(|line| line.starts_with("{member")) {
        lines.sort();
    }
    for line in &mut lines {
        if let Some(cluster) = line.strip_prefix("ETCD_INITIAL_CLUSTER=") {
            let mut members: Vec<&str> = cluster.trim_matches('"').split(',').collect();
            members.sort_unstable();
            *line = format!("ETCD_INITIAL_CLUSTER=\"{}\"", members.join(","));
        }
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// The columns of a status: endpoint, id, version, size, leader, learner, term, index, applied index, errors.
fn status(said: &str) -> String {
    let mut columns: Vec<&str> = said.split(", ").collect();
    for differs in [2, 3, 6, 7, 8] {
        if let Some(column) = columns.get_mut(differs) {
            *column = "~";
        }
    }
    columns.join(", ")
}

/// A table whose columns are as wide as they must be.
fn columns(said: &str) -> String {
    let mut text = String::new();
    for line in said.lines() {
        let mut last = ' ';
        for c in line.chars().filter(|c| {
            let repeated = (*c == ' ' || *c == '-') && *c == last;
            last = *c;
            !repeated
        }) {
            text.push(c);
        }
        text.push('\n');
    }
    text
}

//! Prints what happened: one line for each fact, in the order of the facts.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use raft::eraftpb::{Entry, Message, MessageType};
use squall_core::{Command, MembershipChange, Refusal, Reply, RequestOp};

use crate::node::{entry, input::Decoded};

/// Maps member ids, which are hashes, to the names that scripts use.
#[derive(Clone, Default)]
pub(super) struct Names(Arc<Mutex<BTreeMap<u64, String>>>);

impl Names {
    pub(super) fn add(&self, id: u64, name: &str) {
        self.0.lock().unwrap().insert(id, name.to_owned());
    }

    pub(super) fn name(&self, id: u64) -> String {
        match id {
            0 => "none".to_owned(),
            _ => self.0.lock().unwrap().get(&id).cloned().unwrap_or_else(|| format!("{id:x}")),
        }
    }

    pub(super) fn id(&self, name: &str) -> Option<u64> {
        self.0.lock().unwrap().iter().find(|(_, known)| *known == name).map(|(id, _)| *id)
    }

    pub(super) fn list(&self, ids: &[u64]) -> String {
        let mut names: Vec<String> = ids.iter().map(|id| self.name(*id)).collect();
        names.sort();
        format!("[{}]", names.join(" "))
    }
}

/// The lines of all members.
#[derive(Clone, Default)]
pub(super) struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    pub(super) fn push(&self, line: String) {
        self.0.lock().unwrap().push(line);
    }

    pub(super) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// Prints what one member does.
#[derive(Clone)]
pub(super) struct Narrator {
    pub(super) name: String,
    pub(super) names: Names,
    pub(super) lines: Lines,
}

impl Narrator {
    pub(super) fn line(&self, what: &str) {
        self.lines.push(format!("{} {what}", self.name));
    }
}

/// `index/term` and what the entry asks for.
pub(super) fn entry_text(entry: &Entry) -> String {
    let what = match entry::decode(entry) {
        Decoded::Empty => "empty".to_owned(),
        Decoded::Command { id, command, .. } => match command {
            Command::Publish(attributes) => format!("publish {}", attributes.name),
            other => format!("{} #{id}", command_text(&other)),
        },
        Decoded::Membership { id, change, .. } => {
            let what = match change {
                MembershipChange::Add(member) => {
                    let learner = if member.is_learner { "learner " } else { "" };
                    format!("add {learner}{}", member.peer_urls.join(","))
                }
                MembershipChange::Promote(_) => "promote".to_owned(),
                MembershipChange::Remove(_) => "remove".to_owned(),
                MembershipChange::Update { peer_urls, .. } => format!("update {}", peer_urls.join(",")),
            };
            if id == 0 { what } else { format!("{what} #{id}") }
        }
    };
    format!("{}/{} {what}", entry.index, entry.term)
}

fn command_text(command: &Command) -> String {
    let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
    match command {
        Command::Put(put) => format!("put {}={}", text(&put.key), text(&put.value)),
        Command::DeleteRange(delete) => format!("delete {}", text(&delete.key)),
        Command::Compact(compact) => format!("compact {}", compact.revision),
        Command::Txn(txn) => {
            let writes = |ops: &[RequestOp]| ops.len();
            format!("txn of {} or {}", writes(&txn.success), writes(&txn.failure))
        }
        Command::Publish(attributes) => format!("publish {}", attributes.name),
        Command::LeaseGrant { id, ttl_secs } => format!("grant {id} {ttl_secs}s"),
        Command::LeaseRevoke(id) => format!("revoke {id}"),
        Command::LeaseCheckpoint(left) => {
            let left = left.iter().map(|left| format!(" {}={}s", left.id, left.remaining_secs));
            format!("checkpoint{}", left.collect::<String>())
        }
        Command::Alarm(request) => format!("alarm {request:?}"),
        Command::Auth(command) => format!("auth {command:?}"),
    }
}

/// One message, without sender and receiver.
pub(super) fn message_text(names: &Names, message: &Message) -> String {
    let mut text = format!("{:?} term={}", message.get_msg_type(), message.term);
    match message.get_msg_type() {
        MessageType::MsgAppend => {
            text += &format!(" after={}/{} commit={}", message.index, message.log_term, message.commit);
            for entry in message.get_entries() {
                text += &format!(" [{}]", entry_text(entry));
            }
        }
        MessageType::MsgAppendResponse => {
            text += &format!(" index={}", message.index);
            if message.reject {
                text += &format!(" reject hint={}", message.reject_hint);
            }
        }
        MessageType::MsgRequestVote | MessageType::MsgRequestPreVote => {
            text += &format!(" last={}/{}", message.index, message.log_term);
        }
        MessageType::MsgRequestVoteResponse | MessageType::MsgRequestPreVoteResponse => {
            text += if message.reject { " no" } else { " yes" };
        }
        MessageType::MsgHeartbeat => text += &format!(" commit={}", message.commit),
        MessageType::MsgPropose => {
            let entries = message.get_entries().iter();
            for entry in entries {
                let text_of = entry_text(entry);
                text += &format!(" [{}]", text_of.split_once(' ').map_or("", |(_, what)| what));
            }
        }
        MessageType::MsgSnapshot => {
            let metadata = message.get_snapshot().get_metadata();
            let voters = names.list(&metadata.get_conf_state().voters);
            text += &format!(" snapshot={}/{} voters={voters}", metadata.index, metadata.term);
        }
        MessageType::MsgReadIndex | MessageType::MsgReadIndexResp => {
            text += &format!(" index={}", message.index)
        }
        _ => {}
    }
    text
}

/// A client's answer.
pub(super) fn answer_text(answer: &Result<Reply, Refusal>) -> String {
    match answer {
        Ok(Reply::Put(put)) => format!("put at revision {}", put.revision),
        Ok(Reply::DeleteRange(delete)) => {
            format!("deleted {} at revision {}", delete.deleted, delete.revision)
        }
        Ok(Reply::Txn(txn)) => format!("txn {} at revision {}", txn.succeeded, txn.revision),
        Ok(Reply::Compact(_)) => "compacted".to_owned(),
        Ok(Reply::Done) => "done".to_owned(),
        Ok(Reply::LeaseGrant { id, ttl_secs, .. }) => format!("lease {id} for {ttl_secs}s"),
        Ok(Reply::LeaseRevoke(revision)) => format!("revoked at revision {revision}"),
        Ok(Reply::Alarms(alarms)) => format!("alarms {alarms:?}"),
        Ok(Reply::Auth(reply)) => format!("auth {reply:?}"),
        Ok(Reply::Members(members)) => {
            let urls: Vec<&str> =
                members.iter().flat_map(|member| &member.peer_urls).map(String::as_str).collect();
            format!("members {}", urls.join(" "))
        }
        Err(refusal) => format!("refused: {refusal}"),
    }
}

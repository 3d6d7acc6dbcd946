//! The commands of a script.

use std::{sync::atomic::Ordering, time::Duration};

use squall_core::{Member, MembershipChange};
use tokio::sync::oneshot;

use super::{
    Runner,
    golden::{Args, Result},
    members::{Waiting, url},
    messages::Filter,
    narrate::message_text,
};
use crate::{
    node::{Input, Request, entry},
    proto::etcdserverpb as pb,
};

impl Args {
    pub(super) fn number(&mut self) -> Result<u64> {
        Ok(self.word()?.trim_start_matches('#').parse()?)
    }

    fn number_or(&mut self, default: u64) -> Result<u64> {
        if self.words.is_empty() { Ok(default) } else { self.number() }
    }
}

impl Runner {
    pub(super) fn perform(&mut self, command: &str, args: &mut Args) -> Result<()> {
        match command {
            "cluster" => self.found(args)?,
            "tick" => {
                let (name, count) = (args.word()?, args.number_or(1)?);
                for _ in 0..count {
                    self.life(&name)?.clock.ticks.fetch_add(1, Ordering::Relaxed);
                    self.settle();
                }
            }
            "wait" => {
                let millis: u64 = args.word()?.trim_end_matches("ms").parse()?;
                *self.now.lock().unwrap() += Duration::from_millis(millis);
            }
            "propose" => {
                let (name, id) = (args.word()?, args.number()?);
                let data = entry::encode(id, request(args)?);
                let (answer, waiting) = oneshot::channel();
                self.hand(&name, Input::Propose { id, data, answer }, Waiting::Proposal(id, waiting))?;
            }
            "change" => {
                let (name, id) = (args.word()?, args.number()?);
                let (what, whom) = (args.word()?, args.word()?);
                let change = match what.as_str() {
                    "add" | "learn" => {
                        // Every member has one name, which is used once. The id is made from the name.
                        let is_learner = what == "learn";
                        let member = Member { is_learner, ..Member::new(vec![url(&whom)], "added", None) };
                        self.names.add(member.id.0, &whom);
                        MembershipChange::Add(member)
                    }
                    "promote" => MembershipChange::Promote(self.id(&whom)?),
                    "remove" => MembershipChange::Remove(self.id(&whom)?),
                    "update" => MembershipChange::Update { id: self.id(&whom)?, peer_urls: args.rest() },
                    other => return Err(format!("no such change: {other}").into()),
                };
                let (answer, waiting) = oneshot::channel();
                self.hand(
                    &name,
                    Input::ChangeMembers { id, change, answer },
                    Waiting::Proposal(id, waiting),
                )?;
            }
            "read" => {
                let (name, label) = (args.word()?, args.word()?);
                let (answer, waiting) = oneshot::channel();
                self.hand(&name, Input::ReadIndex(answer), Waiting::Read(label, waiting))?;
            }
            "transfer" => {
                let name = args.word()?;
                let (done, waiting) = oneshot::channel();
                self.hand(&name, Input::TransferLeadership(done), Waiting::Transfer(waiting))?;
            }
            "ready" => {
                let (name, whom) = (args.word()?, args.word()?);
                let id = self.id(&whom)?;
                let (answer, waiting) = oneshot::channel();
                self.hand(&name, Input::LearnerReady { id, answer }, Waiting::Ready(whom, waiting))?;
            }
            "defragment" => {
                let name = args.word()?;
                let (done, waiting) = oneshot::channel();
                self.hand(&name, Input::Defragment(done), Waiting::Defragment(waiting))?;
            }
            "removed-by" => {
                let (name, peer) = (args.word()?, args.word()?);
                let input = Input::RemovedByPeer(self.id(&peer)?);
                self.send_input(&name, input)?;
            }
            "known" => {
                let name = args.word()?;
                self.send_input(&name, Input::RemovalKnown)?;
            }
            "move" => {
                let (name, to) = (args.word()?, args.word()?);
                let to = self.id(&to)?;
                let (begun, waiting) = oneshot::channel();
                self.hand(&name, Input::MoveLeader { to, begun }, Waiting::Move(waiting))?;
            }
            "deliver" => self.deliver(args)?,
            "drop" => {
                for number in self.chosen(args)? {
                    let message = self.take(number)?;
                    self.lines.push(format!("#{number} is lost"));
                    if let Some((_, done)) = message.snapshot {
                        let _ = done.send(Err("lost".to_owned()));
                    }
                }
            }
            "double" => {
                let number = args.number()?;
                let copy = self.copy_of(number)?;
                self.arrive(copy)?;
            }
            "stabilize" => {
                let filter = Filter::take(args);
                for round in 0.. {
                    if round == 1_000 {
                        return Err("the members never come to rest".into());
                    }
                    self.settle();
                    let Some(message) = self.flight.take(|message| filter.lets(message)) else { break };
                    self.arrive(message)?;
                }
            }
            "flight" => {
                let names = self.names.clone();
                let lines = self.flight.show(|m| {
                    format!("#{} {} to {}: {}", m.number, m.from, m.to, message_text(&names, &m.message))
                });
                lines.into_iter().for_each(|line| self.lines.push(line));
            }
            "hold" => {
                let (name, after) = (args.word()?, args.number_or(0)?);
                self.member(&name)?.disk.gate.hold(after as u32);
            }
            "step" => {
                let (name, count) = (args.word()?, args.number_or(1)?);
                for _ in 0..count {
                    self.member(&name)?.disk.gate.permit(1);
                    self.settle();
                }
            }
            "release" => self.member(&args.word()?)?.disk.gate.release(),
            "crash" | "kill" => {
                let keep = args.parse_or("engine", 0)?;
                let power = command == "crash";
                let member = self.member(&args.word()?)?;
                member.life = None;
                member.disk.gate.release();
                if power {
                    member.disk.lose_unsynced();
                    member.engine.lose_unsynced(keep);
                }
            }
            "start" => self.start(&args.word()?)?,
            "join" => self.join(&args.word()?)?,
            "show" => self.show(&args.word()?)?,
            other => return Err(format!("no such command: {other}").into()),
        }
        Ok(())
    }
}

fn request(args: &mut Args) -> Result<Request> {
    Ok(match args.word()?.as_str() {
        "put" => {
            let (key, value) = args.pairs.pop().ok_or("a put needs KEY=VALUE")?;
            let (key, value) = (key.into(), value.into());
            Request::Put(pb::PutRequest { key, value, ..Default::default() })
        }
        "delete" => {
            Request::DeleteRange(pb::DeleteRangeRequest { key: args.word()?.into(), ..Default::default() })
        }
        "compact" => Request::Compaction(pb::CompactionRequest {
            revision: args.word()?.parse()?,
            ..Default::default()
        }),
        "grant" => {
            let (id, ttl) = (args.word()?.parse()?, args.parse_or("ttl", 60)?);
            Request::LeaseGrant(pb::LeaseGrantRequest { id, ttl })
        }
        "revoke" => Request::LeaseRevoke(pb::LeaseRevokeRequest { id: args.word()?.parse()? }),
        other => return Err(format!("no such request: {other}").into()),
    })
}

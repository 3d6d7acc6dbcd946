//! The messages between a script's members: how a command selects them, and how they arrive.

use std::{path::Path, sync::Arc};

use protobuf::Message as _;
use raft::eraftpb::Message;

use super::{
    Runner,
    disk::ScriptDisk,
    golden::{Args, Result},
    world::InFlight,
};
use crate::{
    node::{Input, snapshot_path},
    snapshot::Receiver,
    wal::crash_disk::block_on,
};

/// Selects messages: `from=n1 to=n2 type=MsgAppend`, each part optional.
pub(super) struct Filter {
    from: Option<String>,
    to: Option<String>,
    kind: Option<String>,
}

impl Filter {
    pub(super) fn take(args: &mut Args) -> Filter {
        Filter { from: args.value("from"), to: args.value("to"), kind: args.value("type") }
    }

    /// Whether the filter lets a message through.
    pub(super) fn lets(&self, message: &InFlight) -> bool {
        let fits =
            |wanted: &Option<String>, value: &str| wanted.as_ref().is_none_or(|wanted| wanted == value);
        fits(&self.from, &message.from)
            && fits(&self.to, &message.to)
            && fits(&self.kind, &format!("{:?}", message.message.get_msg_type()))
    }
}

impl Runner {
    /// The numbers that a command names, or those of all messages that its filter lets through.
    pub(super) fn chosen(&self, args: &mut Args) -> Result<Vec<u64>> {
        if args.words.is_empty() {
            let filter = Filter::take(args);
            return Ok(self.flight.numbers(|message| filter.lets(message)));
        }
        let mut numbers = Vec::new();
        while !args.words.is_empty() {
            numbers.push(args.number()?);
        }
        Ok(numbers)
    }

    pub(super) fn take(&self, number: u64) -> Result<InFlight> {
        let found = self.flight.take(|message| message.number == number);
        found.ok_or_else(|| format!("#{number} is not in flight").into())
    }

    pub(super) fn copy_of(&self, number: u64) -> Result<InFlight> {
        let mut copy = None;
        self.flight.numbers(|message| {
            if message.number == number {
                copy = Some((message.from.clone(), message.to.clone(), message.message.clone()));
            }
            false
        });
        let (from, to, message) = copy.ok_or_else(|| format!("#{number} is not in flight"))?;
        Ok(InFlight { number, from, to, message, snapshot: None })
    }

    pub(super) fn deliver(&mut self, args: &mut Args) -> Result<()> {
        for number in self.chosen(args)? {
            let message = self.take(number)?;
            self.arrive(message)?;
            self.settle();
        }
        Ok(())
    }

    /// Delivers a message to its receiver, if the receiver runs.
    pub(super) fn arrive(&mut self, message: InFlight) -> Result<()> {
        let InFlight { number, to, message, snapshot, .. } = message;
        let runs = self.members.get(&to).is_some_and(|member| member.life.is_some());
        if !runs {
            self.lines.push(format!("#{number} finds nobody"));
            if let Some((_, done)) = snapshot {
                let _ = done.send(Err("nobody there".to_owned()));
            }
            return Ok(());
        }
        let Some((bytes, done)) = snapshot else {
            // Members exchange bytes only.
            let bytes = message.write_to_bytes()?;
            return self.send_input(&to, Input::Messages(vec![Message::parse_from_bytes(&bytes)?]));
        };
        // The peer service writes the file, durably, before raft hears of it.
        let member = self.member(&to)?;
        let path = snapshot_path(&member.config.snap_dir(), message.get_snapshot().get_metadata().index);
        receive(&member.disk, &path, bytes)?;
        self.send_input(&to, Input::Snapshot(Box::new(message)))?;
        self.settle();
        let _ = done.send(Ok(()));
        Ok(())
    }
}

fn receive(disk: &ScriptDisk, path: &Path, bytes: Vec<u8>) -> Result<()> {
    block_on(async {
        let mut receiver = Receiver::create(Arc::new(disk.clone()), path, u64::MAX).await?;
        receiver.append(bytes.into()).await?;
        receiver.finish().await
    })?;
    Ok(())
}

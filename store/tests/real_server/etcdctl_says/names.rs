//! Names for values that differ from run to run.

/// Values and their names, in the order in which they were found.
#[derive(Debug, Default)]
pub struct Names {
    values: Vec<(String, String)>,
    leases: usize,
    members: usize,
    keys: usize,
}

/// A value that follows one of these in the output is masked with `~`: sizes, hashes, terms and indexes of raft,
/// versions, times.
const MASKED: [&str; 22] = [
    "\"raft_term\":",
    "\"raftTerm\":",
    "\"raftIndex\":",
    "\"raftAppliedIndex\":",
    "\"dbSize\":",
    "\"dbSizeInUse\":",
    "\"hash\":",
    "\"ttl\":",
    "\"version\":\"",
    "\"RaftTerm\" : ",
    "\"RaftIndex\" : ",
    "\"RaftAppliedIndex\" : ",
    "\"DBSize\" : ",
    "\"DBSizeInUse\" : ",
    "\"Hash\" : ",
    "\"TTL\" : ",
    "\"Version\" : \"3.",
    "\"Version\" : \"0.",
    "\"took\":",
    "\"Took\" : ",
    "took = ",
    "remaining(",
];

impl Names {
    pub fn add(&mut self, name: &str, value: impl Into<String>) {
        let value = value.into();
        if !value.is_empty() && !self.values.iter().any(|(known, _)| *known == value) {
            self.values.push((value, format!("{{{name}}}")));
        }
    }

    /// Adds a 64-bit id in hex, as it is mostly printed, and in decimal.
    fn add_id(&mut self, name: &str, id: u64) {
        self.add(name, format!("{id:x}"));
        self.add(name, format!("{id:016x}"));
        self.add(name, id.to_string());
    }

    pub fn add_member(&mut self, name: &str, id: u64) {
        self.add_id(name, id);
    }

    /// Learns the ids that occur for the first time in an output of `etcdctl`.
    pub fn learn(&mut self, words: &[String], said: &str) {
        match words {
            [lease, grant, ..] if lease == "lease" && grant == "grant" => {
                let number = || number_after(said, "\"ID\":").or_else(|| number_after(said, "\"ID\" : "));
                if let Some(id) = id_after(said, "lease ").or_else(number) {
                    self.leases += 1;
                    self.add_id(&format!("lease{}", self.leases), id);
                }
            }
            [member, add, ..] if member == "member" && add == "add" => {
                if let Some(id) =
                    id_after(said, "Member ").or_else(|| number_after(said, "\"member\":{\"ID\":"))
                {
                    self.members += 1;
                    self.add_id(&format!("member{}", self.members), id);
                }
            }
            _ => {}
        }
    }

    /// Learns the lease in a queue's key (`name/` and the lease in hex), which `lock` and `elect` print.
    pub fn learn_key(&mut self, line: &str) {
        let id = line.rsplit_once('/').map_or("", |(_, id)| id.trim());
        if id.len() >= 12 && id.bytes().all(|b| b.is_ascii_hexdigit()) {
            self.keys += usize::from(!self.values.iter().any(|(known, _)| known == id));
            self.add(&format!("holder{}", self.keys), id);
        }
    }

    /// A word of a command, with its names replaced by values.
    pub fn filled_in(&self, word: &str) -> String {
        self.values.iter().fold(word.to_owned(), |word, (value, name)| word.replace(name, value))
    }

    /// An output, with its values replaced by names.
    pub fn named(&self, said: &str) -> String {
        let mut values: Vec<_> = self.values.iter().collect();
        // A value may be a part of a longer one, so longer ones are replaced first.
        values.sort_by_key(|(value, _)| std::cmp::Reverse(value.len()));
        let mut named =
            values.into_iter().fold(said.to_owned(), |said, (value, name)| said.replace(value, name));
        // An id is padded with a space for each digit that it lacks.
        while named.contains("  {") {
            named = named.replace("  {", " {");
        }
        MASKED.iter().fold(named, |said, after| masked(&said, after))
    }
}

/// The output with `~` for each value that follows `after`.
fn masked(said: &str, after: &str) -> String {
    let mut parts = said.split(after);
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find([',', '}', '\n', ')', ' ']).unwrap_or(part.len());
        text.push_str(after.strip_suffix("3.").or(after.strip_suffix("0.")).unwrap_or(after));
        text.push('~');
        text.push_str(&part[end..]);
    }
    text
}

fn id_after(said: &str, before: &str) -> Option<u64> {
    let id = said.strip_prefix(before)?.trim_start().split(' ').next()?;
    u64::from_str_radix(id, 16).ok()
}

fn number_after(said: &str, before: &str) -> Option<u64> {
    let (_, rest) = said.split_once(before)?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[test]
fn values_are_told_by_name() {
    let mut names = Names::default();
    let grant = ["lease".to_owned(), "grant".to_owned(), "5".to_owned()];
    names.learn(&grant, "lease 00ab000000000001 granted with TTL(5s)\n");
    assert_eq!(names.named("lease ab000000000001, {lease}"), "lease {lease1}, {lease}");
    assert_eq!(names.filled_in("{lease1}"), "ab000000000001");
    let add = ["member".to_owned(), "add".to_owned(), "m4".to_owned()];
    names.learn(&add, "Member  678eb1122334455 added to cluster 1\n");
    assert_eq!(names.named("Member  678eb1122334455 added"), "Member {member1} added");
    assert_eq!(names.named("Member    678eb1122334455 added"), "Member {member1} added");
    assert_eq!(names.named("\"hash\":12,\"revision\":3"), "\"hash\":~,\"revision\":3");
    assert_eq!(names.named("took = 1.2ms\n"), "took = ~\n");
    assert_eq!(
        names.named("\"Version\" : 3\n\"Version\" : \"3.5.1\"\n"),
        "\"Version\" : 3\n\"Version\" : \"~\n"
    );
}

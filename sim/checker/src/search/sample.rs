//! Random small histories of every model, for the property tests: mostly near the border between linearizable and
//! not, where mistakes would show. Half of the answers of an operation come from a real execution, in an order that
//! respects real time, and some of them are then changed.

use crate::model::cas_register::{CasRegister, RegisterInput, RegisterOutput};
use crate::model::kv_append::{KvAppend, KvInput, KvOp, KvOutput};
use crate::model::multi_register::{MicroOp, MultiRegister, ReadValues};
use crate::model::mutex::{Mutex, MutexInput, MutexOutput};
use crate::model::{ClientId, ConcurrentHistory, Model, Operation, Outcome, Register};

/// SplitMix64 (Steele, Lea and Flood 2014): the random numbers of the tests, from one seed.
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(crate) fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// A model that can make up operations of its own.
pub(crate) trait Sample: Model {
    fn input(&self, chance: &mut Chance) -> Self::Input;
    /// Some answer, of the right kind for the input.
    fn output(&self, chance: &mut Chance, input: &Self::Input) -> Self::Output;
    /// The answer in `state`, if there is one.
    fn answer(&self, state: &Self::State, input: &Self::Input) -> Option<Self::Output>;
}

/// A history of up to `max_ops` operations by up to four clients.
pub(crate) fn history<M: Sample>(
    model: &M,
    chance: &mut Chance,
    max_ops: u64,
) -> ConcurrentHistory<M::Input, M::Output> {
    let clients = 1 + chance.below(4);
    let count = 1 + chance.below(max_ops);
    let truthful = 50 + 10 * chance.below(6);
    let ambiguous = 10 * chance.below(6);
    let mut free_at = vec![0u64; clients as usize];
    let mut drafts = Vec::new();
    for _ in 0..count {
        let client = chance.below(clients);
        let call = free_at[client as usize] + chance.below(4);
        let ret = call + chance.below(12);
        free_at[client as usize] = ret + 1;
        let input = model.input(chance);
        let outcome = if chance.percent(ambiguous) {
            Outcome::Info
        } else if chance.percent(5) {
            Outcome::Fail
        } else {
            Outcome::Ok(model.output(chance, &input))
        };
        let point = call + chance.below(ret - call + 1);
        drafts.push((point, Operation { client: ClientId(client), call, ret: Some(ret), input, outcome }));
    }
    drafts.sort_by_key(|(point, _)| *point);
    let mut state = model.initial();
    for (_, operation) in &mut drafts {
        let happens = match &operation.outcome {
            Outcome::Ok(_) => chance.percent(truthful),
            Outcome::Info => chance.percent(60),
            Outcome::Fail => false,
        };
        if !happens {
            continue;
        }
        if let Some(answer) = model.answer(&state, &operation.input) {
            state = model.step(&state, &operation.input, Some(&answer)).expect("an answer is legal");
            if operation.outcome != Outcome::Info {
                operation.outcome = Outcome::Ok(answer);
            }
        }
    }
    // Histories come in any order.
    if chance.percent(50) {
        drafts.reverse();
    }
    let operations = drafts.into_iter().map(|(_, operation)| operation).collect();
    ConcurrentHistory::new(operations).expect("calls come before returns")
}

fn value(chance: &mut Chance) -> Option<i64> {
    Some(chance.below(3) as i64)
}

impl Sample for CasRegister {
    fn input(&self, chance: &mut Chance) -> RegisterInput {
        match chance.below(3) {
            0 => RegisterInput::Read,
            1 => RegisterInput::Write(value(chance)),
            _ => RegisterInput::Cas { from: value(chance), to: value(chance) },
        }
    }

    fn output(&self, chance: &mut Chance, input: &RegisterInput) -> RegisterOutput {
        match input {
            RegisterInput::Read if chance.percent(5) => RegisterOutput::ReadAny,
            RegisterInput::Read => RegisterOutput::Read(value(chance)),
            RegisterInput::Write(_) => RegisterOutput::Written,
            RegisterInput::Cas { .. } => RegisterOutput::Cas(chance.percent(50)),
        }
    }

    fn answer(&self, state: &Option<i64>, input: &RegisterInput) -> Option<RegisterOutput> {
        Some(match input {
            RegisterInput::Read => RegisterOutput::Read(*state),
            RegisterInput::Write(_) => RegisterOutput::Written,
            RegisterInput::Cas { from, .. } => RegisterOutput::Cas(from == state),
        })
    }
}

impl Sample for Register {
    fn input(&self, chance: &mut Chance) -> RegisterInput {
        if chance.percent(50) { RegisterInput::Read } else { RegisterInput::Write(value(chance)) }
    }

    fn output(&self, chance: &mut Chance, input: &RegisterInput) -> RegisterOutput {
        CasRegister::default().output(chance, input)
    }

    fn answer(&self, state: &Option<i64>, input: &RegisterInput) -> Option<RegisterOutput> {
        CasRegister::default().answer(state, input)
    }
}

impl Sample for KvAppend {
    fn input(&self, chance: &mut Chance) -> KvInput {
        let key = if chance.percent(70) { "a" } else { "b" };
        let text = ["", "x", "y"][chance.below(3) as usize];
        let op = match chance.below(3) {
            0 => KvOp::Get,
            1 => KvOp::Put(text.into()),
            _ => KvOp::Append(text.into()),
        };
        KvInput { key: key.into(), op }
    }

    fn output(&self, chance: &mut Chance, input: &KvInput) -> KvOutput {
        match input.op {
            KvOp::Get => KvOutput::Value(["", "x", "y", "xy", "xx"][chance.below(5) as usize].into()),
            KvOp::Put(_) | KvOp::Append(_) => KvOutput::Done,
        }
    }

    fn answer(&self, state: &Self::State, input: &KvInput) -> Option<KvOutput> {
        Some(match input.op {
            KvOp::Get => KvOutput::Value(
                state
                    .iter()
                    .find(|(key, _)| *key == input.key)
                    .map_or(self.initial.clone(), |entry| entry.1.clone()),
            ),
            KvOp::Put(_) | KvOp::Append(_) => KvOutput::Done,
        })
    }
}

impl Sample for Mutex {
    fn input(&self, chance: &mut Chance) -> MutexInput {
        if chance.percent(50) { MutexInput::Acquire } else { MutexInput::Release }
    }

    fn output(&self, _: &mut Chance, _: &MutexInput) -> MutexOutput {
        MutexOutput
    }

    fn answer(&self, held: &bool, input: &MutexInput) -> Option<MutexOutput> {
        (*held == (*input == MutexInput::Release)).then_some(MutexOutput)
    }
}

impl Sample for MultiRegister {
    fn input(&self, chance: &mut Chance) -> Vec<MicroOp> {
        let count = 1 + chance.below(2);
        (0..count)
            .map(|_| {
                let key = ["x", "y", "z"][chance.below(3) as usize].into();
                if chance.percent(50) { MicroOp::Read(key) } else { MicroOp::Write(key, value(chance)) }
            })
            .collect()
    }

    fn output(&self, chance: &mut Chance, input: &Vec<MicroOp>) -> ReadValues {
        let reads = input.iter().filter(|micro| matches!(micro, MicroOp::Read(_)));
        reads.map(|_| (!chance.percent(10)).then(|| value(chance))).collect()
    }

    fn answer(&self, state: &Self::State, input: &Vec<MicroOp>) -> Option<ReadValues> {
        let mut now = state.clone();
        let mut reads = Vec::new();
        for micro in input {
            if let MicroOp::Read(key) = micro {
                let default = self.initial.get(key.as_ref()).copied().unwrap_or(self.default);
                reads.push(Some(now.iter().find(|(name, _)| name == key).map_or(default, |entry| entry.1)));
            }
            now = self.step(&now, std::slice::from_ref(micro).to_vec().as_ref(), None)?;
        }
        Some(reads)
    }
}

/// Any deterministic object of a few states: what an input does and answers in each state is a table drawn by chance,
/// and there may be states in which it cannot happen. It keeps the search honest about building on nothing but the
/// promises of a model.
#[derive(Debug)]
pub(crate) struct Automaton {
    /// By state and input: the state after, and the answer.
    table: Vec<Vec<Option<(u8, u8)>>>,
}

impl Automaton {
    pub(crate) fn random(chance: &mut Chance) -> Self {
        let states = 2 + chance.below(3);
        let inputs = 2 + chance.below(4);
        let answers = 1 + chance.below(3);
        let stay = 10 * chance.below(8);
        let row = |chance: &mut Chance, state: u64| {
            (0..inputs)
                .map(|_| {
                    let after = if chance.percent(stay) { state } else { chance.below(states) };
                    (!chance.percent(15)).then(|| (after as u8, chance.below(answers) as u8))
                })
                .collect()
        };
        Automaton { table: (0..states).map(|state| row(chance, state)).collect() }
    }
}

impl Model for Automaton {
    type State = u8;
    type Input = u8;
    type Output = u8;

    fn initial(&self) -> u8 {
        0
    }

    fn step(&self, state: &u8, input: &u8, output: Option<&u8>) -> Option<u8> {
        let (after, answer) = self.table[*state as usize][*input as usize]?;
        output.is_none_or(|output| *output == answer).then_some(after)
    }

    fn is_read_only(&self, input: &u8, output: Option<&u8>) -> bool {
        (0..self.table.len() as u8)
            .all(|state| self.step(&state, input, output).is_none_or(|after| after == state))
    }

    fn can_become_legal<'a>(
        &self,
        state: &u8,
        input: &u8,
        output: &u8,
        between: impl Iterator<Item = (&'a u8, Option<&'a u8>)>,
    ) -> bool {
        let between: Vec<_> = between.collect();
        let mut reached = vec![*state];
        let mut at = 0;
        while let Some(&state) = reached.get(at) {
            at += 1;
            for (input, output) in &between {
                if let Some(after) = self.step(&state, input, *output)
                    && !reached.contains(&after)
                {
                    reached.push(after);
                }
            }
        }
        reached.iter().any(|state| self.step(state, input, Some(output)).is_some())
    }
}

impl Sample for Automaton {
    fn input(&self, chance: &mut Chance) -> u8 {
        chance.below(self.table[0].len() as u64) as u8
    }

    fn output(&self, chance: &mut Chance, _: &u8) -> u8 {
        chance.below(3) as u8
    }

    fn answer(&self, state: &u8, input: &u8) -> Option<u8> {
        self.table[*state as usize][*input as usize].map(|(_, answer)| answer)
    }
}

//! Random numbers that code draws without going through the seams. This module gives each simulated process its own.
//!
//! There are two such sources. First, getrandom 0.2 calls `libc::syscall(SYS_getrandom, …)` and not `getrandom`, but
//! madsim interposes only `getrandom`. So this module defines the C symbol `syscall`: every such call of the operating
//! system's process lands here. `SYS_getrandom` is answered from the stream of the simulated process that runs. If
//! none runs, the interposed `getrandom` answers (with the simulation's generator on a thread that runs one, with the
//! kernel's elsewhere). Every other system call goes to the C library unchanged.
//!
//! Second, rand 0.8's `thread_rng` asks the system once for each thread, and then draws from that thread's generator.
//! raft-rs draws its election timeouts from it, so all members would share one. So each simulated process has its own
//! generator, which replaces the thread's while the process's tasks run ([`OwnChance::exchange`]).

use std::{
    cell::{RefCell, UnsafeCell},
    rc::Rc,
    sync::atomic::{AtomicUsize, Ordering},
};

use libc::{c_char, c_int, c_long, c_uint, c_void};
use rand::{
    SeedableRng,
    rngs::{OsRng, ThreadRng, adapter::ReseedingRng},
};
use rand_chacha::ChaCha12Core;

use super::chance::{Chance, Stream};

/// The sources of the random numbers that a process draws without going through the seams.
pub(super) struct OwnChance {
    generator: Generator,
    entropy: Option<Stream>,
}

/// The generator that rand 0.8 keeps for each thread.
type Generator = ReseedingRng<ChaCha12Core, OsRng>;

thread_local! {
    /// Answers `getrandom` while a simulated process runs.
    static ENTROPY: RefCell<Option<Stream>> = const { RefCell::new(None) };
}

impl OwnChance {
    pub(super) fn new(chance: &Chance) -> Self {
        let mut seed = chance.child("thread_rng").stream();
        let mut key = [0; 32];
        seed.fill(&mut key);
        Self {
            // With a threshold of 0 it never asks the system for a new seed.
            generator: ReseedingRng::new(ChaCha12Core::from_seed(key), 0, OsRng),
            entropy: Some(chance.child("getrandom").stream()),
        }
    }

    /// Swaps this process's sources with those of this thread.
    #[allow(
        clippy::disallowed_methods,
        reason = "the generator that raft-rs draws from is what this is about"
    )]
    pub(super) fn exchange(&mut self) {
        // This must come first: a thread that has no generator yet seeds it here, and not from a process's stream.
        let handle = rand::thread_rng();
        ENTROPY.with_borrow_mut(|entropy| std::mem::swap(entropy, &mut self.entropy));
        const {
            assert!(size_of::<ThreadRng>() == size_of::<Rc<UnsafeCell<Generator>>>());
        }
        // SAFETY: in the rand that Cargo.lock holds, `ThreadRng` is a struct of one field, of this very type. Its
        // generator is borrowed only while it draws, which happens nowhere in here. A test
        // (`tests::chance::each_process_draws_from_a_generator_of_its_own`) fails if that changes.
        let thread: Rc<UnsafeCell<Generator>> = unsafe { std::mem::transmute(handle) };
        // SAFETY: as above; there is no other reference to the cell's content now.
        std::mem::swap(unsafe { &mut *thread.get() }, &mut self.generator);
    }
}

/// Fills a buffer from the running process's stream; false if no process runs.
fn answer(buffer: *mut u8, length: usize) -> bool {
    let answered = ENTROPY.try_with(|entropy| {
        let Ok(mut entropy) = entropy.try_borrow_mut() else { return false };
        let Some(stream) = &mut *entropy else { return false };
        // SAFETY: the caller of the system call vouches for its buffer; zeroed, it is initialized.
        let buffer = unsafe {
            std::ptr::write_bytes(buffer, 0, length);
            std::slice::from_raw_parts_mut(buffer, length)
        };
        stream.fill(buffer);
        true
    });
    answered.unwrap_or(false)
}

type Syscall = unsafe extern "C" fn(c_long, ...) -> c_long;

/// The address of the C library's `syscall`. A `OnceLock` will not do: it waits on a futex by calling `syscall`
/// itself.
static LIBC: AtomicUsize = AtomicUsize::new(0);

/// Makes sure that the linker keeps this module's `syscall` symbol. The world calls it before a run.
pub(super) fn ensure() {
    let interposed = syscall as *const c_void as usize;
    // Does nothing, but uses the symbol's address.
    std::hint::black_box(interposed);
}

#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
compile_error!(
    "the simulation interposes Linux's system calls; x86-64 and aarch64 are the calling conventions it knows"
);

/// See the module. A system call has at most six arguments; passing more registers than it takes is harmless
/// in the C calling conventions of x86-64 and aarch64 Linux.
///
/// # Safety
/// As the C library's `syscall`.
#[unsafe(no_mangle)]
unsafe extern "C" fn syscall(
    number: c_long,
    a: c_long,
    b: c_long,
    c: c_long,
    d: c_long,
    e: c_long,
    f: c_long,
) -> c_long {
    if number == libc::SYS_getrandom {
        if answer(a as *mut u8, b as usize) {
            return b;
        }
        // SAFETY: the arguments of this system call are a buffer, its length and flags.
        return unsafe { libc::getrandom(a as *mut c_void, b as usize, c as c_uint) as c_long };
    }
    let mut address = LIBC.load(Ordering::Relaxed);
    if address == 0 {
        const NAME: &std::ffi::CStr = c"syscall";
        // SAFETY: the name is a C string.
        address = unsafe { libc::dlsym(libc::RTLD_NEXT, NAME.as_ptr() as *const c_char) } as usize;
        if address == 0 {
            const LOST: &[u8] = b"squall: the C library has no syscall()\n";
            // SAFETY: a plain write to standard error; it cannot call back into this function.
            unsafe {
                libc::write(2 as c_int, LOST.as_ptr() as *const c_void, LOST.len());
                libc::abort();
            }
        }
        LIBC.store(address, Ordering::Relaxed);
    }
    // SAFETY: the address is that of the C library's `syscall`, which has this signature.
    let real: Syscall = unsafe { std::mem::transmute::<usize, Syscall>(address) };
    // SAFETY: the caller keeps the contract of the C library's `syscall`.
    unsafe { real(number, a, b, c, d, e, f) }
}

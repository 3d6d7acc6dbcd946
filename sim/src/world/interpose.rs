//! Chance that goes behind madsim's back: getrandom 0.2, and so rand 0.8's `thread_rng` (raft-rs draws its election
//! time-outs from it), calls `libc::syscall(SYS_getrandom, …)` and not `getrandom`. madsim interposes the latter only.
//!
//! This module defines the C symbol `syscall`, so that every such call of this process lands here: `SYS_getrandom` is
//! answered by the interposed `getrandom` (the simulation's generator on a thread that runs one, the kernel's
//! elsewhere), everything else goes to the C library unchanged.

use std::sync::atomic::{AtomicUsize, Ordering};

use libc::{c_char, c_int, c_long, c_uint, c_void};

type Syscall = unsafe extern "C" fn(c_long, ...) -> c_long;

/// The C library's own `syscall`. Not a `OnceLock`: that waits on a futex, which is a system call by this very door.
static LIBC: AtomicUsize = AtomicUsize::new(0);

/// Makes certain that the linker keeps this module's symbol: the world calls it before a run.
pub(super) fn ensure() {
    let interposed = syscall as *const c_void as usize;
    // A zero-sized write to nowhere: what counts is that the address is used.
    std::hint::black_box(interposed);
}

#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
compile_error!(
    "the simulation interposes Linux's system calls; x86-64 and aarch64 are the calling conventions it knows"
);

/// See the module. Six arguments are what a system call has at most; passing more registers than it takes is harmless
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
            // SAFETY: a plain write to standard error; nothing that could call back into here.
            unsafe {
                libc::write(2 as c_int, LOST.as_ptr() as *const c_void, LOST.len());
                libc::abort();
            }
        }
        LIBC.store(address, Ordering::Relaxed);
    }
    // SAFETY: the address is that of the C library's `syscall`, which has this signature.
    let real: Syscall = unsafe { std::mem::transmute::<usize, Syscall>(address) };
    // SAFETY: the caller's contract is that function's.
    unsafe { real(number, a, b, c, d, e, f) }
}

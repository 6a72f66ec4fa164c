//! Reads of a mapped file whose page cannot be had: somebody made the file shorter, or the disk failed.
//!
//! The system then sends SIGBUS, which ends a process that does nothing about it. The handler here puts a page of zeros in
//! the place of the one that is missing, as the journal of systemd does; the read goes on, and the row's seal tells that it
//! is none. A fault anywhere else is left to whoever handled the signal before.

#![allow(unsafe_code, reason = "the signal of a fault is handled by calls of the system alone")]

use super::layout::SEGMENT_BYTES;
use std::io;
use std::ptr::{null_mut, without_provenance_mut};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Segments that are mapped at the same time, of all files: 1 TiB.
const REGIONS_MAX: usize = 1 << 14;

/// First addresses of the segments that are watched; 0: none. Only atomics: a handler must not wait for a lock.
static REGIONS: [AtomicUsize; REGIONS_MAX] = [const { AtomicUsize::new(0) }; REGIONS_MAX];
static PAGE: AtomicUsize = AtomicUsize::new(0);
static EARLIER: OnceLock<libc::sigaction> = OnceLock::new();

/// Watches a segment as long as it lives.
#[derive(Debug)]
pub(super) struct Watched(&'static AtomicUsize);

impl Watched {
    /// Watches the segment that begins at an address.
    ///
    /// # Errors
    /// When the system takes no handler, or there are too many segments.
    pub(super) fn new(first: usize) -> io::Result<Self> {
        install()?;
        let free = |region: &&AtomicUsize| {
            region.compare_exchange(0, first, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        };
        REGIONS.iter().find(free).map(Self).ok_or_else(|| io::Error::other("too many segments are mapped"))
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.0.store(0, Ordering::Release);
    }
}

/// Sets the handler, once.
fn install() -> io::Result<()> {
    static INSTALLED: OnceLock<Result<(), i32>> = OnceLock::new();
    let set = || {
        PAGE.store(rustix::param::page_size(), Ordering::Release);
        let last_error = || io::Error::last_os_error().raw_os_error().unwrap_or_default();
        // SAFETY: all fields of the structure may be zero; those that matter are set.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = on_bus_error as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        // SAFETY: as above.
        let mut earlier: libc::sigaction = unsafe { std::mem::zeroed() };
        // SAFETY: both structures live through the calls. The earlier handler is noted before the new one can run.
        if unsafe { libc::sigaction(libc::SIGBUS, null_mut(), &raw mut earlier) } != 0 {
            return Err(last_error());
        }
        let _ = EARLIER.set(earlier);
        // SAFETY: the handler has the form that SA_SIGINFO asks for, and calls what a handler may call alone.
        if unsafe { libc::sigaction(libc::SIGBUS, &raw const action, null_mut()) } != 0 {
            return Err(last_error());
        }
        Ok(())
    };
    INSTALLED.get_or_init(set).map_err(io::Error::from_raw_os_error)
}

extern "C" fn on_bus_error(signal: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the system hands a handler with SA_SIGINFO a structure that lives through the call.
    let (address, code) = unsafe { ((*info).si_addr() as usize, (*info).si_code) };
    let page = PAGE.load(Ordering::Acquire).max(1);
    let is_fault = code > 0;
    let is_ours = |first: &AtomicUsize| {
        let first = first.load(Ordering::Acquire);
        first != 0 && (first..first + SEGMENT_BYTES).contains(&address)
    };
    if is_fault && REGIONS.iter().any(is_ours) {
        let at = without_provenance_mut(address - address % page);
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
        // SAFETY: the page is part of a segment, which is mapped for reading and of which nothing but copies is made.
        let zeros = unsafe { libc::mmap(at, page, libc::PROT_READ, flags, -1, 0) };
        if zeros != libc::MAP_FAILED {
            return;
        }
    }
    if let Some(earlier) = EARLIER.get() {
        // SAFETY: the structure is what the system gave. A fault happens again when this returns, and is then theirs.
        unsafe { libc::sigaction(signal, earlier, null_mut()) };
    }
    if !is_fault {
        // SAFETY: sent by a process, so that nothing repeats it by itself; raising is allowed in a handler.
        unsafe { libc::raise(signal) };
    }
}

//! The registers of interrupted code, as the system hands them to a signal handler. Where this file
//! does not know the processor, they read as 0.

use std::ffi::c_void;

/// The registers that a signal handler was given.
pub(super) struct Registers(*mut libc::ucontext_t);

impl Registers {
    /// # Safety
    /// `context` is a handler's third argument, and the handler is still running.
    pub(super) unsafe fn new(context: *mut c_void) -> Self {
        Self(context.cast())
    }

    /// The instruction at which the code was interrupted; 0 where unknown.
    pub(super) fn ip(&self) -> u64 {
        // SAFETY: by the promise to `new`, this is the context of a handler that is running.
        unsafe { ip(self.0) }
    }

    /// Makes the code look as if it had returned from where it is to its caller; says where that is.
    ///
    /// # Safety
    /// The code has called what is no code, so that the return address is where a call puts it. It
    /// must never run again.
    pub(super) unsafe fn leave(&mut self) -> u64 {
        // SAFETY: the caller promises the one half, the promise to `new` is the other.
        unsafe { leave(self.0) }
    }
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
unsafe fn ip(context: *const libc::ucontext_t) -> u64 {
    // SAFETY: the caller promises a context.
    unsafe { (*context).uc_mcontext.gregs[libc::REG_RIP as usize].cast_unsigned() }
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
unsafe fn leave(context: *mut libc::ucontext_t) -> u64 {
    // SAFETY: the caller promises a context; a call has left the return address where the stack
    // pointer points, and if that is no memory, the fault ends the process, as it was about to.
    unsafe {
        let registers = &mut (*context).uc_mcontext.gregs;
        let stack = registers[libc::REG_RSP as usize];
        let caller = *(stack as *const i64);
        registers[libc::REG_RIP as usize] = caller;
        registers[libc::REG_RSP as usize] = stack.wrapping_add(8);
        caller.cast_unsigned()
    }
}

#[cfg(all(target_os = "linux", target_arch = "aarch64"))]
unsafe fn ip(context: *const libc::ucontext_t) -> u64 {
    // SAFETY: the caller promises a context.
    unsafe { (*context).uc_mcontext.pc }
}

#[cfg(all(target_os = "linux", target_arch = "aarch64"))]
unsafe fn leave(context: *mut libc::ucontext_t) -> u64 {
    // SAFETY: the caller promises a context; a call has left the return address in register 30.
    unsafe {
        let caller = (*context).uc_mcontext.regs[30];
        (*context).uc_mcontext.pc = caller;
        caller
    }
}

#[cfg(all(target_os = "macos", target_arch = "x86_64"))]
unsafe fn ip(context: *const libc::ucontext_t) -> u64 {
    // SAFETY: the caller promises a context, whose registers lie behind a pointer.
    unsafe { (*(*context).uc_mcontext).__ss.__rip }
}

#[cfg(all(target_os = "macos", target_arch = "aarch64"))]
unsafe fn ip(context: *const libc::ucontext_t) -> u64 {
    // SAFETY: the caller promises a context, whose registers lie behind a pointer.
    unsafe { (*(*context).uc_mcontext).__ss.__pc }
}

#[cfg(not(all(
    any(target_os = "linux", target_os = "macos"),
    any(target_arch = "x86_64", target_arch = "aarch64")
)))]
unsafe fn ip(_: *const libc::ucontext_t) -> u64 {
    0
}

#[cfg(not(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
)))]
unsafe fn leave(context: *mut libc::ucontext_t) -> u64 {
    // SAFETY: the caller promises a context.
    unsafe { ip(context) }
}

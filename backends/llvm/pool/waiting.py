"""How threads of a pool wait in LLVM text: pauses of the processor, sleep in the system's hands."""

from __future__ import annotations

from string import Template

from ..machine.machine import Machine

# Numbers of the system calls futex and sched_yield: the kernel's asm/unistd.h of each architecture.
_LINUX_CALLS = {"x86_64": (202, 24), "aarch64": (98, 124), "riscv64": (98, 124)}
_FUTEX_WAIT_PRIVATE, _FUTEX_WAKE_PRIVATE = 128, 129

# Declaration and call of the instruction that tells the processor that a thread is only waiting.
_HINT = ("declare void @llvm.aarch64.hint(i32)", "call void @llvm.aarch64.hint(i32 1)")
_PAUSE = {
    "x86_64": ("declare void @llvm.x86.sse2.pause()", "call void @llvm.x86.sse2.pause()"),
    "aarch64": _HINT,
    "arm64": _HINT,
}


def has_futex(machine: Machine) -> bool:
    """Whether waiting can go through Linux's futex; elsewhere Python callbacks do it."""
    return "linux" in machine.triple and machine.architecture in _LINUX_CALLS


def pause_text(machine: Machine) -> tuple[str, str]:
    """The declaration and the call of what tells the processor that a thread is only waiting."""
    return _PAUSE.get(machine.architecture, ("", ""))


def waiting_text(machine: Machine, *, futex: bool) -> str:
    """`ml_park(ptr pool, i32 seen)` (return once the generation is not `seen`), `ml_wake(ptr pool)`
    and `ml_yield()`: with `futex` by the C library's `syscall`, else declared only."""
    if not futex:
        return _CALLBACKS
    wait_call, yield_call = _LINUX_CALLS[machine.architecture]
    return Template(_SYSTEM_CALLS).substitute(
        futex=wait_call,
        sched_yield=yield_call,
        wait=_FUTEX_WAIT_PRIVATE,
        wake=_FUTEX_WAKE_PRIVATE,
    )


_CALLBACKS = """
declare void @ml_park(ptr, i32)
declare void @ml_wake(ptr)
declare void @ml_yield()
"""

# `generation` is the first field, so the pool's address is the futex's.
_SYSTEM_CALLS = """
declare i64 @syscall(i64, ...)

define internal void @ml_park(ptr %pool, i32 %seen) nounwind {
  call i64 (i64, ...) @syscall(i64 $futex, ptr %pool, i64 $wait, i32 %seen, ptr null)
  ret void
}

define internal void @ml_wake(ptr %pool) nounwind {
  call i64 (i64, ...) @syscall(i64 $futex, ptr %pool, i64 $wake, i32 2147483647)
  ret void
}

define internal void @ml_yield() nounwind {
  call i64 (i64, ...) @syscall(i64 $sched_yield)
  ret void
}
"""

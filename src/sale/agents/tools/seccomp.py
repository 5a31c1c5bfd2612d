"""A system-call filter for the sandbox: a second wall behind the namespaces.

It refuses, with "operation not permitted", what a computation never needs and the other walls do not cover:
looking into other processes; new namespaces and mounts; kernel keys, programs and rings; sockets beyond Internet
and local ones (virtual-machine sockets are not confined by a network namespace); and memory that belongs to no
process, so that no memory limit sees it.

Only Linux on x86-64 and 64-bit ARM are known here; `filter_program` gives `None` elsewhere.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
"""Opcodes of the kernel's classic packet filter: load a word, three conditional jumps, return."""

_NUMBER_AT, _ARCH_AT, _ARGUMENT_AT = 0, 4, 16
"""Offsets in `struct seccomp_data`: call number, architecture, low half of the first argument."""

_KILL, _ALLOW = 0x80000000, 0x7FFF0000
_NOT_PERMITTED, _NO_SUCH_CALL = 0x00050000 | 1, 0x00050000 | 38

_NEW_NAMESPACES = 0x7E020000
"""Every CLONE_NEW* flag that `clone` takes."""

_LOCAL, _INTERNET, _INTERNET6 = 1, 2, 10
"""Socket families that a network namespace confines and ordinary code uses."""

_X32_CALLS = 0x40000000
"""Call numbers from here on belong to the x32 interface, which would bypass the numbers below."""

_FORBIDDEN: dict[str, tuple[int, int]] = {  # the call, its number on x86-64, its number on ARM64
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
    "shmat": (30, 196),
    "shmctl": (31, 195),
    "semget": (64, 190),
    "msgget": (68, 186),
    "vmsplice": (278, 75),
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "fanotify_init": (300, 262),
    "kexec_load": (246, 104),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Machine:
    arch: int
    """AUDIT_ARCH_* of the kernel's headers."""
    column: int
    """Which of the two numbers of `_FORBIDDEN` counts."""
    clone: int
    clone3: int
    socket: int


_MACHINES = {
    "x86_64": _Machine(arch=0xC000003E, column=0, clone=56, clone3=435, socket=41),
    "aarch64": _Machine(arch=0xC00000B7, column=1, clone=220, clone3=435, socket=198),
}


@dataclass(frozen=True, slots=True)
class _Instruction:
    """One instruction. Jumps name the label they go to; an empty label is the next line."""

    code: int
    value: int
    then: str = ""
    other: str = ""
    label: str = ""


def filter_program(machine: str) -> bytes | None:
    """The filter as the kernel takes it, for a machine as `platform.machine()` names it; `None` if unknown."""
    known = _MACHINES.get(machine)
    if known is None:
        return None
    return _assemble(_lines(known))


def _lines(machine: _Machine) -> list[_Instruction]:
    refused = [_Instruction(_EQUAL, numbers[machine.column], "refuse") for numbers in _FORBIDDEN.values()]
    return [
        _Instruction(_LOAD, _ARCH_AT),
        _Instruction(_EQUAL, machine.arch, "", "kill"),
        _Instruction(_LOAD, _NUMBER_AT),
        _Instruction(_AT_LEAST, _X32_CALLS, "refuse"),
        # The flags of clone3 are behind a pointer, out of a filter's sight. Libraries fall back to clone without it.
        _Instruction(_EQUAL, machine.clone3, "absent"),
        _Instruction(_EQUAL, machine.clone, "clone"),
        _Instruction(_EQUAL, machine.socket, "socket"),
        *refused,
        _Instruction(_RETURN, _ALLOW),
        _Instruction(_LOAD, _ARGUMENT_AT, label="clone"),
        _Instruction(_ANY_BIT, _NEW_NAMESPACES, "refuse", "allow"),
        _Instruction(_LOAD, _ARGUMENT_AT, label="socket"),
        _Instruction(_EQUAL, _LOCAL, "allow"),
        _Instruction(_EQUAL, _INTERNET, "allow"),
        _Instruction(_EQUAL, _INTERNET6, "allow"),
        _Instruction(_RETURN, _NOT_PERMITTED, label="refuse"),
        _Instruction(_RETURN, _NO_SUCH_CALL, label="absent"),
        _Instruction(_RETURN, _KILL, label="kill"),
        _Instruction(_RETURN, _ALLOW, label="allow"),  # jumps go forwards only
    ]


def _assemble(lines: list[_Instruction]) -> bytes:
    places = {line.label: index for index, line in enumerate(lines) if line.label}

    def distance(index: int, label: str) -> int:
        return places[label] - index - 1 if label else 0

    return b"".join(
        struct.pack("=HBBI", line.code, distance(i, line.then), distance(i, line.other), line.value)
        for i, line in enumerate(lines)
    )

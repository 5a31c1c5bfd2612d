"""The system-call filter as the kernel would read it: a little interpreter of its own runs the program."""

from __future__ import annotations

import struct

import pytest

from sale.agents.tools.seccomp import filter_program

ALLOW, REFUSE, ABSENT, KILL = 0x7FFF0000, 0x00050001, 0x00050026, 0x80000000
ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}


def verdict(program: bytes, *, arch: int, number: int, argument: int = 0) -> int:
    """What the filter says to a call."""
    data = struct.pack("=IIQ6Q", number, arch, 0, argument, *([0] * 5))
    lines = list(struct.iter_unpack("=HBBI", program))
    at = value = 0
    while True:
        code, then, other, constant = lines[at]
        at += 1
        match code:
            case 0x20:
                (value,) = struct.unpack_from("=I", data, constant)
            case 0x15:
                at += then if value == constant else other
            case 0x35:
                at += then if value >= constant else other
            case 0x45:
                at += then if value & constant else other
            case 0x06:
                return constant
            case _:
                raise AssertionError(code)


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_every_call_gets_a_verdict(machine: str) -> None:
    program = filter_program(machine)
    assert program is not None
    verdicts = [verdict(program, arch=ARCH[machine], number=number) for number in range(600)]
    assert set(verdicts) == {ALLOW, REFUSE, ABSENT}
    assert verdicts.count(ABSENT) == 1
    assert verdicts.count(REFUSE) == 41  # the list, and a socket of family 0


CALLS = {
    "x86_64": {"read": 0, "write": 1, "execve": 59, "ptrace": 101, "memfd_create": 319, "bpf": 321, "clone3": 435},
    "aarch64": {"read": 63, "write": 64, "execve": 221, "ptrace": 117, "memfd_create": 279, "bpf": 280, "clone3": 435},
}
WANTED = {"ptrace": REFUSE, "memfd_create": REFUSE, "bpf": REFUSE, "clone3": ABSENT}


@pytest.mark.parametrize("machine", CALLS)
def test_known_calls(machine: str) -> None:
    program = filter_program(machine) or b""
    for name, number in CALLS[machine].items():
        assert verdict(program, arch=ARCH[machine], number=number) == WANTED.get(name, ALLOW), name


@pytest.mark.parametrize(("machine", "clone", "socket"), [("x86_64", 56, 41), ("aarch64", 220, 198)])
def test_clone_and_socket_depend_on_their_argument(machine: str, clone: int, socket: int) -> None:
    program = filter_program(machine) or b""

    def said(number: int, argument: int) -> int:
        return verdict(program, arch=ARCH[machine], number=number, argument=argument)

    assert said(clone, 0x003D0F00) == ALLOW  # a thread
    assert said(clone, 17) == ALLOW  # a fork
    for bit in (0x20000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000):
        assert said(clone, bit | 17) == REFUSE
    assert [family for family in range(50) if said(socket, family) == ALLOW] == [1, 2, 10]


def test_other_architectures_are_killed_and_x32_is_refused() -> None:
    program = filter_program("x86_64") or b""
    assert verdict(program, arch=0x40000003, number=20) == KILL
    assert verdict(program, arch=ARCH["x86_64"], number=0x40000000) == REFUSE


def test_unknown_machines_have_no_filter() -> None:
    assert filter_program("riscv64") is None

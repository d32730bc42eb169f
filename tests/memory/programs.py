"""Small programs, as models and for a brute force that knows nothing of Systems."""

from __future__ import annotations

import random
from dataclasses import dataclass

Buffer = tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Op:
    """One operation of a straight program; what it reads goes to a register of its own."""

    kind: str  # read, write, xchg, mb
    var: str = ""
    value: int = 0

    @property
    def reads(self) -> bool:
        return self.kind in ("read", "xchg")


Program = list[list[Op]]


def lines(program: Program) -> str:
    """The program as a model."""
    text = ["model t; sort CPU = 1; var x : 0..3; var y : 0..3; var z : 0..3;"]
    for t, ops in enumerate(program):
        body = []
        for n, op in enumerate(ops):
            match op.kind:
                case "write":
                    body.append(f"{op.var} = {op.value};")
                case "mb":
                    body.append("smp_mb();")
                case _:
                    call = op.var if op.kind == "read" else f"xchg({op.var}, {op.value})"
                    text.append(f"ghost var g{t}_{n} : 0..3;")
                    body.append(f"let r{n} = {call}; g{t}_{n} = r{n};")
        text.append(f"thread t{t} {{ {' '.join(body)} }}")
    return "\n".join(text)


def random_program(rng: random.Random) -> Program:
    """Two or three threads of up to four operations."""
    threads = []
    for _ in range(rng.choice((2, 2, 3))):
        ops = []
        for _ in range(rng.randint(2, 4)):
            kind = rng.choice(("read", "read", "read", "write", "write", "write", "xchg", "mb"))
            ops.append(Op(kind, "" if kind == "mb" else rng.choice("xyz"), rng.randint(1, 3)))
        threads.append(ops)
    return threads


def outcomes_under_tso(program: Program, depth: int) -> set[tuple[int, ...]]:
    """All registers and memory that can be there at the end, by trying everything."""
    found: set[tuple[int, ...]] = set()
    seen = set()
    start = (tuple(0 for _ in program), tuple(() for _ in program), (("x", 0), ("y", 0), ("z", 0)), ())
    todo: list[tuple] = [start]
    while todo:
        state = todo.pop()
        if state in seen:
            continue
        seen.add(state)
        at, buffers, memory, registers = state
        moved = False
        for t, ops in enumerate(program):
            if buffers[t]:
                moved = True
                (var, value), *rest = buffers[t]
                todo.append((at, _put(buffers, t, tuple(rest)), _assign(memory, var, value), registers))
            if at[t] == len(ops):
                continue
            op = ops[at[t]]
            after = _put(at, t, at[t] + 1)
            seen_value = dict(memory) | dict(buffers[t])
            if op.kind == "read":
                moved = True
                todo.append((after, buffers, memory, (*registers, (t, at[t], seen_value[op.var]))))
            elif op.kind == "write" and len(buffers[t]) < depth:
                moved = True
                todo.append((after, _put(buffers, t, (*buffers[t], (op.var, op.value))), memory, registers))
            elif op.kind == "mb" and not buffers[t]:
                moved = True
                todo.append((after, buffers, memory, registers))
            elif op.kind == "xchg" and not buffers[t]:
                moved = True
                got = (*registers, (t, at[t], dict(memory)[op.var]))
                todo.append((after, buffers, _assign(memory, op.var, op.value), got))
        if not moved:
            found.add((*(value for _, _, value in sorted(registers)), *(value for _, value in memory)))
    return found


def _put(items: tuple, at: int, item: object) -> tuple:
    return (*items[:at], item, *items[at + 1 :])


def _assign(memory: Buffer, var: str, value: int) -> Buffer:
    return tuple((name, value if name == var else old) for name, old in memory)

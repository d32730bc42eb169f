"""Litmus tests at random, with a condition that is always true: all their ends are counted."""

from __future__ import annotations

import random

_FENCES = {"m": "smp_mb();", "w": "smp_wmb();", "r": "smp_rmb();"}


def random_litmus(rng: random.Random, *, pointers: bool = False) -> str:
    """Two or three threads of some accesses, fences and locks; with `pointers` also branches and cmpxchg."""
    count = 2 if pointers else rng.choice((2, 2, 3))
    lines, asked = ["C random", "{ p=x; }" if pointers else "{}"], ["x", "y", *(["p"] if pointers else [])]
    for t in range(count):
        body, registers = _thread(rng, 4 if count == 2 else 3, pointers=pointers)
        declared = "".join(f"int {r}; " for r in registers)
        lines.append(f"P{t}(int *x, int *y, int **p, spinlock_t *s) {{ {declared}{' '.join(body)} }}")
        asked += [f"{t}:{r}" for r in registers]
    condition = " /\\ ".join(f"{a}!=77" for a in asked)
    return "\n".join([*lines, f"exists ({condition})"])


def _thread(rng: random.Random, most: int, *, pointers: bool) -> tuple[list[str], list[str]]:
    body, registers, held = list[str](), list[str](), False
    for n in range(rng.randint(2, most)):
        place, register = rng.choice("xy"), f"r{n}"
        what = rng.choice("RRRWWWABXmwr" + ("CPPDI" if pointers else "LL"))
        order = rng.choice(("", "_relaxed", "_acquire", "_release"))
        reads = {
            "R": f"READ_ONCE(*{place})", "A": f"smp_load_acquire({place})", "P": f"READ_ONCE(*q{n})",
            "X": f"xchg{order}({place}, {rng.randint(1, 2)})", "C": f"cmpxchg{order}({place}, 0, {rng.randint(1, 2)})",
        }  # fmt: skip
        if what in reads:
            if what == "P":
                body.append(f"q{n} = READ_ONCE(*p);")
            body.append(f"{register} = {reads[what]};")
            registers += [register] if what != "P" else [f"q{n}", register]
        elif what in "WB":
            number = [r for r in registers if r[0] == "r"][-1:]
            value = rng.choice([str(rng.randint(1, 2)), *(f"{r} + 1" for r in number)])
            body.append(f"{'WRITE_ONCE(*' if what == 'W' else 'smp_store_release('}{place}, {value});")
        elif what == "D":
            body.append(rng.choice(("WRITE_ONCE(*p, y);", "smp_store_release(p, y);")))
        elif what == "I" and registers:
            body.append(f"if ({registers[-1]} == 1) WRITE_ONCE(*{place}, 2);")
        elif what == "L":
            body.append("spin_unlock(s);" if held else "spin_lock(s);")
            held = not held
        elif what in _FENCES:
            body.append(_FENCES[what])
    return body + ["spin_unlock(s);"] * held, registers

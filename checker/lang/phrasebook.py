"""A phrase book for kernel developers: how things are written here, and what C's words and signs are.

Only messages and hints are made from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

STATEMENTS: Final = frozenset({
    "let", "if", "while", "loop", "either", "for", "forall", "pick", "await", "assert", "break", "continue",
    "return", "skip", "irqs", "preempt", "atomic", "call", "send", "wait", "switch_to", "free",
})  # fmt: skip
DECLARATIONS: Final = frozenset({
    "use", "config", "enum", "sort", "object", "static", "record", "var", "percpu", "hw", "ghost", "fn", "proc",
    "interrupt", "nmi", "thread", "task", "hardware", "init", "invariant", "lemma", "step", "cover", "final", "check",
    "ordered", "weak",
})  # fmt: skip
"""The words that begin a statement, and those that begin a declaration."""

FORMS: Final[Mapping[str, str]] = {
    "model": "model NAME;",
    "library": "library NAME;",
    "use": 'use "std/mm";',
    "config": "config NAME = true;",
    "enum": "enum NAME { FIRST, SECOND }",
    "sort": "sort NAME = 2;  (a check can set another size)",
    "object": "object NAME = 2 { field : TYPE; }",
    "record": "record NAME { field : TYPE; }",
    "static": "static NAME : SORT;",
    "var": "var NAME : TYPE = VALUE;  (the index of an array follows its type: TYPE[CPU])",
    "percpu": "percpu NAME : TYPE = VALUE;",
    "fn": "fn NAME(x : TYPE) : TYPE = EXPRESSION;",
    "proc": "proc NAME(x : TYPE) { ... }, or proc NAME(x : TYPE) : TYPE { ... } if it returns a value",
    "interrupt": "interrupt NAME(x : TYPE) { ... }",
    "nmi": "nmi NAME(x : TYPE) { ... }",
    "thread": "thread NAME on CPU { ... }",
    "task": "task NAME[t : TASK] { ... }",
    "hardware": "hardware NAME on CPU { ... }",
    "init": "init { ... }",
    "invariant": 'invariant NAME "what it says" : CONDITION;',
    "lemma": 'lemma NAME "what it says" : CONDITION;',
    "step": 'step NAME "what it says" : CONDITION;',
    "cover": 'cover NAME "what it says" : CONDITION;',
    "final": "final CONDITION;",
    "check": "check NAME { CPU = 3; SET_MASK = false; } expect pass;",
    "let": "let NAME = VALUE;",
    "if": "if CONDITION { ... } else { ... }",
    "while": "while CONDITION { ... }",
    "loop": "loop { ... }",
    "either": "either { ... } or { ... }",
    "for": "for c : CPU where CONDITION { ... }",
    "forall": "forall c : CPU where CONDITION { ... }",
    "exists": "exists c : CPU where CONDITION { ... }",
    "pick": "pick c : CPU where CONDITION;",
    "await": "await CONDITION;",
    "assert": 'assert CONDITION, "what it says";',
    "irqs": "irqs off { ... }",
    "preempt": "preempt off { ... }",
    "atomic": "atomic { ... }",
    "call": "call HANDLER(...) on MASK;  (a proc is called by its name alone)",
    "send": "send HANDLER(...) to MASK;",
    "wait": "wait HANDLER;",
    "switch_to": "switch_to TASK;",
    "free": "free OBJECT;",
    "alloc": "let m = alloc mm;",
    "set": "set of SORT",
    "seq": "seq of TYPE max 3",
}
"""How each thing is written, by its first word."""

LOCAL: Final = "a local is declared with let, as in let m = init_mm;"
C_TYPES: Final = ("int", "bool", "unsigned", "long", "char", "u8", "u16", "u32", "u64", "atomic_t", "const")

WORDS: Final[Mapping[str, str]] = {
    "and": "'and' is written &&",
    "or": "'or' is written ||",
    "not": "'not' is written !",
    "is": "'is' is written ==",
    "mod": "numbers are only added, subtracted and compared",
    "implies": "'implies' is written =>",
    "then": "it is written if CONDITION { ... }",
    "elif": "it is written else if CONDITION { ... }",
    "elsif": "it is written else if CONDITION { ... }",
    "do": "a loop is written loop { ... if CONDITION { break; } }, or while CONDITION { ... }",
    "switch": "there is no switch: write if ... { } else if ... { }",
    "case": "there is no switch: write if ... { } else if ... { }",
    "default": "there is no switch: write if ... { } else if ... { }",
    "goto": "there is no goto: use loop, break, continue and return",
    "forever": "it is written loop { ... }",
    "repeat": "it is written loop { ... }",
    "until": "it is written while !CONDITION { ... }",
    "new": "it is written let m = alloc mm;",
    "struct": "objects are allocated and freed, as in object mm = 2 { ... }; a record is a plain value",
    "typedef": "a type is a sort, an object, an enum or a record",
    "function": f"it is written {FORMS['proc']}",
    "func": f"it is written {FORMS['proc']}",
    "def": f"it is written {FORMS['proc']}",
    "void": f"it is written {FORMS['proc']}",
    "inline": f"it is written {FORMS['proc']}",
    "extern": f"it is written {FORMS['proc']}",
    "process": f"it is written {FORMS['thread']}",
    "module": "a file begins with 'model NAME;'",
}
"""Words that mean nothing here, and what to write for them."""

SIGNS: Final[tuple[tuple[str, str, str], ...]] = (
    (r"/\*", "LZ102", "the comment that begins here does not end|"),
    (r"(?<=\))\s*->", "LZ101", "there is no '->'|a result follows a colon: proc NAME(x : TYPE) : TYPE { ... }"),
    (r"(?<=\w)'(?!\w)", "LZ102", "there are no primes|the next value of a variable is next(x), in a step property"),
    (r"->", "LZ101", "there is no '->'|there are no pointers: write '.', as in m.count"),
    (r"\+\+", "LZ101", "there is no '++'|write a statement of its own: x += 1;"),
    (r"--", "LZ101", "there is no '--'|write a statement of its own: x -= 1;"),
    (r"(\*|/|%|\||\^|<<|>>)=", "LZ102", "there is no such assignment|only =, +=, -= and &= assign"),
    (r"===", "LZ101", "there is no '==='|equality is =="),
    (r"<>", "LZ101", "there is no '<>'|inequality is !="),
    (r"=<", "LZ101", "there is no '=<'|'at most' is <="),
    (r":=", "LZ101", "there is no ':='|to assign, write ="),
    (r"<<|>>", "LZ101", "there are no shifts|numbers are only added, subtracted and compared"),
    (r"[*/%]", "LZ102", "there is no {}|numbers are only added, subtracted and compared, and there are no pointers"),
    (r"\|", "LZ102", "there is no {}|'or' is ||, and the union of two sets is a + b"),
    (r"[~^]", "LZ102", "there is no {}|'not' is !, and the difference of two sets is a - b"),
    (r"#.*", "LZ102", 'there is no preprocessor|a constant is a config, and a library is taken in with use "..."'),
    (r"'.*", "LZ102", "there are no character constants|a text stands in double quotes"),
    (r'".*', "LZ102", "this text does not end on its line|close it with a double quote"),
)
"""Signs that mean nothing here: a pattern, the code, the message and the hint."""

_NUMBER = "a number has a range, as in 0..3"
_COUNTER = "a counter of references is a refcount, another number has a range, as in 0..3"
_THIS_CPU = "the CPU that runs this is 'this_cpu'"
_ASSERT = 'write assert !CONDITION, "what it says";'
_IPI = "write call HANDLER(...) on MASK;"
_BIT = "to add an element to a set or take it out, write mask += x; or mask -= x;"
NAMES: Final[Mapping[str, str]] = MappingProxyType(
    {
        **dict.fromkeys(("NULL", "nil", "None", "none", "nullptr"), "did you mean 'null'?"),
        **dict.fromkeys(("TRUE", "True"), "did you mean 'true'?"),
        **dict.fromkeys(("FALSE", "False"), "did you mean 'false'?"),
        **dict.fromkeys(("smp_processor_id", "raw_smp_processor_id", "get_cpu"), _THIS_CPU),
        **dict.fromkeys(("int", "unsigned", "long", "u8", "u16", "u32", "u64", "s32", "s64", "size_t"), _NUMBER),
        **dict.fromkeys(("atomic_t", "atomic_long_t", "atomic64_t"), _COUNTER),
        "refcount_t": "did you mean 'refcount'?",
        "spinlock_t": "did you mean 'spinlock'?",
        "cpumask_t": "did you mean 'set of CPU'?",
        "cpumask": "did you mean 'set of CPU'?",
        "list_head": "did you mean 'seq of TYPE max 3', or 'set of SORT'?",
        **dict.fromkeys(("WARN_ON", "WARN_ON_ONCE", "VM_WARN_ON_ONCE", "BUG_ON", "VM_BUG_ON"), _ASSERT),
        **dict.fromkeys(("on_each_cpu_mask", "on_each_cpu", "smp_call_function_many"), _IPI),
        "cpu_relax": "to wait until something holds, write await CONDITION;",
        "cpumask_set_cpu": _BIT,
        "cpumask_clear_cpu": _BIT,
        "cpumask_test_cpu": "to ask for an element of a set, write x in mask",
        "cpumask_empty": "to ask whether a set is empty, write mask == {}",
        **dict.fromkeys(("printk", "pr_info", "pr_warn", "trace_printk"), "leave it out: a trace shows every step"),
    }
)
"""Names and types of the kernel that a model does not need to declare, or has under another name."""

"""The primitives of the language: what the kernel's own primitives are called, take and return.

A model may define a proc or fn of the same name; its definition wins.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from checker.records import dataclass


@dataclass(frozen=True, slots=True)
class Primitive:
    """A primitive's shape.

    `params` holds one word per parameter: `place` (something that can be assigned
    to), `value` (of that place's type), `refcount`, `kind?` (a holder kind, needed where the
    refcount declares them), `spinlock`, `mutex`, `rwlock`, `lock`, `seq`, `element` (of the seq), `object`,
    `set`, `task`, `cpu`, `bool`, `number`, `flag` (a bool place), `any`.  `result`: bool, int, place (the type of the
    first parameter), element, task (or null), `none`.  An `effect` changes the state, so it stands alone.
    """

    params: tuple[str, ...]
    result: str
    effect: bool = True
    order: str = "full"


def _table() -> dict[str, Primitive]:
    table = {
        "live": Primitive(("object",), "bool", effect=False),
        "len": Primitive(("seq",), "int", effect=False),
        "size": Primitive(("set",), "int", effect=False),
        "running": Primitive(("task",), "bool", effect=False),
        "task_on": Primitive(("cpu",), "task", effect=False),
        "held": Primitive(("lock",), "bool", effect=False),
        "irqs_disabled": Primitive((), "bool", effect=False),
        "next": Primitive(("any",), "place", effect=False),
        "READ_ONCE": Primitive(("place",), "place", effect=False, order="once"),
        "smp_load_acquire": Primitive(("place",), "place", effect=False, order="acquire"),
        "WRITE_ONCE": Primitive(("place", "value"), "none", order="once"),
        "smp_store_release": Primitive(("place", "value"), "none", order="release"),
        "await_acquire": Primitive(("bool",), "none", order="acquire"),
        "get": Primitive(("refcount", "kind?"), "none", order="relaxed"),
        "put": Primitive(("refcount", "kind?"), "bool"),
        "get_unless_zero": Primitive(("refcount", "kind?"), "bool"),
        "push": Primitive(("seq", "element"), "none"),
        "pop": Primitive(("seq",), "element"),
        "clear": Primitive(("seq",), "none"),
        "atomic_inc": Primitive(("number",), "none", order="relaxed"),
        "atomic_dec": Primitive(("number",), "none", order="relaxed"),
        "atomic_inc_return": Primitive(("number",), "place"),
        "atomic_dec_return": Primitive(("number",), "place"),
        "atomic_dec_and_test": Primitive(("number",), "bool"),
        "atomic_inc_not_zero": Primitive(("number",), "bool"),
        "test_and_set": Primitive(("flag",), "bool"),
        "test_and_clear": Primitive(("flag",), "bool"),
        "local_irq_disable": Primitive((), "none"),
        "local_irq_enable": Primitive((), "none"),
        "local_irq_save": Primitive((), "none"),
        "local_irq_restore": Primitive((), "none"),
        "preempt_disable": Primitive((), "none"),
        "preempt_enable": Primitive((), "none"),
        "spin_lock": Primitive(("spinlock",), "none", order="acquire"),
        "spin_unlock": Primitive(("spinlock",), "none", order="release"),
        "spin_trylock": Primitive(("spinlock",), "bool", order="acquire"),
        "mutex_lock": Primitive(("mutex",), "none", order="acquire"),
        "mutex_unlock": Primitive(("mutex",), "none", order="release"),
        "mutex_trylock": Primitive(("mutex",), "bool", order="acquire"),
        "read_lock": Primitive(("rwlock",), "none", order="acquire"),
        "read_unlock": Primitive(("rwlock",), "none", order="release"),
        "write_lock": Primitive(("rwlock",), "none", order="acquire"),
        "write_unlock": Primitive(("rwlock",), "none", order="release"),
        "might_sleep": Primitive((), "none"),
    }
    for fence in FENCES:
        table[fence] = Primitive((), "none")
    for suffix, order in (("", "full"), ("_relaxed", "relaxed"), ("_acquire", "acquire"), ("_release", "release")):
        table["xchg" + suffix] = Primitive(("place", "value"), "place", order=order)
        table["cmpxchg" + suffix] = Primitive(("place", "value", "value"), "place", order=order)
        table["try_cmpxchg" + suffix] = Primitive(("place", "value", "value"), "bool", order=order)
    return table


FENCES: Final = (
    "smp_mb",
    "smp_rmb",
    "smp_wmb",
    "smp_mb__before_atomic",
    "smp_mb__after_atomic",
    "smp_mb__after_spinlock",
    "smp_mb__after_unlock_lock",
    "barrier",
)

PRIMITIVES: Final[Mapping[str, Primitive]] = MappingProxyType(_table())

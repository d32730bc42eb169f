"""`dataclass`, as the standard library has it, but quick to declare.

The standard decorator writes and compiles up to seven methods for every class when its module is
imported, which took a third of the time to start.  Here a method is written when it is first
called, and most classes never need most of them.  That nobody assigns to a field of a frozen
class is left to the type checker, so making an instance is quicker as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

__all__ = ["dataclass"]

if TYPE_CHECKING:
    from dataclasses import dataclass
else:
    import dataclasses
    from collections.abc import Callable
    from functools import partial
    from typing import Any

    def dataclass(cls: type | None = None, *, frozen: bool = False, slots: bool = False, kw_only: bool = False) -> Any:
        """Declare a dataclass; the arguments are those of the standard decorator."""
        if cls is None:
            return partial(dataclass, frozen=frozen, slots=slots, kw_only=kw_only)
        own = set(cls.__dict__)
        if not cls.__doc__:
            cls.__doc__ = cls.__name__  # or the standard decorator works out a signature to put here
        made = dataclasses.dataclass(init=False, repr=False, eq=False, slots=slots, kw_only=kw_only)(cls)
        for name, write in _WRITERS.items():
            if name not in own:
                setattr(made, name, _written_when_called(made, name, write))
        if "__hash__" not in own:
            made.__hash__ = _written_when_called(made, "__hash__", _hash) if frozen else None
        if "__repr__" not in own:
            made.__repr__ = _repr
        return made

    def _written_when_called(cls: type, name: str, write: Callable[[type], Callable[..., Any]]) -> Callable[..., Any]:
        def method(*args: Any, **keywords: Any) -> Any:
            written = write(cls)
            setattr(cls, name, written)
            return written(*args, **keywords)

        return method

    def _init(cls: type) -> Callable[..., Any]:
        known: dict[str, Any] = {"MISSING": dataclasses.MISSING}
        positional: list[str] = []
        by_name: list[str] = []
        body: list[str] = []
        fields = dataclasses.fields(cls)
        me = "this_record" if any(f.name == "self" for f in fields) else "self"
        for f in fields:
            taken, value = f.name, f.name
            if f.default is not dataclasses.MISSING:
                known[f"default_{f.name}"] = f.default
                taken += f"=default_{f.name}"
            elif f.default_factory is not dataclasses.MISSING:
                known[f"default_{f.name}"] = f.default_factory
                taken += "=MISSING"
                value = f"default_{f.name}() if {f.name} is MISSING else {f.name}"
            (by_name if f.kw_only else positional).append(taken)
            body.append(f"{me}.{f.name} = {value}")
        if hasattr(cls, "__post_init__"):
            body.append(f"{me}.__post_init__()")
        parameters = [me, *positional, *(["*", *by_name] if by_name else [])]
        return _compiled("__init__", ", ".join(parameters), "; ".join(body) or "pass", known)

    def _compared(cls: type, of: str) -> str:
        return "(" + "".join(f"{of}.{f.name}, " for f in dataclasses.fields(cls) if f.compare) + ")"

    def _eq(cls: type) -> Callable[..., Any]:
        same = f"{_compared(cls, 'self')} == {_compared(cls, 'other')}"
        return _compiled(
            "__eq__", "self, other", f"return {same} if other.__class__ is self.__class__ else NotImplemented", {}
        )

    def _hash(cls: type) -> Callable[..., Any]:
        return _compiled("__hash__", "self", f"return hash({_compared(cls, 'self')})", {})

    def _repr(self: Any) -> str:
        shown = ", ".join(f"{f.name}={getattr(self, f.name)!r}" for f in dataclasses.fields(self) if f.repr)
        return f"{type(self).__qualname__}({shown})"

    def _compiled(name: str, parameters: str, body: str, known: dict[str, Any]) -> Callable[..., Any]:
        exec(f"def {name}({parameters}): {body}", known)
        return known[name]

    _WRITERS = {"__init__": _init, "__eq__": _eq}

"""herd's C litmus tests, as far as the kernel's own use them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from checker.lang.diagnostics import UserError
from checker.litmus.program import (
    NOWHERE,
    OLD,
    Apply,
    Assign,
    Branch,
    Expr,
    Fence,
    Instruction,
    Jump,
    Litmus,
    Load,
    Lock,
    Name,
    Number,
    Order,
    Store,
    Thread,
    Update,
    Word,
)

_TOKEN = re.compile(r"\s*(?:(\d+:\w+)|(0x[0-9a-fA-F]+|\d+)|(\w+)|(/\\|\\/|==|!=|<=|>=|&&|\|\||->|\S))")
_FENCES = {
    "smp_mb": "mb", "smp_rmb": "rmb", "smp_wmb": "wmb", "barrier": "", "smp_mb__before_atomic": "mb",
    "smp_mb__after_atomic": "mb", "smp_mb__after_spinlock": "mb", "smp_mb__after_unlock_lock": "mb",
    "rcu_read_lock": "", "rcu_read_unlock": "",
}  # fmt: skip
_LOADS: dict[str, Order] = {
    "READ_ONCE": "once", "smp_load_acquire": "acquire", "rcu_dereference": "once", "atomic_read": "once",
    "atomic_read_acquire": "acquire",
}  # fmt: skip
_STORES: dict[str, Order] = {
    "WRITE_ONCE": "once", "smp_store_release": "release", "rcu_assign_pointer": "release", "atomic_set": "once",
    "atomic_set_release": "release",
}  # fmt: skip
_BINARY = {"\\/": 1, "||": 1, "/\\": 2, "&&": 2, "|": 3, "^": 4, "&": 5, "==": 6, "=": 6, "!=": 6, "<": 7, ">": 7,
           "<=": 7, ">=": 7, "+": 8, "-": 8, "*": 9}  # fmt: skip
_ATOMIC = re.compile(
    r"atomic_(?:(fetch)_)?(inc|dec|add|sub|and|or|xor)(?:_(return))?(_and_test)?(_relaxed|_acquire|_release)?$"
)
_EXCHANGE = re.compile(r"(?:atomic_)?(xchg|cmpxchg)(_relaxed|_acquire|_release)?$")


def parse(text: str, file: str) -> Litmus:
    """The test in a file's text; UserError where it is not one, or uses what is not supported."""
    return _Parser(text, file).litmus()


class _Parser:
    def __init__(self, text: str, file: str) -> None:
        self._file = file
        self._expected = _stated(text)
        bare = re.sub(r"\(\*(?=\s).*?\*\)|/\*.*?\*/", lambda m: "\n" * m.group().count("\n"), text, flags=re.DOTALL)
        bare = re.sub(r"//[^\n]*", "", bare)
        first, _, rest = bare.lstrip("\n").partition("\n")
        head = first.split()
        if len(head) < 2 or head[0] != "C":
            raise self._wrong("a litmus test begins with C and its name")
        self._name = head[1]
        start = rest.find("{")  # before it, diy writes how it made the test
        if start < 0:
            raise self._wrong("there is no '{' with the initial values behind the name")
        rest = rest[start:]
        self._tokens = [m.group(m.lastindex or 0) for m in _TOKEN.finditer(rest)]
        self._at = 0
        self._notes: list[str] = []
        self._locations: dict[str, Word] = {}
        self._threads: list[Thread] = []
        # of the thread that is being read
        self._code: list[Instruction] = []
        self._texts: list[str] = []
        self._registers: set[str] = set()
        self._params: set[str] = set()

    def _wrong(self, what: str) -> UserError:
        return UserError.of("LZ101", f"{self._file}: {what}")

    # -- tokens

    def _peek(self, ahead: int = 0) -> str:
        at = self._at + ahead
        return self._tokens[at] if at < len(self._tokens) else ""

    def _next(self) -> str:
        if self._at >= len(self._tokens):
            raise self._wrong("the text ends too early")
        self._at += 1
        return self._tokens[self._at - 1]

    def _take(self, token: str) -> bool:
        if self._peek() == token:
            self._at += 1
            return True
        return False

    def _expect(self, token: str) -> None:
        if not self._take(token):
            raise self._wrong(f"'{token}' is expected before '{self._peek() or 'the end'}'")

    # -- the file

    def litmus(self) -> Litmus:
        """The whole test."""
        registers = self._first()
        while re.fullmatch(r"P\d+", self._peek()):
            self._threads.append(self._thread())
        wanted: Expr | None = None
        while self._peek() in ("locations", "filter"):
            if self._next() == "locations":
                while self._next() != "]":
                    pass
                self._take(";")
            else:
                wanted = _addresses(self._expr())
        quantifier = self._next()
        if quantifier == "~":
            quantifier += self._next()
        if quantifier not in ("exists", "~exists", "forall"):
            raise self._wrong(f"'{quantifier}' is not supported; what is asked begins with exists, ~exists or forall")
        condition = _addresses(self._expr())
        return Litmus(
            self._name, tuple(self._threads), tuple(self._locations), dict(self._locations), registers,
            quantifier, condition, wanted, self._expected, tuple(dict.fromkeys(self._notes)),
        )  # fmt: skip

    def _first(self) -> dict[tuple[int, str], Word]:
        registers: dict[tuple[int, str], Word] = {}
        if not self._take("{"):
            return registers
        while not self._take("}"):
            if self._take(";"):
                continue
            while self._peek() in _TYPES or (self._peek() == "*"):
                self._next()
            name = self._next()
            value: Word = 0
            if self._take("["):
                raise self._wrong("arrays are not supported")
            if self._take("="):
                value = self._word()
            if ":" in name:
                thread, _, register = name.partition(":")
                registers[int(thread), register] = value
            else:
                self._locations[name] = value
        return registers

    def _word(self) -> Word:
        while self._peek() in ("(", ")", "&") or self._peek() in _TYPES:
            self._next()
        if self._take("-"):
            return -int(self._next(), 0)
        token = self._next()
        if re.fullmatch(r"0x[0-9a-fA-F]+|\d+", token):
            return int(token, 0)
        self._locations.setdefault(token, 0)
        return token

    def _thread(self) -> Thread:
        self._next()
        self._code, self._texts, self._registers, self._params = [], [], set(), set()
        self._expect("(")
        while not self._take(")"):
            token = self._next()
            if token not in (*_TYPES, "*", ","):
                self._params.add(token)
                self._locations.setdefault(token, 0)
        self._expect("{")
        self._block()
        return Thread(tuple(self._code), tuple(self._texts), frozenset(self._registers))

    # -- statements

    def _block(self) -> None:
        while not self._take("}"):
            self._statement()

    def _emit(self, instruction: Instruction, began: int) -> int:
        self._code.append(instruction)
        self._texts.append(_spelled(self._tokens[began : self._at]))
        return len(self._code) - 1

    def _statement(self) -> None:
        began = self._at
        if self._take(";"):
            return
        if self._take("{"):
            self._block()
            return
        if self._take("if"):
            self._if(began)
            return
        if self._peek() in ("while", "do", "for", "goto", "switch"):
            raise self._wrong(f"'{self._peek()}' is not supported")
        if self._peek() in _TYPES:
            while self._peek() in _TYPES or self._peek() == "*":
                self._next()
            while True:
                name = self._peek()
                self._registers.add(name)
                if self._peek(1) == "=":
                    self._assignment(self._at)
                else:
                    self._next()
                if not self._take(","):
                    break
                self._take("*")
            self._expect(";")
            return
        if self._peek() == "*" or self._peek(1) == "=":
            self._assignment(began)
        else:
            self._call(None, began)
        self._expect(";")

    def _if(self, began: int) -> None:
        self._expect("(")
        condition = self._value()
        self._expect(")")
        branch = self._emit(Branch(condition, 0), began)
        self._statement()
        if self._take("else"):
            jump = self._emit(Jump(0), self._at)
            self._code[branch] = Branch(condition, len(self._code))
            self._statement()
            self._code[jump] = Jump(len(self._code))
        else:
            self._code[branch] = Branch(condition, len(self._code))

    def _assignment(self, began: int) -> None:
        if self._take("*"):
            address = self._primary()
            self._expect("=")
            self._notes.append("plain accesses are taken as WRITE_ONCE() and READ_ONCE(), and races are not looked for")
            value = self._value()
            self._emit(Store(address, value, "once"), began)
            return
        register = self._next()
        self._registers.add(register)
        self._expect("=")
        self._casts()
        if self._peek(1) == "(" and re.match(r"[A-Za-z_]\w*$", self._peek()) and self._ends_call():
            self._call(register, began)
            return
        value = self._value()
        if isinstance(value, Name) and value.name == register:
            return
        self._emit(Assign(register, value), began)

    def _casts(self) -> None:
        while self._peek() == "(" and self._peek(1) in _TYPES:
            while self._next() != ")":
                pass

    def _ends_call(self) -> bool:
        """Whether a call is all of the right side."""
        depth, at = 0, self._at + 1
        while at < len(self._tokens):
            depth += {"(": 1, ")": -1}.get(self._tokens[at], 0)
            at += 1
            if depth == 0:
                return self._tokens[at] in (";", ",")
        return False

    def _call(self, register: str | None, began: int) -> None:
        name = self._next()
        self._expect("(")
        args: list[Expr] = []
        while not self._take(")"):
            args.append(self._argument(name, len(args)))
            self._take(",")
        for instruction in self._instructions(name, args, register):
            self._emit(instruction, began)

    def _argument(self, call: str, number: int) -> Expr:
        """An argument; the first of most is an address, given as a pointer or behind a `*` or `&`."""
        by_name = call in ("READ_ONCE", "WRITE_ONCE", "rcu_dereference", "rcu_assign_pointer")
        if number == 0 and by_name:
            self._expect("*")
            return self._primary()
        if self._take("&"):
            return self._primary()
        return self._value()

    def _instructions(self, name: str, args: list[Expr], register: str | None) -> Iterator[Instruction]:
        target = register if register is not None else NOWHERE
        if name in _FENCES:
            if _FENCES[name]:
                yield Fence(_FENCES[name])
        elif name in _LOADS:
            yield Load(target, args[0], _LOADS[name])
        elif name in _STORES:
            atomic_set = name.startswith("atomic_set")
            yield Store(args[0], args[1], _STORES[name])
            assert len(args) == 2 or atomic_set
        elif name == "smp_store_mb":
            yield Store(args[0], args[1], "once")
            yield Fence("mb")
        elif name in ("spin_lock", "spin_unlock"):
            yield Lock(args[0], name == "spin_lock")
        elif name == "spin_is_locked":
            yield Load(target, args[0], "once")
        elif found := _EXCHANGE.match(name):
            order = _order(found.group(2))
            if found.group(1) == "xchg":
                yield Update(register, args[0], args[1], order)
            else:
                yield Update(register, args[0], args[2], order, expected=args[1])
        elif found := _ATOMIC.match(name):
            yield from self._atomic(found, args, register)
        else:
            raise self._wrong(f"'{name}' is not supported")

    def _atomic(self, found: re.Match[str], args: list[Expr], register: str | None) -> Iterator[Instruction]:
        fetch, what, returns, test, suffix = found.groups()
        address = args[-1]
        amount: Expr = Number(1) if what in ("inc", "dec") else args[0]
        op = {"inc": "+", "add": "+", "dec": "-", "sub": "-", "and": "&", "or": "|", "xor": "^"}[what]
        new = Apply(op, (Name(OLD), amount))
        answers = bool(fetch or returns or test)
        order = _order(suffix) if answers else "relaxed"
        yield Update(register if answers else None, address, new, order, after=bool(returns or test))
        if test and register is not None:
            yield Assign(register, Apply("==", (Name(register), Number(0))))

    # -- expressions

    def _value(self) -> Expr:
        return self._expr()

    def _expr(self, least: int = 1) -> Expr:
        left = self._primary()
        while (level := _BINARY.get(self._peek(), 0)) >= least:
            op = self._next()
            op = {"=": "==", "/\\": "&&", "\\/": "||"}.get(op, op)
            left = Apply(op, (left, self._expr(level + 1)))
        return left

    def _primary(self) -> Expr:
        self._casts()
        if self._take("("):
            inner = self._expr()
            self._expect(")")
            return inner
        if self._peek() in ("!", "~", "not"):
            self._next()
            return Apply("!", (self._primary(),))
        if self._take("-"):
            return Apply("-", (Number(0), self._primary()))
        if self._take("["):
            name = self._next()
            self._expect("]")
            return Name(name)
        if self._take("&"):
            return self._primary()
        if self._take("*"):
            inner = self._primary()
            hidden = f"(load {len(self._code)})"
            self._notes.append("plain accesses are taken as WRITE_ONCE() and READ_ONCE(), and races are not looked for")
            self._code.append(Load(hidden, inner, "once"))
            self._texts.append(f"load {_spelled(self._tokens[self._at - 1 : self._at])}")
            self._registers.add(hidden)
            return Name(hidden)
        token = self._next()
        if self._peek() == "(" and re.match(r"[A-Za-z_]\w*$", token):
            self._at -= 1
            hidden = f"(call {len(self._code)})"
            self._registers.add(hidden)
            self._call(hidden, self._at)
            return Name(hidden)
        if re.fullmatch(r"0x[0-9a-fA-F]+|\d+", token):
            return Number(int(token, 0))
        if token in ("true", "false"):
            return Number(int(token == "true"))
        if not re.fullmatch(r"\w+|\d+:\w+", token):
            raise self._wrong(f"'{token or 'the end'}' is not expected here")
        return Name(token)


_TYPES = (
    "int",
    "volatile",
    "const",
    "unsigned",
    "long",
    "spinlock_t",
    "atomic_t",
    "struct",
    "void",
    "intptr_t",
    "uintptr_t",
)


def _addresses(expr: Expr) -> Expr:
    """A condition, in which a name on the right of a comparison is an address, `&x`, and on the left what is there."""
    match expr:
        case Apply("==" | "!=" as op, (left, Name(name))) if ":" not in name:
            return Apply(op, (left, Name(f"&{name}")))
        case Apply(op, args):
            return Apply(op, tuple(_addresses(a) for a in args))
        case _:
            return expr


def _order(suffix: str | None) -> Order:
    match suffix:
        case "_relaxed":
            return "relaxed"
        case "_acquire":
            return "acquire"
        case "_release":
            return "release"
        case _:
            return "full"


def _stated(text: str) -> str | None:
    """The result that a comment of the file states."""
    found = re.search(r"\bResult:\s*(Never|Sometimes|Always)\b", text)
    return found.group(1) if found else None


def _spelled(tokens: list[str]) -> str:
    text = " ".join(tokens).rstrip("; {")
    return re.sub(r" ?([(),*\[\]]) ?", r"\1", text).replace(",", ", ")

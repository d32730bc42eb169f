"""Declarations of a model and of the libraries it uses, joined into one table.

Five name spaces: values (configs, enum members, statics, variables), types
(sorts, objects, enums, records), callables (fns, procs, interrupts), threads
and properties together, and checks.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import field, replace
from pathlib import Path

from checker.lang import syntax as s
from checker.lang.diagnostics import Collector, Diagnostic, Note, UserError, nesting, suggest
from checker.lang.parser import Parser
from checker.lang.source import SourceFile, Span
from checker.records import dataclass

CPU = "CPU"
"""The sort whose elements are the processors."""

STD = Path(__file__).parent.parent / "std"

Value = s.Config | s.VarDecl | s.StaticDecl | s.EnumDecl


@dataclass(slots=True)
class Model:
    """All that a model declares, by name, and the texts it was read from."""

    name: str
    file: str
    doc: str
    sources: dict[str, SourceFile]
    span: Span
    configs: dict[str, s.Config] = field(default_factory=dict)
    enums: dict[str, s.EnumDecl] = field(default_factory=dict)
    sorts: dict[str, s.SortDecl] = field(default_factory=dict)
    objects: dict[str, s.ObjectDecl] = field(default_factory=dict)
    statics: dict[str, str] = field(default_factory=dict)  # name -> sort
    records: dict[str, s.RecordDecl] = field(default_factory=dict)
    vars: dict[str, s.VarDecl] = field(default_factory=dict)
    values: dict[str, Value] = field(default_factory=dict)
    fns: dict[str, s.FnDecl] = field(default_factory=dict)
    procs: dict[str, s.ProcDecl] = field(default_factory=dict)
    interrupts: dict[str, s.InterruptDecl] = field(default_factory=dict)
    threads: dict[str, s.ThreadDecl] = field(default_factory=dict)
    inits: list[s.InitDecl] = field(default_factory=list)
    properties: dict[str, s.PropertyDecl] = field(default_factory=dict)
    finals: list[s.FinalDecl] = field(default_factory=list)
    checks: dict[str, s.CheckDecl] = field(default_factory=dict)

    def has_sort(self, name: str) -> bool:
        """Whether a sort or an object of this name is declared."""
        return name in self.sorts or name in self.objects

    def field_of(self, owner: str, name: str) -> s.FieldDecl | None:
        """A field of an object or a record."""
        fields = self.objects[owner].fields if owner in self.objects else self.records[owner].fields
        return next((f for f in fields if f.name.text == name), None)

    def task_sorts(self) -> tuple[str, ...]:
        """The sorts whose elements are tasks."""
        tasks = [x.param.sort.text for x in self.threads.values() if x.kind == "task" and x.param is not None]
        return tuple(dict.fromkeys(tasks))

    def enum_of(self, member: str) -> s.EnumDecl | None:
        """The enum that has a member of this name."""
        value = self.values.get(member)
        return value if isinstance(value, s.EnumDecl) else None


def load_model(path: str, parser: Parser | None = None, *, text: str | None = None) -> Model:
    """Read a model and what it uses; raises UserError with every error of names.

    `text` stands in for the file's content (an editor's unsaved buffer, a test).
    """
    parser = parser or Parser()
    reader = _Reader(parser)
    main = reader.read(path, path, None, text)
    if reader.found.failed:
        raise UserError(reader.found.diagnostics, reader.sources)
    if main.library:
        hint = f'take it into a model with use "{Path(path).stem}";'
        wrong = Diagnostic("LZ309", f"'{path}' is a library: it has nothing to check", main.span, hint=hint)
        raise UserError([wrong], reader.sources)
    model = Model(main.name.text, path, main.doc, reader.sources, main.span)
    found = Collector()
    joiner = _Joiner(model, found)
    for file in [*reader.libraries, main]:
        joiner.add(file)
    joiner.finish()
    if found.failed:
        raise UserError(found.diagnostics, reader.sources)
    return model


class _Reader:
    """Reads files, each once, libraries before what uses them."""

    def __init__(self, parser: Parser) -> None:
        self._parser = parser
        self._open: list[Path] = []
        self._done: set[Path] = set()
        self.sources: dict[str, SourceFile] = {}
        self.libraries: list[s.File] = []
        self.found = Collector()

    def read(self, path: str, shown: str, use: s.Use | None, text: str | None = None) -> s.File:
        place = use.span if use else None
        key = Path(path).resolve()
        try:
            content = text if text is not None else Path(path).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            raise self._unreadable(f"'{shown}' is not a text in UTF-8", place) from None
        except OSError as error:
            raise self._unreadable(f"cannot read '{shown}': {error.strerror}", place) from None
        source = SourceFile(shown, content)
        self.sources[shown] = source
        with nesting(Span(shown, 1, 1, 1, 1)):
            file = self._parser.parse(source, keep=text is None)
        self._open.append(key)
        for declaration in file.declarations:
            if isinstance(declaration, s.Use):
                self._use(declaration, Path(path).parent)
        self._open.pop()
        self._done.add(key)
        return file

    def _use(self, use: s.Use, folder: Path) -> None:
        standard = use.path.startswith("std/")
        wanted = use.path.removeprefix("std/") if standard else use.path
        if not Path(wanted).name or "\0" in wanted:
            self.found.error("LZ203", f"'{use.path}' names no file", use.span, hint='write use "std/NAME";')
            return
        path = (STD if standard else folder).joinpath(wanted).with_suffix(".lzm")
        key = path.resolve()
        if key in self._done:
            return
        if key in self._open:
            self.found.error("LZ205", f"'{use.path}' is used by a file that it uses itself", use.span)
            return
        if not path.is_file():
            known = [f"std/{p.stem}" for p in sorted(STD.glob("*.lzm"))]
            hint = suggest(use.path, known) or (f"the library has {', '.join(known)}" if standard else "")
            self.found.error("LZ203", f"there is no '{use.path}'", use.span, hint=hint)
            return
        shown = use.path + ".lzm" if standard else str(path)
        file = self.read(str(path), shown, use)
        if file.library:
            self.libraries.append(file)
        else:
            message = f"'{use.path}' is a model, not a library"
            self.found.error("LZ203", message, use.span, hint="a library begins with 'library NAME;'")

    def _unreadable(self, message: str, span: Span | None) -> UserError:
        diagnostic = Diagnostic("LZ103", message, span) if span else Diagnostic("LZ103", message)
        return UserError([diagnostic], self.sources)


class _Joiner:
    """Adds the declarations of files to a model."""

    def __init__(self, model: Model, found: Collector) -> None:
        self._model = model
        self._found = found
        self._types: dict[str, Span] = {}
        self._callables: dict[str, Span] = {}
        self._runnables: dict[str, Span] = {}
        self._values: dict[str, Span] = {}

    def add(self, file: s.File) -> None:
        m = self._model
        opened: set[str] = set()
        for d in file.declarations:
            match d:
                case s.Use():
                    pass
                case s.Config():
                    again = d.name.text in m.configs and d.name.text not in opened
                    if again or self._new(d.name, self._values):  # the model's default wins over the library's
                        m.configs[d.name.text] = d
                        m.values[d.name.text] = d
                    opened.add(d.name.text)
                case s.EnumDecl():
                    if self._new(d.name, self._types):
                        m.enums[d.name.text] = d
                    for member in d.members:
                        if self._new(member, self._values):
                            m.values[member.text] = d
                case s.SortDecl():
                    if d.name.text in m.sorts and d.name.text not in opened:
                        m.sorts[d.name.text] = d  # the model's size wins over the library's
                    elif self._new(d.name, self._types):
                        m.sorts[d.name.text] = d
                    opened.add(d.name.text)
                case s.ObjectDecl():
                    self._object(d, opened)
                case s.StaticDecl():
                    for name in d.names:
                        if self._new(name, self._values):
                            m.statics[name.text] = d.sort.text
                            m.values[name.text] = d
                case s.RecordDecl():
                    if self._new(d.name, self._types):
                        self._unique(f.name for f in d.fields)
                        m.records[d.name.text] = d
                case s.VarDecl():
                    if self._new(d.name, self._values):
                        m.vars[d.name.text] = d
                        m.values[d.name.text] = d
                case s.FnDecl():
                    if self._new(d.name, self._callables):
                        m.fns[d.name.text] = d
                case s.ProcDecl():
                    self._proc(d)
                case s.InterruptDecl():
                    if self._new(d.name, self._callables):
                        m.interrupts[d.name.text] = d
                case s.ThreadDecl():
                    if self._new(d.name, self._runnables):
                        m.threads[d.name.text] = d
                case s.InitDecl():
                    m.inits.append(d)
                case s.PropertyDecl():
                    if self._new(d.name, self._runnables):
                        m.properties[d.name.text] = d
                case s.FinalDecl():
                    m.finals.append(d)
                case s.CheckDecl():
                    if d.name.text in m.checks:
                        self._twice(d.name, m.checks[d.name.text].name.span)
                    elif not file.library:
                        m.checks[d.name.text] = d

    def finish(self) -> None:
        """What can only be said when all is known."""
        for proc in self._model.procs.values():
            if proc.body is None:
                self._found.error(
                    "LZ204", f"proc '{proc.name}' is declared but nowhere defined", proc.name.span,
                    hint=f"define proc {proc.name}(...) in the model",
                )  # fmt: skip

    def _object(self, d: s.ObjectDecl, opened: set[str]) -> None:
        name = d.name.text
        before = self._model.objects.get(name)
        if before is None or name in opened:
            if not self._new(d.name, self._types):
                return
            joined = d
        else:
            joined = replace(
                before, size=d.size if d.size is not None else before.size, fields=before.fields + d.fields
            )
        opened.add(name)
        self._unique(f.name for f in joined.fields)
        self._model.objects[name] = joined

    def _proc(self, d: s.ProcDecl) -> None:
        name = d.name.text
        before = self._model.procs.get(name)
        if before is None:
            if self._new(d.name, self._callables):
                self._model.procs[name] = d
        elif before.body is None or (before.weak and d.body is not None):
            self._model.procs[name] = d
        elif d.body is not None and not d.weak:
            self._twice(d.name, before.name.span)

    def _unique(self, names: Iterable[s.Name]) -> None:
        seen: dict[str, Span] = {}
        for name in names:
            if name.text in seen:
                self._twice(name, seen[name.text])
            seen.setdefault(name.text, name.span)

    def _new(self, name: s.Name, space: dict[str, Span]) -> bool:
        if name.text in space:
            self._twice(name, space[name.text])
            return False
        space[name.text] = name.span
        return True

    def _twice(self, name: s.Name, before: Span) -> None:
        self._found.error(
            "LZ202", f"'{name}' is declared twice", name.span, notes=(Note(before, "the first time is here"),)
        )

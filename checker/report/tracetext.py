"""A trace as kernel changelogs show a race: a column for each CPU, time downwards.

72 columns of plain ASCII, with who did what in which function, what that
changed and, below, why the property is false.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final, assert_never

from checker.core.instance import Instance
from checker.core.printer import format_expr, is_field
from checker.core.system import NULL, Elem, Param, Property, PropertyKind, Storage, ThreadKind, Var
from checker.core.trace import Change, Step, Trace
from checker.explain import (
    Fact,
    Leaf,
    explain_deadlock,
    explain_false,
    explain_fault,
    explain_true,
    is_live,
    slot_text,
    thread_name,
    truth_text,
)
from checker.records import dataclass
from checker.report.buffertext import is_buffer, pending_lines, stale_lines, stored_lines
from checker.report.phrases import after_steps, config_text, counted, sizes_text
from checker.report.table import WIDTH, Line, Row, lay_out, to_ascii, wrap
from checker.report.values import index_names, set_owner

_LONGEST_STATEMENT: Final = 160
_BODY: Final = 6  # the indentation of what stands below a `***` line


def render_trace(trace: Trace, width: int = WIDTH, *, values: bool = True) -> str:
    """The trace with its heading and the reason, ready for a mail; without `values` steps do not tell what changed."""
    parts = [_heading(trace, width)]
    if initially := _initially(trace, width):
        parts.append(initially)
    if trace.steps:
        parts.append(render_columns(trace, width, values=values))
    parts.append(render_why(trace, width))
    if pending := pending_lines(trace):
        parts.append([line for text in pending for line in wrap(text, width, _BODY)])
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def render_columns(trace: Trace, width: int = WIDTH, *, values: bool = True) -> list[str]:
    """The lines of the table alone."""
    columns = trace.columns()
    order = sorted(set(columns), key=lambda column: _position(trace, column))
    headings = [_column_name(trace, column) for column in order]
    rows = []
    shown: dict[int, _Place] = {}
    previous = None
    for step, key in zip(trace.steps, columns, strict=True):
        column = order.index(key)
        place = _place(trace.instance, step)
        opens = shown.get(column) != place or column != previous
        rows.append(Row(step.number, column, tuple(_step_lines(trace, step, place, opens=opens, values=values))))
        shown[column], previous = place, column
    return lay_out(headings, rows, width)


# -- the heading -------------------------------------------------------------


def _heading(trace: Trace, width: int) -> list[str]:
    prop = _property(trace)
    span = trace.steps[-1].action.span if _faulted(trace) else prop.span
    where = f"{span.file}:{span.line}: " if span.file and span.line else ""
    system = trace.instance.system
    context = [sizes_text(trace.instance)]
    if system.memory_model != "sc":
        context.append(f"memory {system.memory_model}")
    switches = counted(trace.switches, "CPU switch").replace("switchs", "switches")
    context += [switches, "replayed by the reference semantics"]
    lines = wrap(f"{where}{_headline(prop, trace)}", width)
    lines += wrap("; ".join(filter(None, context)), width)
    if config := config_text(system):
        lines += wrap(config, width, hang=0)
    return lines


def _initially(trace: Trace, width: int) -> list[str]:
    """The first values of the variables that may begin with any."""
    instance = trace.instance
    chosen = [
        f"{slot_text(instance, var, index)} == {instance.format_value(var.type, value)}"
        for (var, index), value in zip(instance.slots, trace.initial, strict=True)
        if var.init is None
    ]
    return wrap(f"initially {', '.join(chosen)}", width) if chosen else []


def _headline(prop: Property, trace: Trace) -> str:
    when = after_steps(trace)
    match prop.kind:
        case PropertyKind.COVER:
            return f"{prop.name} is reached {when}"
        case PropertyKind.DEADLOCK:
            return f"deadlock {when}"
        case PropertyKind.LEAK:
            return f"{prop.name}: an object is lost {when}"
        case PropertyKind.FAULT if trace.steps and (fault := trace.steps[-1].action.fault) and fault.bound:
            return f"{prop.name}: bound reached {when}"
        case PropertyKind.INVARIANT | PropertyKind.STEP | PropertyKind.FAULT:
            return f"{prop.name} fails {when}"
        case _:
            assert_never(prop.kind)


def _property(trace: Trace) -> Property:
    return next(prop for prop in trace.instance.system.properties if prop.name == trace.property)


def _faulted(trace: Trace) -> bool:
    return bool(trace.steps) and trace.steps[-1].action.fault is not None


# -- the columns -------------------------------------------------------------


def _position(trace: Trace, column: tuple[str, int | None]) -> tuple[int, int]:
    name, number = column
    threads = [thread.name for thread in trace.instance.system.threads]
    return (-1 if name == "cpu" else threads.index(name), -1 if number is None else number)


def _column_name(trace: Trace, column: tuple[str, int | None]) -> str:
    name, number = column
    if number is None:
        return name
    instance = trace.instance
    if name == "cpu":
        cpu = next(step.action.cpu for step in trace.steps if step.cpu == number)
        sort = cpu.type.sort if cpu is not None and isinstance(cpu.type, Elem) else "CPU"
        return instance.element_name(sort, number)
    return f"{name}[{instance.element_name(instance.thread(name).index[0], number)}]"


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a step is: who runs in the column, and in which function."""

    thread: str
    instance: tuple[int, ...]
    function: str


def _place(instance: Instance, step: Step) -> _Place:
    return _Place(step.thread, step.instance, function_name(step))


def function_name(step: Step) -> str:
    """The kernel function of a step, or the proc or thread of the model where none is named."""
    frames = step.action.frames
    kernel = step.action.kernel or next((f.kernel for f in reversed(frames) if f.kernel), None)
    return kernel or (frames[-1].proc if frames else step.thread)


def _step_lines(trace: Trace, step: Step, place: _Place, *, opens: bool, values: bool) -> Iterator[Line]:
    instance = trace.instance
    kind = instance.thread(step.thread).kind
    indent = 2 if kind in (ThreadKind.INTERRUPT, ThreadKind.NMI) else 0
    if opens:
        yield Line(indent, _opening(instance, step, place, kind))
    yield Line(indent + 2, _statement(step))
    effects = _effects(instance, step, values=values)
    for text in (*effects, *(stored_lines(trace, step) if values else ()), *stale_lines(trace, step), *step.notes):
        yield Line(indent + 4, text)


def _opening(instance: Instance, step: Step, place: _Place, kind: ThreadKind) -> str:
    is_proc = place.function != step.thread or kind in (ThreadKind.INTERRUPT, ThreadKind.NMI)
    function = place.function + "()" * (is_proc and place.function.isidentifier())
    match kind:
        case ThreadKind.INTERRUPT:
            return f"<IRQ> {function}"
        case ThreadKind.NMI:
            return f"<NMI> {function}"
        case ThreadKind.TASK:
            name = thread_name(instance, step.thread, step.instance)
            return f"{name}: {function}" if is_proc else name
        case ThreadKind.HARDWARE if step.cpu is not None:
            return f"<hardware> {function}"
        case ThreadKind.THREAD | ThreadKind.HARDWARE:
            return function
        case _:
            assert_never(kind)


def _statement(step: Step) -> str:
    action = step.action
    text = " ".join((action.label or action.name).split())
    if len(text) > _LONGEST_STATEMENT:
        text = text[: _LONGEST_STATEMENT - 4].rstrip() + " ..."
    return text


def _effects(instance: Instance, step: Step, *, values: bool) -> Iterator[str]:
    """What a step chose and, with `values`, changed; of locals only where there is nothing else to say."""
    all_changes = [change for change in step.changes if not is_buffer(instance, change.var)]
    seen = [change for change in all_changes if instance.var(change.var).storage is not Storage.LOCAL]
    changes = list(change_texts(instance, seen))
    choices = list(_choices(instance, step, changes))
    yield from choices
    if values:
        yield from changes
    if values and not choices and not changes:
        yield from change_texts(instance, all_changes)
    if step.action.fault:
        yield f"*** {step.action.fault.message}"


def _choices(instance: Instance, step: Step, changes: Sequence[str]) -> Iterator[str]:
    """The elements that the step picked: for a local, or where no change tells them anyway."""
    action = step.action
    own = {*action.self, action.cpu}
    registers = {
        update.value: update.var.rpartition(".")[2]
        for update in action.updates
        if isinstance(update.value, Param) and instance.var(update.var).storage is Storage.LOCAL
    }
    words = set(re.findall(r"\w+", " ".join(changes)))
    for param, arg in zip(action.params, step.args, strict=True):
        name = instance.element_name(param.sort, arg)
        if param in registers or (param not in own and name not in words):
            yield f"{registers.get(param, param.name)} = {name}"


def change_texts(instance: Instance, changes: Sequence[Change]) -> Iterator[str]:
    """The changes as a reader would say them: `mm0.users: 1 -> 0`, `mm0.mask += CPU1`, `mm0: free -> live`.

    The fields of an object that dies in the same step no longer matter and are left out.
    """
    freed = {(var.index[0], change.index[0]) for change in changes if is_live(var := instance.var(change.var))
             and not change.new}  # fmt: skip
    members: dict[str, list[str]] = {}
    for change in changes:
        var = instance.var(change.var)
        if is_live(var):
            name = instance.element_name(var.index[0], change.index[0])
            members[f"{name}: {'free -> live' if change.new else 'live -> freed'}"] = []
        elif is_field(var.name, var.index) and (var.index[0], change.index[0]) in freed:
            continue
        elif (owned := set_owner(var)) is not None:
            names = index_names(instance, var, change.index)
            member = names[owned] if len(names) == owned + 1 else f"({', '.join(names[owned:])})"
            base = _set_name(instance, var, names[:owned])
            members.setdefault(f"{base} {'+=' if change.new else '-='}", []).append(member)
        else:
            old, new = (instance.format_value(var.type, value) for value in (change.old, change.new))
            members[f"{instance.format_slot(var.name, change.index)}: {old} -> {new}"] = []
    for text, elements in members.items():
        match elements:
            case []:
                yield text
            case [element]:
                yield f"{text} {element}"
            case _:
                yield f"{text} {{{', '.join(elements)}}}"


def _set_name(instance: Instance, var: Var, owners: list[str]) -> str:
    owner, _, name = var.name.rpartition(".")
    if var.storage is Storage.LOCAL:
        return name
    if is_field(var.name, var.index):
        return f"{owners[0]}.{var.name.removeprefix(owner + '.')}"
    return f"{var.name}[{', '.join(owners)}]" if owners else var.name


# -- the reason --------------------------------------------------------------


def render_why(trace: Trace, width: int = WIDTH) -> list[str]:
    """The lines that say what is wrong in the last state, and since when."""
    prop = _property(trace)
    text = prop.text or (format_expr(prop.expr, system=trace.instance.system) if prop.expr else "")
    match prop.kind:
        case PropertyKind.INVARIANT | PropertyKind.STEP | PropertyKind.COVER if prop.expr is not None:
            is_cover = prop.kind is PropertyKind.COVER
            leaves = (explain_true if is_cover else explain_false)(trace.instance, prop.expr, trace)
            step = f" for step {len(trace.steps)}" if prop.kind is PropertyKind.STEP else ""
            title = f"{prop.name} is {'true' if is_cover else 'false'}{step}: {text}"
            return [*_title(title, width), *_leaf_lines(leaves, width)]
        case PropertyKind.FAULT if _faulted(trace):
            fault = trace.steps[-1].action.fault
            message = fault.message if fault else ""
            return [*_title(f"{prop.name}: {message}", width), *_leaf_lines(explain_fault(trace), width)]
        case PropertyKind.DEADLOCK:
            return [*_title("deadlock: nothing can happen any more", width), *_stuck_lines(trace, width)]
        case PropertyKind.LEAK:
            title = f"{prop.name}: {text or 'nothing can free this object any more'}"
            return [*_title(title, width), *_leaf_lines(_leak_leaves(trace, prop), width)]
        case _:
            return _title(f"{prop.name} is false: {text}", width)


def _title(text: str, width: int) -> list[str]:
    return wrap(f"*** {text}", width, indent=2, hang=4)


def _leaf_lines(leaves: Sequence[Leaf], width: int) -> list[str]:
    """A line for each leaf and for each value it rests on, `since ...` in a column of its own."""
    rows: list[tuple[int, str, str]] = []
    for leaf in leaves:
        since = "" if leaf.since is None else f" {_since(leaf.since)}"
        rows.append((_BODY, leaf.text, f"{truth_text(leaf.value)}{since}"))
        rows += [(_BODY + 2, fact.text, "" if fact.step is None else _since(fact.step)) for fact in leaf.facts]
    right = max((len(note) for _, _, note in rows), default=0)
    left = min(max((indent + len(to_ascii(text)) for indent, text, _ in rows), default=0), width - right - 2)
    lines = []
    for indent, text, note in rows:
        *above, last = wrap(text, left, indent) or [""]
        lines += [*above, f"{last:<{left}}  {note}".rstrip()]
    return lines


def _since(step: int) -> str:
    return f"since step {step}" if step else "from the start"


def _stuck_lines(trace: Trace, width: int) -> list[str]:
    lines = []
    for stuck in explain_deadlock(trace.instance, trace.last):
        lines += wrap(f"{stuck.thread} is at {stuck.location}", width, _BODY)
        for wait in stuck.waits or ("there is no step from here",):
            lines += wrap(wait, width, _BODY + 2)
    return lines


def _leak_leaves(trace: Trace, prop: Property) -> list[Leaf]:
    """The live objects and their fields; which of several is lost only the engine knows."""
    if prop.sort is None:
        return []
    instance, live = trace.instance, f"{prop.sort}.live"
    written = {(c.var, c.index): step.number for step in trace.steps for c in step.changes}
    leaves = []
    for element in instance.objects(prop.sort):
        if not trace.last[instance.slot(live, (element,))]:
            continue
        facts = []
        for (var, index), value in zip(instance.slots, trace.last, strict=True):
            is_its = is_field(var.name, var.index) and (var.index[0], index[0]) == (prop.sort, element)
            if is_its and var.name != live and value not in (0, NULL, ()):
                slot, shown = instance.format_slot(var.name, index), instance.format_value(var.type, value)
                facts.append(Fact(f"{slot} == {shown}", written.get((var.name, index), 0)))
        text = slot_text(instance, instance.var(live), (element,))
        leaves.append(Leaf(text, True, written.get((live, (element,)), 0), tuple(facts)))
    return leaves

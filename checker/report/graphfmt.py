"""A graph of states as DOT, GraphML, JSON and, where it is small, SVG.

Nodes carry `label`, `initial`, `depth` and `violated`, edges `label`, `thread` and
`cpu`; what is missing is taken for empty.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final
from xml.sax.saxutils import escape, quoteattr

import networkx as nx

from checker.report.output import json_text

if TYPE_CHECKING:
    StateGraph = nx.DiGraph[Any]

MAX_DRAWN: Final = 400
"""More nodes than this are no picture."""

_COLUMN, _ROW, _MARGIN, _CHARACTER, _LINE = 24, 56, 20, 7, 16


FORMATS: Final = ("dot", "graphml", "json", "svg")
"""The formats that `render_graph` knows."""


def render_graph(graph: StateGraph, kind: str) -> str:
    """The graph in the format `kind`: dot, graphml, json or svg.  ValueError for any other."""
    renderers: dict[str, Callable[[StateGraph], str]] = dict(
        zip(FORMATS, (render_dot, render_graphml, render_json, render_svg), strict=True)
    )
    if kind not in renderers:
        raise ValueError(f"no graph format {kind!r}; there are {', '.join(renderers)}")
    return renderers[kind](graph)


def render_dot(graph: StateGraph) -> str:
    """The graph for Graphviz, top to bottom."""
    names = {node: f"s{number}" for number, node in enumerate(graph)}
    lines = ["digraph states {", "  node [shape=box, fontname=monospace];", "  edge [fontname=monospace];"]
    for node, data in graph.nodes(data=True):
        attributes = {"label": _label(node, data)}
        if data.get("initial"):
            attributes["penwidth"] = "2"
        if data.get("violated"):
            attributes |= {"color": "red", "fontcolor": "red"}
        lines.append(f"  {names[node]} [{_dot_attributes(attributes)}];")
    for source, target, data in graph.edges(data=True):
        label = _dot_attributes({"label": _edge_label(data)})
        lines.append(f"  {names[source]} -> {names[target]} [{label}];")
    return "\n".join([*lines, "}"]) + "\n"


def render_graphml(graph: StateGraph) -> str:
    """The graph for the many programs that read GraphML."""
    return "\n".join(nx.generate_graphml(_plain(graph))) + "\n"


def render_json(graph: StateGraph) -> str:
    """The graph as networkx's node-link data."""
    return json_text(nx.node_link_data(_plain(graph), edges="edges"))


def render_svg(graph: StateGraph) -> str:
    """A picture: one row for each depth.  ValueError where there are too many nodes to see anything."""
    if len(graph) > MAX_DRAWN:
        raise ValueError(f"{len(graph)} states are too many for a picture (at most {MAX_DRAWN}); use dot")
    rows: dict[int, list[Any]] = {}
    for node, depth in _depths(graph).items():
        rows.setdefault(depth, []).append(node)
    boxes = _boxes(graph, rows)
    width = max((x + w for x, _, w, _ in boxes.values()), default=0) + _MARGIN
    height = max((y + h for _, y, _, h in boxes.values()), default=0) + _MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        'font-family="monospace" font-size="11">',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" '
        'orient="auto"><path d="M0 0 8 4 0 8z" fill="gray"/></marker></defs>',
    ]
    parts += [
        _svg_edge(boxes[source], boxes[target], _edge_label(data)) for source, target, data in graph.edges(data=True)
    ]
    parts += [_svg_node(boxes[node], _label(node, data), data) for node, data in graph.nodes(data=True)]
    return "\n".join([*parts, "</svg>"]) + "\n"


# -- texts and attributes ----------------------------------------------------


def _label(node: object, data: Mapping[str, Any]) -> str:
    return str(data.get("label", node))


def _edge_label(data: Mapping[str, Any]) -> str:
    cpu = data.get("cpu")
    who = f"CPU{cpu}" if isinstance(cpu, int) else cpu or data.get("thread")
    label = str(data.get("label", ""))
    return f"{who}: {label}" if who else label


def _dot_attributes(attributes: Mapping[str, str]) -> str:
    return ", ".join(f"{name}={_dot_quoted(value)}" for name, value in attributes.items())


def _dot_quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _plain(graph: StateGraph) -> StateGraph:
    """A copy with numbers for nodes, and for attributes nothing but what every format can hold."""
    numbers = {node: number for number, node in enumerate(graph)}
    copy: StateGraph = nx.DiGraph()
    for node, data in graph.nodes(data=True):
        copy.add_node(numbers[node], **{**_scalars(data), "label": _label(node, data)})
    for source, target, data in graph.edges(data=True):
        copy.add_edge(numbers[source], numbers[target], **_scalars(data))
    return copy


def _scalars(data: Mapping[str, Any]) -> dict[str, bool | int | float | str]:
    return {
        name: value if isinstance(value, (bool, int, float, str)) else str(value)
        for name, value in data.items()
        if value is not None
    }


# -- the picture -------------------------------------------------------------

_Box = tuple[int, int, int, int]


def _depths(graph: StateGraph) -> dict[Any, int]:
    """The row of each node: its `depth`, or its distance from the initial ones."""
    if all("depth" in data for _, data in graph.nodes(data=True)):
        return {node: int(data["depth"]) for node, data in graph.nodes(data=True)}
    roots = [n for n, d in graph.nodes(data=True) if d.get("initial")] or [*graph][:1]
    depths: dict[Any, int] = {}
    for depth, layer in enumerate(nx.bfs_layers(graph, roots) if roots else ()):
        depths.update(dict.fromkeys(layer, depth))
    below = max(depths.values(), default=-1) + 1
    return {node: depths.get(node, below) for node in graph}


def _boxes(graph: StateGraph, rows: Mapping[int, list[Any]]) -> dict[Any, _Box]:
    """Where each node is drawn: x, y, width and height; rows are as high as their highest node."""
    boxes: dict[Any, _Box] = {}
    y = _MARGIN
    for depth in sorted(rows):
        x, highest = _MARGIN, 0
        for node in rows[depth]:
            texts = _label(node, graph.nodes[node]).splitlines() or [""]
            width = max(map(len, texts)) * _CHARACTER + 12
            height = len(texts) * _LINE + 8
            boxes[node] = (x, y, width, height)
            x, highest = x + width + _COLUMN, max(highest, height)
        y += highest + _ROW
    return boxes


def _svg_node(box: _Box, label: str, data: Mapping[str, Any]) -> str:
    x, y, width, height = box
    colour = "red" if data.get("violated") else "black"
    stroke = 2 if data.get("initial") else 1
    lines = "".join(
        f'<tspan x="{x + 6}" y="{y + _LINE * (number + 1)}">{escape(text)}</tspan>'
        for number, text in enumerate(label.splitlines())
    )
    return (
        f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="4" fill="white" '
        f'stroke="{colour}" stroke-width="{stroke}"/><text fill="{colour}">{lines}</text>'
    )


def _svg_edge(source: _Box, target: _Box, label: str) -> str:
    """A line from the bottom of a node to the top of one below, a bow beside it where it goes back."""
    x1, y1 = source[0] + source[2] // 2, source[1] + source[3]
    x2, y2 = target[0] + target[2] // 2, target[1]
    if target[1] > source[1]:
        way = f"M{x1} {y1} L{x2} {y2}"
    else:
        side = max(source[0] + source[2], target[0] + target[2]) + _COLUMN
        y1, y2 = source[1] + source[3] // 2, target[1] + target[3] // 2 + 4
        way = f"M{source[0] + source[2]} {y1} C{side} {y1} {side} {y2} {target[0] + target[2]} {y2}"
    title = f"<title>{escape(label)}</title>"
    return f'<path d={quoteattr(way)} fill="none" stroke="gray" marker-end="url(#tip)">{title}</path>'

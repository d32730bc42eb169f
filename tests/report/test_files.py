"""Graphs in four formats, and files that are written whole or not at all."""

from __future__ import annotations

import json
import os
import xml.etree.ElementTree as ElementTree
from io import BytesIO
from pathlib import Path
from typing import Any

import networkx as nx
import pytest

from checker.report.graphfmt import MAX_DRAWN, render_graph
from checker.report.output import write_json, write_text


def small() -> nx.DiGraph[Any]:
    graph: nx.DiGraph[Any] = nx.DiGraph()
    graph.add_node((0, 1), label='cur = "x"\\\nmm0 <live> & well', initial=True, depth=0, violated="")
    graph.add_node((0, 2), label="b", initial=False, depth=1, violated="no_freed_mm")
    graph.add_edge((0, 1), (0, 2), label="free m", thread="reaper", cpu=None)
    graph.add_edge((0, 2), (0, 1), label="back", thread="cpu_loop", cpu="CPU1")
    graph.add_edge((0, 2), (0, 2), label="stay", thread="cpu_loop", cpu=0)
    return graph


def test_dot_is_quoted() -> None:
    text = render_graph(small(), "dot")
    assert 's0 [label="cur = \\"x\\"\\\\\\nmm0 <live> & well", penwidth="2"];' in text
    assert 's1 [label="b", color="red", fontcolor="red"];' in text
    assert 's0 -> s1 [label="reaper: free m"];' in text
    assert 's1 -> s0 [label="CPU1: back"];' in text
    assert 's1 -> s1 [label="CPU0: stay"];' in text


def test_graphml_can_be_read_back() -> None:
    graph = nx.read_graphml(BytesIO(render_graph(small(), "graphml").encode()))
    assert graph.number_of_nodes() == 2
    assert graph.nodes["1"]["violated"] == "no_freed_mm"


def test_json_can_be_read_back() -> None:
    graph = nx.node_link_graph(json.loads(render_graph(small(), "json")), edges="edges")
    assert graph.edges[0, 1]["thread"] == "reaper"
    assert graph.nodes[0]["initial"] is True


def test_svg_is_xml_with_a_box_for_each_state() -> None:
    root = ElementTree.fromstring(render_graph(small(), "svg"))
    boxes = root.findall("{http://www.w3.org/2000/svg}rect")
    assert [box.get("stroke") for box in boxes] == ["black", "red"]
    assert float(boxes[0].get("y", 0)) < float(boxes[1].get("y", 0))
    assert len(root.findall("{http://www.w3.org/2000/svg}path")) == 3


def test_svg_without_depths_is_laid_out_by_distance() -> None:
    graph: nx.DiGraph[Any] = nx.DiGraph([(0, 1), (1, 2), (3, 0)])
    root = ElementTree.fromstring(render_graph(graph, "svg"))
    rows = [box.get("y") for box in root.findall("{http://www.w3.org/2000/svg}rect")]
    assert len(set(rows)) == 4
    assert render_graph(nx.DiGraph(), "svg").startswith("<svg")


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match="too many for a picture"):
        render_graph(nx.path_graph(MAX_DRAWN + 1, create_using=nx.DiGraph), "svg")
    with pytest.raises(ValueError, match="no graph format 'png'"):
        render_graph(small(), "png")


def test_write_replaces_a_file(tmp_path: Path) -> None:
    target = tmp_path / "out.json"
    target.write_text("old")
    write_json(str(target), {"a": 1})
    assert json.loads(target.read_text()) == {"a": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["out.json"]


def test_write_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    write_text("-", "x\n")
    assert capsys.readouterr().out == "x\n"


@pytest.mark.parametrize("method", ["write_text", "replace"])
def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    target = tmp_path / "out.txt"
    target.write_text("old")
    original = getattr(Path, method)

    def full(self: Path, *args: Any, **options: Any) -> None:
        if method == "write_text":
            original(self, "ha", encoding="utf-8")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, method, full)
    with pytest.raises(OSError, match="No space left"):
        write_text(str(target), "half of it")
    assert [path.name for path in tmp_path.iterdir()] == ["out.txt"]
    assert target.read_text() == "old"


def test_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_text(str(tmp_path / "none" / "out.txt"), "x")


def test_links_and_devices_stay_what_they_are(tmp_path: Path) -> None:
    real, link = tmp_path / "real.txt", tmp_path / "link.txt"
    real.write_text("old")
    link.symlink_to(real)
    write_text(str(link), "new")
    assert link.is_symlink() and real.read_text() == "new"
    write_text(os.devnull, "x")
    assert not Path(os.devnull).is_file()

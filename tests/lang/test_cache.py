"""What is kept between runs: never wrong, and never needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from checker import cache
from checker.lang import grammar
from checker.lang.diagnostics import UserError
from checker.lang.names import load_model
from checker.lang.parser import Parser
from checker.lang.source import SourceFile
from tests.models import HEADER

TEXT = HEADER + "var x : bool;\nthread t on CPU { if x { x = false; } else { x = true; } }\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "lzcheck"


def entries(folder: Path, kind: str) -> list[Path]:
    return sorted(path for path in folder.glob(f"{kind}-*"))


def never() -> None:
    raise AssertionError("nothing had to be parsed")


def test_a_file_is_parsed_once(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "m.lzm"
    file.write_text(TEXT)
    first = load_model(str(file))
    assert len(entries(folder, "tree")) == len(entries(folder, "parser")) == 1
    monkeypatch.setattr(Parser, "_parsed", lambda self, source: never())
    again = load_model(str(file))
    assert again.threads == first.threads
    assert again.threads["t"].body.span == first.threads["t"].body.span
    with pytest.raises(AssertionError):  # another text is another tree
        file.write_text(TEXT.replace("x = false", "x = true"))
        load_model(str(file))


def test_a_text_that_is_in_no_file_is_not_kept(folder: Path) -> None:
    load_model("m.lzm", text=TEXT)
    assert entries(folder, "tree") == []


def test_a_wrong_text_is_refused_each_time(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "m.lzm"
    file.write_text(TEXT + "}")
    for _ in range(2):
        with pytest.raises(UserError):
            load_model(str(file))
    assert entries(folder, "tree") == []


@pytest.mark.parametrize("kind", ["tree", "parser"])
def test_a_damaged_entry_is_made_again(kind: str, folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "m.lzm"
    file.write_text(TEXT)
    first = load_model(str(file))
    (entry,) = entries(folder, kind)
    whole = entry.read_bytes()
    for wrong in (b"", whole[:-1], whole + b"x"):
        for tree in entries(folder, "tree"):
            tree.unlink()
        entry.write_bytes(wrong)
        assert load_model(str(file)).threads == first.threads
        assert cache.read_entry(entry.name) is not None


def test_an_entry_that_is_whole_but_means_nothing_is_no_obstacle(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "m.lzm"
    file.write_text(TEXT)
    first = load_model(str(file))
    for entry in (*entries(folder, "tree"), *entries(folder, "parser")):
        cache.keep_entry(entry.name, b"neither a tree nor tables")
    assert load_model(str(file)).threads == first.threads


@pytest.mark.parametrize("obstacle", ["a file", "no home"])
def test_no_folder_is_no_obstacle(obstacle: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file") if obstacle == "a file" else "")
    if obstacle == "no home":
        monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    file = tmp_path / "m.lzm"
    file.write_text(TEXT)
    assert load_model(str(file)).threads == load_model(str(file)).threads


def test_old_trees_are_forgotten(folder: Path) -> None:
    for number in range(8):
        cache.keep_entry(f"tree-{number}", b"x", of="tree-", at_most=5)
    assert len(entries(folder, "tree")) == 5
    assert cache.read_entry("tree-7") == b"x"


def test_tables_from_the_cache_say_the_same_of_a_wrong_text(folder: Path) -> None:
    source = SourceFile("m.lzm", TEXT.replace("else", "els"))
    said = []
    for _ in range(2):
        with pytest.raises(UserError) as caught:
            grammar.GrammarParser().parse(source)
        said.append(caught.value.diagnostics)
    assert said[0] == said[1]


def test_deep_nesting_is_kept_too(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "deep.lzm"
    chain = "if x { skip; }" + " else if x { x = false; }" * 70
    file.write_text(HEADER + "var x : bool;\nthread t on CPU { " + chain + " }\n")
    assert load_model(str(file)).threads == load_model(str(file)).threads
    assert len(entries(folder, "tree")) == 1

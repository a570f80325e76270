"""Data flow one way: what each package may import, walked with `ast` against one dictionary.

If this fails, move the code: a new arrow is a change of design.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "awlog"
# structlog is set up in `telemetry`; a logger is asked for wherever `telemetry` may be imported.
TELEMETRY = {"telemetry", "structlog"}
MAY_IMPORT: dict[str, set[str]] = {
    "telemetry": {"structlog"},
    "model": {"msgspec"},
    "log": {"msgspec", "model", "numpy", "re2", "sortedcontainers", "zstandard"},
    "query": {"msgspec", "model", "log", "numpy", "re2"},
    "storage": {"msgspec", "model", "log", "lmdb", *TELEMETRY},
    "formats": {"msgspec", "model", "log", "query", "numpy", "pyarrow"},
    "engine": {"msgspec", "model", "log", "query", "formats", "storage", *TELEMETRY},
    "sources": {"msgspec", "model", "log", "numpy", "platformdirs"},
    "moving_in": {"msgspec", "model", "log", "storage", "engine", "sources", "numpy"},
    "api": {"msgspec", "model", "engine", "aiohttp", "markdown_it", "prometheus_client", "zstandard", *TELEMETRY},
    "client": {"msgspec", "model", "aiohttp", "pyarrow"},
    "cluster": {"msgspec", "model", "engine", "nats", *TELEMETRY},
}
ANYTHING = {"cli", "__main__", "__init__"}


def imports(source: str) -> Iterator[str]:
    """What a module's text imports, at its top or inside a function: `numpy`, or the part of awlog."""
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name the whole path"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            top, _, rest = name.partition(".")
            if top not in sys.stdlib_module_names:
                yield rest.partition(".")[0] if top == "awlog" else top


@pytest.mark.parametrize("part", sorted(MAY_IMPORT))
def test_a_package_imports_only_what_its_line_names(part: str) -> None:
    """And the standard library."""
    files = [PACKAGE / f"{part}.py"] if part == "telemetry" else (PACKAGE / part).rglob("*.py")
    arrows = {
        f"{file.relative_to(PACKAGE)} imports {name}"
        for file in files
        for name in imports(file.read_text("utf-8"))
        if name not in MAY_IMPORT[part] | {part}
    }
    assert arrows == set()


def test_every_part_of_awlog_has_a_line() -> None:
    """A new package begins with a line above; only the command line may import anything."""
    parts = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert parts - ANYTHING <= set(MAY_IMPORT)


def test_lines_lead_down_only() -> None:
    """`api, cli → engine → query, storage → log → model`: no two packages lead to each other."""
    for part, allowed in MAY_IMPORT.items():
        for other in allowed & set(MAY_IMPORT):
            assert part not in MAY_IMPORT[other], f"{part} and {other}"


def modules_imported(source: str) -> Iterator[str]:
    """The modules of awlog that a module's text names, wherever that stands; a package for what lies in its `__init__`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
            yield node.module


def test_no_module_imports_one_that_imports_it() -> None:
    """Not in a roundabout way either, nor inside a function, nor only for its types: what needs each other is one thing."""
    files = {".".join(path.with_suffix("").relative_to(PACKAGE.parent).parts): path for path in PACKAGE.rglob("*.py")}
    arrows = {name: files.keys() & set(modules_imported(path.read_text("utf-8"))) for name, path in files.items()}
    try:
        TopologicalSorter(arrows).prepare()
    except CycleError as circle:
        pytest.fail(" imports ".join(reversed(circle.args[1])))


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import lmdb", {"lmdb"}),
        ("import numpy as np, os", {"numpy"}),
        ("from numpy.typing import NDArray", {"numpy"}),
        ("import awlog.storage.layout", {"storage"}),
        ("from awlog.storage.layout import META", {"storage"}),
        ("from awlog.storage import layout", {"storage"}),
        ("from awlog import telemetry", {"telemetry"}),
        ("def later():\n    import uvloop", {"uvloop"}),
        ("if TYPE_CHECKING:\n    from awlog.api.app import App", {"api"}),
        ("from __future__ import annotations\nimport asyncio.queues", set()),
    ],
)
def test_no_import_escapes_the_walk(source: str, found: set[str]) -> None:
    """Whatever its form, and wherever it stands."""
    assert set(imports(source)) == found

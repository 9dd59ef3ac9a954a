"""Writes a real corpus that every machine has: CPython's documentation topics and docstrings, a paragraph a line.

  python -m keytokens.pipelines.make_demo_corpus --output=python_docs.jsonl

reads `pydoc_data` and, without importing them, the sources of the standard library; takes a few seconds and writes
3,000 JSON lines with `_id`, `title` and `text`. The same Python writes the same bytes.
"""

import ast
import itertools
import json
import pathlib
import re
import sysconfig
import textwrap
from collections.abc import Iterator, Sequence
from pydoc_data import topics

from keytokens.pipelines import cli

cli.declare_flags("output")

_MIN_WORDS = 12
_MAX_PARAGRAPHS = 3000
_LEFT_OUT = ("test", "idlelib", "lib2to3", "site-packages", "pydoc_data", "ensurepip", "turtledemo")


def paragraphs(text: str) -> list[str]:
    """Paragraphs of prose: blocks between blank lines with at least a dozen words, white space folded."""
    blocks = (" ".join(block.split()) for block in re.split(r"\n\s*\n", textwrap.dedent(text)))
    return [block for block in blocks if len(block.split()) >= _MIN_WORDS and not block.startswith(">>>")]


def topic_texts() -> Iterator[tuple[str, str]]:
    """(name, text) of the language reference's topics."""
    for name, text in sorted(topics.topics.items()):
        yield f"topic {name}", text


def docstrings(root: pathlib.Path) -> Iterator[tuple[str, str]]:
    """(qualified name, docstring) of the modules, classes and functions below `root`, by parsing, not importing."""
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        if parts[0] in _LEFT_OUT or parts[0].startswith("_") or "tests" in parts:
            continue
        module = ".".join(parts).removesuffix(".__init__")
        yield from _docstrings_of(ast.parse(path.read_bytes()), module)


def _docstrings_of(node: ast.AST, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        if text := ast.get_docstring(node):
            yield name, text
        for child in node.body:
            if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                yield from _docstrings_of(child, f"{name}.{child.name}")


def documents() -> Iterator[dict[str, str]]:
    """The corpus's records: every topic, then docstrings until there are 3,000 paragraphs; repeated texts once."""
    seen: set[str] = set()
    for name, text in itertools.chain(topic_texts(), docstrings(pathlib.Path(sysconfig.get_path("stdlib")))):
        for number, paragraph in enumerate(paragraphs(text)):
            if paragraph in seen:
                continue
            seen.add(paragraph)
            yield {"_id": f"{name}#{number}", "title": "", "text": paragraph}
            if len(seen) == _MAX_PARAGRAPHS:
                return


def main(argv: Sequence[str]) -> None:
    """Writes the file."""
    del argv
    output = pathlib.Path(cli.given(cli.OUTPUT))
    output.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(document, ensure_ascii=False) for document in documents()]
    output.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{len(lines):,} paragraphs in {output}")


def run() -> None:
    """Entry point of the console script."""
    cli.run(main, required=["output"])


if __name__ == "__main__":
    run()

"""Numbers of a figure to take along: links that hold their file, so that the page needs no other."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from keytokens.pipelines import results, tables
from keytokens.pipelines.report.markup import Html, tag


def links(name: str, rows: Sequence[Mapping[str, Any]], *, title: str) -> Html:
    """The rows as NAME.csv and NAME.json.

    Args:
      name: of the files, without ending.
      rows: one a line of the CSV.
      title: what they are of, for who cannot see where the link stands.
    """
    files = (("csv", "text/csv", tables.csv_text(rows)), ("json", "application/json", results.text(list(rows))))
    return tag(
        "p",
        [_link(f"{name}.{ending}", kind, content, title) for ending, kind, content in files],
        class_="downloads",
    )


def _link(file: str, kind: str, content: str, title: str) -> Html:
    encoded = base64.b64encode(content.encode("utf-8", "surrogatepass")).decode()
    href = f"data:{kind};charset=utf-8;base64,{encoded}"
    return tag(
        "a", file.rpartition(".")[2].upper(), tag("span", f" of {title}", class_="unseen"), href=href, download=file
    )

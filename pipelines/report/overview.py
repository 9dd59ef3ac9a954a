"""What was run, and how much of it came through: the head of a page."""

from collections.abc import Mapping
from typing import Any

from keytokens.pipelines.report.data import ReportData
from keytokens.pipelines.report.markup import Content, Html, tag
from keytokens.pipelines.report.numerals import number, percent

# Count of the manifest -> what a tile calls it.
_TILES = {
    "rows": "texts in the corpus",
    "embedded": "embedded",
    "tokens": "tokens read",
    "truncated": "longer than the model's limit",
    "duplicate_ids": "repeated ids",
    "dead_letters": "dead letters",
}
_SHOWN_FILES = 3


def headline(data: ReportData) -> Html:
    """Title, what key tokens are, and what was run."""
    links = [
        [", " if index else None, tag("a", tag("bdi", name), href=f"#beside-{index + 1}")]
        for index, name in enumerate(model_names(data)[1:])
    ]
    return tag(
        "header",
        tag("p", "Keytokens", class_="brand"),
        tag("h1", data.title),
        tag(
            "p",
            "The ",
            tag("em", "key tokens"),
            " of a text are the vocabulary entries that its embedding scores highest when the model's own output head "
            "reads it: what the embedding says, spelled out.",
            class_="lead",
        ),
        facts(data, ("Beside it", links)),
    )


def facts(data: ReportData, *more: tuple[str, Content]) -> Html:
    """What was run: model, backbone, corpus, and whatever more there is to say."""
    identity = _mapping(data.manifest, "identity") or data.manifest
    listed: list[tuple[str, Content]] = [
        ("Model", _described(_mapping(identity, "model"))),
        ("Backbone", _described(_mapping(identity, "backbone"))),
        ("Corpus", _corpus(data.manifest)),
        ("Kept", f"{number(len(data.weight_by_rank))} of {number(data.vocab_size)} vocabulary entries a text"),
        *more,
    ]
    return tag("dl", [[tag("dt", name), tag("dd", value)] for name, value in listed if value], class_="facts")


def model_names(data: ReportData) -> list[str]:
    """What to call the models of a page: its own first, then those beside it; a name met again gets a number."""
    names: list[str] = []
    for one in (data, *data.beside):
        identity = _mapping(one.manifest, "identity") or one.manifest
        name = str(_mapping(identity, "model").get("name", "unnamed"))
        taken = sum(other == name or other.startswith(f"{name} (") for other in names)
        names.append(f"{name} ({taken + 1})" if taken else name)
    return names


def tiles(data: ReportData) -> Html:
    """The counts, as figures to take in at a glance."""
    counts = _mapping(data.manifest, "counts")
    rows = counts.get("rows")
    shown: list[tuple[str, str, str | None]] = []
    for key, name in _TILES.items():
        if isinstance(value := counts.get(key), int):
            share = percent(value / rows) if key not in ("rows", "tokens") and rows and 0 < value < rows else None
            shown.append((number(value), name, share))
    used = percent(data.num_tokens_used / data.vocab_size) if data.vocab_size else None
    shown.append((number(data.num_tokens_used), "vocabulary entries used as key tokens", used))
    if data.hit_rate_at_10 is not None:
        shown.append((percent(data.hit_rate_at_10), "of texts hold a top-10 key token", "Hit@10"))
    return tag("dl", [_tile(*tile) for tile in shown], class_="tiles")


def _tile(value: str, name: str, note: str | None) -> Html:
    return tag("div", tag("dt", name), tag("dd", value, tag("small", note) if note else None))


def _mapping(parent: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """A part of the manifest; empty where a run has not got as far."""
    value = parent.get(key)
    return value if isinstance(value, Mapping) else {}


def _described(model: Mapping[str, Any]) -> Content:
    """Name first, then whatever decides what the model sees."""
    if not model:
        return None
    details = [
        f"{label} {model[key]}"
        for key, label in (("pooling", "pooling"), ("max_length", "at most"), ("prompt", "prompt"))
        if model.get(key) and isinstance(model[key], str | int)
    ]
    details = [f"{detail} tokens" if detail.startswith("at most ") else detail for detail in details]
    return [tag("bdi", str(model.get("name", "unnamed"))), tag("small", "; ".join(details)) if details else None]


def _corpus(manifest: Mapping[str, Any]) -> Content:
    """The first files by name, and how many more."""
    corpus = manifest.get("corpus_files", manifest.get("corpus"))
    files = corpus.get("files") if isinstance(corpus, Mapping) else corpus
    if not isinstance(files, list | tuple):
        return None
    names = [_file_name(file) for file in files[:_SHOWN_FILES]]
    more = f" and {number(len(files) - len(names))} more" if len(files) > len(names) else None
    return [[[", " if index else None, tag("bdi", name)] for index, name in enumerate(names)], more]


def _file_name(file: Any) -> str:
    if isinstance(file, Mapping):
        file = next((file[key] for key in ("label", "name", "path", "file") if key in file), "unnamed")
    return str(file)

"""A retrieval collection in BEIR's layout: corpus.jsonl, queries.jsonl, qrels/SPLIT.tsv; either .jsonl may be gzip."""

import csv
import dataclasses
import pathlib

from keytokens.pipelines.retrieval import beir_corpus, query_files, trec


@dataclasses.dataclass(frozen=True)
class Collection:
    """Queries and judgements; the corpus is named, for align_corpus to read.

    Attributes:
      name: of the folder.
      corpus: path of corpus.jsonl, or .jsonl.gz.
      queries: id -> text, of the judged queries only.
      qrels: query id -> document id -> relevance, zeros included.
      num_absent: judged documents that the corpus does not have, or has without a text; no search can find them.
      in_corpus: ids of queries that are documents, too; such a document is no hit of its own query.
    """

    name: str
    corpus: str
    queries: dict[str, str]
    qrels: dict[str, dict[str, int]]
    num_absent: int = 0
    in_corpus: frozenset[str] = frozenset()

    def excluded(self, query: str) -> str | None:
        """The document that is the query itself, if there is one (BEIR's ignore_identical_ids)."""
        return query if query in self.in_corpus else None


def read_collection(directory: str, *, split: str = "test") -> Collection:
    """Reads queries and judgements of a folder, and the ids of its corpus.

    Raises:
      ValueError: a file is missing or is not what BEIR puts there, no query is judged, a judged one is empty, or an id
        holds white space.
    """
    root = pathlib.Path(directory)
    corpus, asked, judgements = _present(root, "corpus"), _present(root, "queries"), root / "qrels" / f"{split}.tsv"
    if missing := [str(path) for path in (corpus, asked, judgements) if not path.exists()]:
        raise ValueError(
            f"--beir_dir={directory} is no collection in BEIR's layout: {', '.join(missing)} is missing. It holds "
            "corpus.jsonl, queries.jsonl and qrels/SPLIT.tsv; --split names another SPLIT."
        )
    qrels = _read_qrels(judgements)
    queries = query_files.read_queries(str(asked), allow_empty=True)
    if absent := sorted(qrels.keys() - queries.keys()):
        raise ValueError(f"{asked} lacks {len(absent)} judged queries, the first {absent[0]!r}.")
    judged = {name: queries[name] for name in queries if name in qrels}
    if not judged:
        raise ValueError(f"{judgements} judges no query, so there is nothing to measure.")
    trec.check_ids(judged, whose=f"{asked}: query", cure="Rename it there and in the judgements.")
    if empty := [name for name, text in judged.items() if not text.strip()]:
        raise ValueError(
            f"{asked}: the text of query {empty[0]!r} is empty, so there is nothing to search for. Leave it out of "
            f"{judgements}."
        )
    found = beir_corpus.scan(str(corpus), judged, {name for grades in qrels.values() for name in grades})
    return Collection(root.name, str(corpus), judged, qrels, len(found.absent), found.queries)


def _present(root: pathlib.Path, stem: str) -> pathlib.Path:
    """The file's path, plain or gzip, whichever is there."""
    plain, squeezed = root / f"{stem}.jsonl", root / f"{stem}.jsonl.gz"
    return squeezed if squeezed.exists() and not plain.exists() else plain


def _read_qrels(path: pathlib.Path) -> dict[str, dict[str, int]]:
    """Query id -> document id -> relevance.

    Raises:
      ValueError: the file cannot be read, or is not what BEIR puts there.
    """
    found: dict[str, dict[str, int]] = {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file, delimiter="\t")
            if rows.fieldnames != ["query-id", "corpus-id", "score"]:
                raise ValueError(
                    f"{path} begins with {rows.fieldnames}; BEIR's judgements have the columns query-id, corpus-id "
                    "and score, separated by tabs."
                )
            for row in rows:
                try:
                    found.setdefault(row["query-id"], {})[row["corpus-id"]] = int(row["score"])
                except (TypeError, ValueError) as error:
                    raise ValueError(f"{path}, line {rows.line_num}: {row} is no judgement ({error}).") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} cannot be read ({error}); nothing was embedded.") from error
    return found

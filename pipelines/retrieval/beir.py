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
    corpus, asked = (
        next((root / name for name in (f"{stem}.jsonl", f"{stem}.jsonl.gz") if (root / name).exists()), None)
        for stem in ("corpus", "queries")
    )
    needed = {"corpus.jsonl": corpus, "queries.jsonl": asked, "qrels": root / "qrels" / f"{split}.tsv"}
    missing = [str(path or root / name) for name, path in needed.items() if path is None or not path.exists()]
    if missing:
        raise ValueError(
            f"--beir_dir={directory} is no collection in BEIR's layout: {', '.join(missing)} is missing. It holds "
            "corpus.jsonl, queries.jsonl and qrels/SPLIT.tsv; --split names another SPLIT."
        )
    qrels: dict[str, dict[str, int]] = {}
    with needed["qrels"].open(newline="", encoding="utf-8") as file:  # type: ignore[union-attr]
        rows = csv.DictReader(file, delimiter="\t")
        if rows.fieldnames != ["query-id", "corpus-id", "score"]:
            raise ValueError(
                f"{needed['qrels']} begins with {rows.fieldnames}; BEIR's judgements have the columns query-id, "
                "corpus-id and score, separated by tabs."
            )
        for row in rows:
            try:
                qrels.setdefault(row["query-id"], {})[row["corpus-id"]] = int(row["score"])
            except (TypeError, ValueError) as error:
                raise ValueError(
                    f"{needed['qrels']}, line {rows.line_num}: {row} is no judgement ({error})."
                ) from error
    queries = query_files.read_queries(str(asked))
    if absent := sorted(qrels.keys() - queries.keys()):
        raise ValueError(f"{asked} lacks {len(absent)} judged queries, the first {absent[0]!r}.")
    judged = {name: queries[name] for name in queries if name in qrels}
    if not judged:
        raise ValueError(f"{needed['qrels']} judges no query, so there is nothing to measure.")
    trec.check_ids(judged, whose=f"{asked}: query", cure="Rename it there and in the judgements.")
    if empty := [name for name, text in judged.items() if not text.strip()]:
        raise ValueError(
            f"{asked}: the text of query {empty[0]!r} is empty, so there is nothing to search for. Leave it out of "
            f"{needed['qrels']}."
        )
    found = beir_corpus.scan(str(corpus), judged, {name for grades in qrels.values() for name in grades})
    return Collection(root.name, str(corpus), judged, qrels, len(found.absent), found.queries)

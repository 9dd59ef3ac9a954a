"""A retrieval collection in BEIR's layout: corpus.jsonl, queries.jsonl, qrels/SPLIT.tsv."""

import csv
import dataclasses
import pathlib

from keytokens.pipelines.retrieval import query_files


@dataclasses.dataclass(frozen=True)
class Collection:
    """Queries and judgements; the corpus is only named, align_corpus reads it.

    Attributes:
      name: of the folder.
      corpus: path of corpus.jsonl, or .jsonl.gz.
      queries: id -> text, of the judged queries only.
      qrels: query id -> document id -> relevance, zeros included.
    """

    name: str
    corpus: str
    queries: dict[str, str]
    qrels: dict[str, dict[str, int]]


def read_collection(directory: str, *, split: str = "test") -> Collection:
    """Reads queries and judgements of a folder.

    Raises:
      ValueError: a file is missing or is not what BEIR puts there, or no query is judged.
    """
    root = pathlib.Path(directory)
    corpus = next((root / name for name in ("corpus.jsonl", "corpus.jsonl.gz") if (root / name).exists()), None)
    needed = {"corpus.jsonl": corpus, "queries.jsonl": root / "queries.jsonl", "qrels": root / "qrels" / f"{split}.tsv"}
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
    queries = query_files.read_queries(str(root / "queries.jsonl"))
    if absent := sorted(qrels.keys() - queries.keys()):
        raise ValueError(f"{root / 'queries.jsonl'} lacks {len(absent)} judged queries, the first {absent[0]!r}.")
    judged = {name: queries[name] for name in queries if name in qrels}
    if not judged:
        raise ValueError(f"{needed['qrels']} judges no query, so there is nothing to measure.")
    return Collection(root.name, str(corpus), judged, qrels)

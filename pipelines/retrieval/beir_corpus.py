"""What must be known of a collection's documents before any is embedded: their ids, and which are queries, too."""

import dataclasses
import pathlib
import zlib
from collections.abc import Iterator, Mapping, Set

from keytokens.pipelines import corpus
from keytokens.pipelines.retrieval import trec


@dataclasses.dataclass(frozen=True)
class Scan:
    """What one reading of a corpus finds.

    Attributes:
      absent: judged ids that no document has which can be embedded.
      queries: ids of the queries that are documents of the corpus themselves, as in ArguAna and Quora.
    """

    absent: frozenset[str]
    queries: frozenset[str]


def scan(path: str, queries: Mapping[str, str], judged: Set[str]) -> Scan:
    """Reads corpus.jsonl, or .jsonl.gz.

    Queries and documents may be numbered apart, and then share ids by chance: in CISI query 23 is no document, and
    document 23 answers it. So ids count as the same only if most ids that both have stand for the same text.

    Args:
      path: of the corpus.
      queries: id -> text.
      judged: document ids.

    Raises:
      ValueError: the file cannot be read, or an id holds white space, which a run cannot hold.
    """
    absent, same = set(judged), dict[str, bool]()
    try:
        for document in _documents(path):
            trec.check_ids(
                [document.doc_id],
                whose=f"{path}, line {document.line}: document",
                cure="Rename it there and in the judgements.",
            )
            absent.discard(document.doc_id)
            if document.doc_id in queries:
                # A title may stand before the text.
                is_query = _words(document.text).endswith(_words(queries[document.doc_id]))
                same[document.doc_id] = same.get(document.doc_id, False) or is_query
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path} cannot be read ({error}); nothing was embedded.") from error
    identical = frozenset(same) if 2 * sum(same.values()) > len(same) else frozenset[str]()
    return Scan(frozenset(absent), identical)


def _documents(path: str) -> Iterator[corpus.Document]:
    """The lines that are documents; align_corpus lists the others."""
    file = corpus.CorpusFile(path, pathlib.Path(path).name, "jsonl")
    with pathlib.Path(path).open("rb") as raw, corpus.decompressed(raw, file) as lines:
        for row, line in enumerate(lines):
            found = corpus.parse_line(line, file=file, row=row, number=row + 1)
            if isinstance(found, corpus.Document):
                yield found


def _words(text: str) -> str:
    return " ".join(text.split())

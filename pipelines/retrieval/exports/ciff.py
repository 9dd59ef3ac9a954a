"""CIFF, the Common Index File Format (Lin et al., SIGIR 2020), which PISA, JASS, OldDog and Terrier import.

A file of length-prefixed protobuf messages: a header, a list of postings a term, a record a document. Impacts stand
where term frequencies do. The messages are declared here, field by field as in the format's common-index-format.proto,
so no generated code and no compiler is needed.
"""

import io
import pathlib
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from keytokens.pipelines.retrieval.exports.source import Source

VERSION = 1
_TYPES = descriptor_pb2.FieldDescriptorProto
# Message -> (field, type, number); a repeated field names its message.
_MESSAGES: dict[str, list[tuple[str, Any, int]]] = {
    "Header": [
        ("version", _TYPES.TYPE_INT32, 1),
        ("num_postings_lists", _TYPES.TYPE_INT32, 2),
        ("num_docs", _TYPES.TYPE_INT32, 3),
        ("total_postings_lists", _TYPES.TYPE_INT32, 4),
        ("total_docs", _TYPES.TYPE_INT32, 5),
        ("total_terms_in_collection", _TYPES.TYPE_INT64, 6),
        ("average_doclength", _TYPES.TYPE_DOUBLE, 7),
        ("description", _TYPES.TYPE_STRING, 8),
    ],
    "Posting": [("docid", _TYPES.TYPE_INT32, 1), ("tf", _TYPES.TYPE_INT32, 2)],
    "PostingsList": [
        ("term", _TYPES.TYPE_STRING, 1),
        ("df", _TYPES.TYPE_INT64, 2),
        ("cf", _TYPES.TYPE_INT64, 3),
        ("postings", "Posting", 4),
    ],
    "DocRecord": [
        ("docid", _TYPES.TYPE_INT32, 1),
        ("collection_docid", _TYPES.TYPE_STRING, 2),
        ("doclength", _TYPES.TYPE_INT32, 3),
    ],
}


def messages() -> dict[str, Any]:
    """The message classes by name."""
    file = descriptor_pb2.FileDescriptorProto(name="keytokens_ciff.proto", package="keytokens.ciff", syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, kind, number in fields:
            added = message.field.add(name=field, number=number, label=_TYPES.LABEL_OPTIONAL)
            if isinstance(kind, str):
                added.label, added.type, added.type_name = (
                    _TYPES.LABEL_REPEATED,
                    _TYPES.TYPE_MESSAGE,
                    f".{file.package}.{kind}",
                )
            else:
                added.type = kind
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{file.package}.{name}"))
        for name in _MESSAGES
    }


def write(source: Source, path: pathlib.Path) -> dict[str, Any]:
    """Writes the file; lists in the byte order of their terms, which some importers count on."""
    kinds = messages()
    alive = np.flatnonzero(~source.index.store.column("dead_letter"))
    number_of = np.full(source.num_rows, -1, np.int64)
    number_of[alive] = np.arange(len(alive))
    lengths = np.zeros(len(alive), np.int64)
    lists = sorted((column for column, _ in source.lists()), key=lambda column: source.terms[column].encode())
    body = io.BytesIO()
    for column in lists:
        found = source.index.postings.gather(np.array([column + source.first]))
        numbers, impacts = number_of[found.rows], source.integers(found.impacts)
        lengths += np.bincount(numbers, impacts, minlength=len(alive)).astype(np.int64)
        record = kinds["PostingsList"](term=source.terms[column], df=len(numbers), cf=int(impacts.sum()))
        gaps = np.diff(numbers, prepend=0).tolist()
        record.postings.extend(
            kinds["Posting"](docid=gap, tf=impact) for gap, impact in zip(gaps, impacts.tolist(), strict=True)
        )
        _write_delimited(body, record)
    header = kinds["Header"](
        version=VERSION,
        num_postings_lists=len(lists),
        total_postings_lists=len(lists),
        num_docs=len(alive),
        total_docs=len(alive),
        total_terms_in_collection=int(lengths.sum()),
        average_doclength=float(lengths.mean()) if len(alive) else 0.0,
        description=f"Keytokens, field {source.field}, impacts 1 to 255",
    )
    with path.open("wb") as file:
        _write_delimited(file, header)
        file.write(body.getbuffer())
        for number, row in enumerate(alive.tolist()):
            doc_id = source.index.doc_id(row)
            _write_delimited(
                file, kinds["DocRecord"](docid=number, collection_docid=doc_id, doclength=int(lengths[number]))
            )
    return {"documents": len(alive), "terms": len(lists)}


def _write_delimited(file, message) -> None:
    data = message.SerializeToString()
    file.write(_varint(len(data)))
    file.write(data)


def _varint(value: int) -> bytes:
    """Seven bits a byte, lowest first, the high bit set in all but the last."""
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)

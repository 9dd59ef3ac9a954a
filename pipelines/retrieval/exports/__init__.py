"""Writers of the formats that other engines read, one file a format.

Each has `write(source, path)`, which writes a file or a directory and returns counts. `source.py` hands them documents,
terms and impacts; `formats.py` lists them. Terms are pieces of the vocabulary exactly as the tokenizer spells them, or
token ids in decimal: never decoded strings, in which different tokens would fall together.
"""

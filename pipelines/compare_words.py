r"""Compares word embeddings, classical and of LLM embedders: do LLMs offer something new? (arXiv 2402.11094)

  python -m keytokens.pipelines.compare_words --models=all-minilm-l6-v2,glove.txt --words=words.txt \
      --bats_dir=bats --similarity=wordsim --output_dir=words

measures, for any number of models side by side: the cosines of all n(n-1)/2 pairs of the listed words, nearest
neighbours, how far BATS pairs stand out from random ones, seven analogy methods, human similarity scores, and how far
the models agree. Prints the main figures and writes report.html, words.json, the figures, all_pairs.npz (histograms)
and LABEL.neighbours.npz.

--models takes registered names, checkpoint directories and hub ids, whose words are embedded as one-word texts;
lookup:NAME, their input embeddings instead; and vectors that are there: GloVe, word2vec or fastText in text (.txt,
.vec, .gz), binary word2vec (.bin), or ARRAY@WORDLIST for .npy, .safetensors (FILE#TENSOR@WORDLIST) and whatever
TensorStore opens. LABEL=SOURCE renames one; --pooling and --prompt hold for all that are embedded. A word is looked up
as spelled, then in lower case; what a model still lacks is left out and counted, and models are compared on the words
that all of them have.

All 2,741,442,081 pairs of 74,047 words at D = 384 take 20 seconds of CPU time, embedding the words by
all-MiniLM-L6-v2 100, BATS with all methods 70, and less than 2 GiB. Expect MiniLM near 0.73 on WordSim-353 and
25-dimensional GloVe near 0.43.
"""

import sys
from collections.abc import Sequence

from absl import flags

from keytokens.pipelines import cli, results
from keytokens.pipelines.words import bats, material, similarity_sets, summary, word_list

cli.declare_flags("pooling", "prompt", "dtype", "output_dir", "compilation_cache")

MODELS = flags.DEFINE_list("models", None, "What to compare, by commas: model names and vectors, as described above.")
WORDS = flags.DEFINE_string("words", None, "The words whose pairs are all compared: UTF-8, a word a line.")
BATS_DIR = flags.DEFINE_string(
    "bats_dir", None, "BATS 3.0, the folder of its four folders. Without it: no analogies, no related pairs."
)
SIMILARITY = flags.DEFINE_list(
    "similarity", [], "Scored pairs (WordSim-353, SimLex, MEN, RG-65): files of `word word score`, or a folder of them."
)
VOCABULARY = flags.DEFINE_string(
    "vocabulary",
    material.BOTH,
    "Candidate answers of analogies, on which accuracy depends: 'own', the listed words and those of BATS that the "
    "model has; 'common', those that all models have; 'both', one after the other; or a file of words.",
)
REFERENCE = flags.DEFINE_string(
    "reference", None, "The model (its label) that closeness is measured to, in the paper SBERT. Default: the first."
)
NEIGHBOURS = flags.DEFINE_integer(
    "neighbours",
    10,
    "Nearest neighbours kept of each word; 0 for none: they take twice as long as all pairs.",
    lower_bound=0,
)
RANDOM_PAIRS = flags.DEFINE_integer("random_pairs", 100_000, "Random pairs drawn from the listed words.", lower_bound=2)
RANDOM_SEED = flags.DEFINE_integer(
    "random_seed", 0, "Of the random pairs and of the random words of LRCos.", lower_bound=0
)
SAVE_VECTORS = flags.DEFINE_bool(
    "save_vectors",
    False,
    "Also write each model's vectors, LABEL.npy and LABEL.words.txt, to be given as a model again.",
)


def read_material() -> material.Material:
    """What the flags name, read and checked before any model is loaded."""
    candidates = VOCABULARY.value
    given = candidates in (material.OWN, material.COMMON, material.BOTH)
    return material.Material(
        words=word_list.read_words(cli.given(WORDS)),
        categories=bats.read_bats(BATS_DIR.value) if BATS_DIR.value else (),
        sets=similarity_sets.read_similarity_sets(SIMILARITY.value or []),
        candidates=candidates if given else word_list.read_words(candidates),
        num_random=RANDOM_PAIRS.value,
        num_neighbours=NEIGHBOURS.value,
        seed=RANDOM_SEED.value,
    )


def main(argv: Sequence[str]) -> None:
    """Reads, measures, writes."""
    # Here and not above: JAX and matplotlib take 1.7 s, which --help need not spend.
    from keytokens.pipelines.words import sources, study
    from keytokens.pipelines.words.report import page

    del argv
    wanted = read_material()
    recipe = {"pooling": cli.POOLING.value, "prompt": cli.PROMPT.value, "dtype": cli.DTYPE.value}
    asked = sources.parse_sources(cli.given(MODELS), **recipe)
    reference = REFERENCE.value or asked[0].label
    if reference not in (labels := [source.label for source in asked]):
        raise ValueError(f"--reference={reference} is no model of this study; its models are {', '.join(labels)}.")
    summary.check_file_names(labels)
    directory = cli.make_output_dir()
    assert directory is not None, "a required flag"
    words = wanted.all_words()
    vectors = []
    for source in asked:
        say(f"{source.label}: vectors of {len(words):,} words")
        vectors.append(sources.load_source(source, words))
        if SAVE_VECTORS.value:
            sources.save_vectors(directory / summary.file_name(source.label), vectors[-1])
    found = study.run_study(vectors, wanted, say)
    results.write(directory / "words.json", summary.to_json(found, reference))
    summary.write_histograms(directory / "all_pairs.npz", found)
    summary.write_neighbours(directory, found)
    page.write_report(directory, found, reference)
    print(summary.render(found, reference))
    print(f"report.html, words.json, all_pairs.npz and figures: {directory}")


def say(line: str) -> None:
    """Progress, on stderr."""
    print(line, file=sys.stderr, flush=True)


def run() -> None:
    """Entry point of the console script."""
    cli.run(main, required=["models", "words", "output_dir"])


if __name__ == "__main__":
    run()

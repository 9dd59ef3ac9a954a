r"""How many texts a second, against what people use today? Ours, rivals and the bare matrix products in one run.

  python tests/benchmarks/end_to_end.py --memory --output=end_to_end.json
  python tests/benchmarks/end_to_end.py --workload=short=sentences.txt --workload=medium=corpus.jsonl --rounds=7

Every contestant embeds the same texts once a round, in an order that changes; the tables hold medians over the rounds,
and ratios are medians of ratios within a round. Before the rounds each runs once to compile, and what it returned is
compared with our own float32: one whose vectors differ ends the benchmark. Without --workload the texts come from
Python's documentation: sentences, passages of 100 to 250 words, and both mixed with whole articles. MiniLM, and a
decoder of 125M random weights on the last workload, half as many words. Ten minutes on two idle cores, memory
included; `make bench` installs the rivals first, and what is not installed is said to be so.
"""

import argparse
import dataclasses
import functools
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import Any

sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))

from tests.benchmarks.race import agreement, clock, contestant, contestants, environment, rounds, subjects, workloads

_HEADER = (
    *("", "texts/s", "slowest - fastest round", "x sentence-transformers", "x fastest rival", "x matmuls bf16"),
    *("mean cosine", "least", "Jaccard@10", "padding", "others' share", "compile and first run, s", "peak memory, MB"),
)
_FLOOR = "matmuls alone, bfloat16"


def race(
    subject: subjects.Subject,
    chosen: Sequence[contestant.Contestant],
    workload: workloads.Workload,
    runs: dict[str, contestant.Run],
    reference: agreement.Reference,
    asked: argparse.Namespace,
) -> dict[str, Any]:
    """Everything measured of one workload but memory.

    Raises:
      ValueError: an exact contestant's vectors are not those of the reference.
    """
    loaded = reference.load(workload)
    found: dict[str, dict[str, Any]] = {}
    for each in chosen:
        found[each.name] = {"kind": each.kind, "exact": each.exact, "installed": each.name in runs}
        if each.name not in runs:
            continue
        start = time.perf_counter()
        outcome = runs[each.name](workload)
        found[each.name]["first_run_sec"] = time.perf_counter() - start
        near = loaded.compare(outcome)
        if each.exact and (failure := near.failure()):
            raise ValueError(
                f"{each.name} on {workload.name} does not compute what {contestants.REFERENCE} does: {failure}. Its "
                "speed says nothing; mend it, or leave it out with --only."
            )
        found[each.name] |= dataclasses.asdict(near)
        if outcome.computed_tokens is not None:
            found[each.name]["padding"] = 1 - loaded.num_tokens / outcome.computed_tokens
    turns: dict[str, list[clock.Timed]] = {name: [] for name in runs}
    for order in rounds.turns(list(runs), asked.rounds):
        for name in order:
            run = functools.partial(runs[name], workload)
            turns[name].append(clock.timed(run, most_others=asked.most_others, tries=asked.tries))
    seconds = {name: [turn.seconds for turn in each] for name, each in turns.items()}
    rivals = [each.name for each in chosen if each.kind == "rival" and each.exact]
    fastest = rounds.fastest_of(seconds, rivals)
    against = [name for name in (contestants.BASELINE, fastest, _FLOOR) if name]
    for name, speed in rounds.speeds(seconds, len(workload.texts), against=against).items():
        found[name] |= dataclasses.asdict(speed)
        found[name]["turns"] = [dataclasses.asdict(turn) for turn in turns[name]]
    return {
        "model": subject.name,
        "workload": workload.name,
        "source": workload.source,
        "texts": len(workload.texts),
        "tokens": loaded.num_tokens,
        "rounds": asked.rounds,
        "others": statistics.median(turn.others for each in turns.values() for turn in each),
        "most_others": max(turn.others for each in turns.values() for turn in each),
        "fastest_rival": fastest,
        "contestants": found,
    }


def build(subject: subjects.Subject, chosen: Sequence[contestant.Contestant]) -> dict[str, contestant.Run]:
    """The contestants that are installed, loaded."""
    runs = {}
    for each in chosen:
        try:
            runs[each.name] = each.build(subject)
        except contestant.NotInstalled as error:
            print(f"not installed: {each.name} needs {error}", file=sys.stderr)
    return runs


def peak_memory_mb(subject: subjects.Subject, workload: workloads.Workload, name: str) -> float:
    """Of a fresh process that loads one contestant and runs it twice.

    Raises:
      subprocess.CalledProcessError: the process failed; its own message has been printed.
    """
    asked = {"subject": dataclasses.asdict(subject), "path": str(workload.path), "contestant": name}
    command = [sys.executable, __file__, "--one_memory", json.dumps(asked)]
    return float(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()[-1])


def _one_memory(asked: dict[str, Any]) -> float:
    path = pathlib.Path(asked["path"])
    workload = workloads.Workload(path.stem, "", tuple(workloads.read_texts(path)), path)
    chosen = next(each for each in contestants.CONTESTANTS if each.name == asked["contestant"])
    run = chosen.build(subjects.Subject(**asked["subject"]))
    for _ in range(2):
        run(workload)
    return environment.peak_memory_mb()


def render(result: dict[str, Any]) -> str:
    """The table of one workload, with a line above it."""
    rows = []
    for name, one in result["contestants"].items():
        if not one["installed"]:
            rows.append([name, "not installed", *[""] * (len(_HEADER) - 2)])
            continue
        ratios = [one["ratios"].get(other) for other in (contestants.BASELINE, result["fastest_rival"], _FLOOR)]
        rows.append(
            [
                name if one["exact"] else f"{name} (not exact)",
                f"{one['texts_per_sec']:,.1f}",
                f"{one['slowest']:,.1f} - {one['fastest']:,.1f}",
                *(_shown(ratio, ".2f") for ratio in ratios),
                _shown(one["mean_cosine"], ".5f"),
                _shown(one["least_cosine"], ".5f"),
                _shown(one["jaccard"], ".4f"),
                _shown(one.get("padding"), ".1%"),
                f"{statistics.median(turn['others'] for turn in one['turns']):.0%}",
                _shown(one["first_run_sec"], ".1f"),
                _shown(one.get("peak_memory_mb"), ",.0f"),
            ]
        )
    title = (
        f"{result['model']}, {result['workload']}: {result['texts']:,} texts of {result['source']}, "
        f"{result['tokens'] / result['texts']:.1f} tokens each, {result['rounds']} rounds; fastest rival: "
        f"{result['fastest_rival'] or 'none installed'}; other processes took {result['others']:.0%} of the cores, "
        f"{result['most_others']:.0%} in the worst turn"
    )
    return f"{title}\n\n{rounds.table(_HEADER, rows)}\n"


def _shown(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def gather_texts(asked: argparse.Namespace) -> dict[str, tuple[str, list[str]]]:
    """Workload -> where its texts come from, and all that there are."""
    if not asked.workload:
        found = workloads.from_python_documentation()
        return {name: ("Python's documentation", texts) for name, texts in found.items()}
    given = {}
    for pair in asked.workload:
        name, separator, path = pair.partition("=")
        if not separator or not name.isidentifier():
            raise ValueError(f"--workload={pair} is not NAME=FILE, NAME a plain word; nothing was measured.")
        given[name] = pathlib.Path(path).name, workloads.read_texts(pathlib.Path(path))
    return given


def race_model(
    model: str, names: Sequence[str], texts: dict[str, tuple[str, list[str]]], asked: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    """Every workload of one model."""
    with tempfile.TemporaryDirectory() as scratch:
        place = pathlib.Path(scratch)
        if model == subjects.MINILM:
            subject, words = subjects.minilm(place), asked.words
        else:
            everything = [text for _, each in texts.values() for text in each]
            subject, words = subjects.decoder(place, everything), asked.words // 2
            texts = {name: texts[name] for name in asked.decoder_workloads or list(texts)[-1:]}
        chosen = [each for each in contestants.CONTESTANTS if each.name in names and each.subject in ("", model)]
        runs, reference = build(subject, chosen), agreement.Reference(subject)
        loads = [
            workloads.write(name, source, workloads.sample(found, num_texts=asked.texts, num_words=words), place)
            for name, (source, found) in texts.items()
        ]
        longest = max(loads, key=lambda load: load.num_words / len(load.texts))
        for load in loads:
            result = race(subject, chosen, load, runs, reference, asked)
            if asked.memory and load is longest:
                for name in runs:
                    result["contestants"][name]["peak_memory_mb"] = peak_memory_mb(subject, load, name)
            yield result


def _write(path: pathlib.Path, found: dict[str, Any], shown: Sequence[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    path.with_suffix(".md").write_text("\n\n".join(shown), "utf-8")


def main() -> None:
    """Races every model on every workload, printing tables as they are done."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--workload", action="append", metavar="NAME=FILE", help="a text a line, or BEIR's corpus.jsonl"
    )
    parser.add_argument("--models", default=",".join(subjects.NAMES))
    parser.add_argument("--only", help="contestants, separated by semicolons; default: all")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--most_others",
        type=float,
        default=0.1,
        help="share of the cores that others may take before a turn is repeated",
    )
    parser.add_argument("--tries", type=int, default=3, help="of a turn; the least disturbed counts")
    parser.add_argument("--texts", type=int, default=512, help="of a workload, at most")
    parser.add_argument("--words", type=int, default=8000, help="of a workload, at most; the decoder gets half")
    parser.add_argument("--decoder_workloads", nargs="+", help="workloads of the decoder; default: the last one")
    parser.add_argument("--memory", action="store_true", help="also peak memory, on the workload of the longest texts")
    parser.add_argument("--output", type=pathlib.Path, help="write everything there as JSON, tables beside it as .md")
    parser.add_argument("--one_memory", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one_memory:
        print(_one_memory(json.loads(asked.one_memory)))
        return
    known = [each.name for each in contestants.CONTESTANTS]
    names, model_names = asked.only.split(";") if asked.only else known, asked.models.split(",")
    for given, there_are in ((names, known), (model_names, subjects.NAMES)):
        if unknown := sorted(set(given) - set(there_are)):
            parser.error(f"there is no {', '.join(unknown)}; there are: {'; '.join(there_are)}")
    texts = gather_texts(asked)
    if unknown := sorted(set(asked.decoder_workloads or ()) - set(texts)):
        parser.error(f"--decoder_workloads: there is no {', '.join(unknown)}; there are: {', '.join(texts)}")
    described = environment.describe()
    results, shown = [], [environment.line(described)]
    print(shown[0], flush=True)
    for model in model_names:
        for result in race_model(model, names, texts, asked):
            results.append(result)
            shown.append(render(result))
            print(f"\n{shown[-1]}", flush=True)
            if asked.output:  # after every workload: what is measured stays measured
                _write(asked.output, {"environment": described, "races": results}, shown)


if __name__ == "__main__":
    main()

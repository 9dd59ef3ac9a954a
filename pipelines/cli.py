"""Flags that several programs share, and how every program starts: one vocabulary and clean errors."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import pathlib
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from absl import app, flags, logging

from keytokens import models
from keytokens.pipelines import compilation, run_errors

if TYPE_CHECKING:
    from apache_beam.options import pipeline_options

MODEL = flags.DEFINE_string(
    "model", None, "The embedder: a registered name, a local directory in Hugging Face layout, or a hub id."
)
PROMPT = flags.DEFINE_string(
    "prompt", None, "Text put before every document. Default: what the checkpoint's own files say, or none."
)
POOLING = flags.DEFINE_string(
    "pooling",
    None,
    "How token states become one vector (mean, weightedmean, lasttoken, cls). Default: the checkpoint's.",
)
MAX_LENGTH = flags.DEFINE_integer(
    "max_length",
    None,
    "Tokens read of a text, special tokens included; longer texts are cut and flagged. Default: the checkpoint's.",
    lower_bound=3,
)
DTYPE = flags.DEFINE_enum(
    "dtype",
    "float32",
    ["float32", "bfloat16", "int16"],
    "Of weights and products; sums and pooling are always float32. int16 is the fast choice on CPUs with AVX-512 VNNI "
    "or AVX2; key tokens are those of float32; it needs the C++ library (make cpu-ffi).",
)
HEAD = flags.DEFINE_string(
    "head", None, "Checkpoint whose LM head decodes, where it is not the embedder's own: a name, directory or hub id."
)
CORPUS = flags.DEFINE_list("corpus", None, "Input files: paths or globs, separated by commas; quote globs.")
BACKBONE = flags.DEFINE_string(
    "backbone",
    None,
    "The model the embedder was trained from: a name, directory or hub id, or `default` for what the registry says.",
)
K = flags.DEFINE_integer(
    "k", None, "Key tokens per text. Default: 256 where they are stored, 10 where they are shown.", lower_bound=1
)
STORE = flags.DEFINE_string("store", None, "A store that align_corpus has written: a local path or kvstore URL.")
TEXT = flags.DEFINE_multi_string("text", None, "A text to explain; may be given several times.")
MODEL_PATH = flags.DEFINE_string(
    "model_path", None, "Where the store's embedder lies, if the store's name for it is no path and no hub id."
)
BACKBONE_PATH = flags.DEFINE_string(
    "backbone_path", None, "Where the store's backbone lies, if the store's name for it is no path and no hub id."
)
OUTPUT = flags.DEFINE_string("output", None, "What to write: a local path or, for stores, any TensorStore kvstore URL.")
HTML = flags.DEFINE_string("html", None, "Write the result as a self-contained HTML page to this file.")
QUERIES_FILE = flags.DEFINE_string(
    "queries_file", None, "Queries: BEIR's JSONL with _id and text, or plain text lines."
)
QUERY_K = flags.DEFINE_integer(
    "query_k", None, "Key tokens a query. Default: 512, which BUILD_NOTES.md compares with others.", lower_bound=1
)
OUTPUT_DIR = flags.DEFINE_string("output_dir", None, "Directory for files that people read; made if missing.")
COMPILATION_CACHE = flags.DEFINE_string(
    "compilation_cache",
    None,
    "Directory where compiled programs are kept from one start to the next, trusted as code is; `off` keeps none. "
    "Default: what JAX_COMPILATION_CACHE_DIR says, else keytokens/xla in the user's cache directory.",
)


# Which embedder, and how it reads texts; it is compiled.
MODEL_FLAGS = ("model", "prompt", "pooling", "max_length", "dtype", "head", "compilation_cache")

# What another path mends; a full disk or too many open files are of the same class, and need something else.
_OF_A_PATH = (FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError, PermissionError)

T = TypeVar("T")


def given(flag: flags.FlagHolder[T | None]) -> T:
    """The value of a flag that `run` has made sure of."""
    value = flag.value
    assert value is not None, flag.name
    return value


def model_from_flags() -> models.EmbedderConfig:
    """The embedder that --model and its companions describe; reads its configuration, not its weights."""
    return models.read_embedder(
        given(MODEL),
        prompt=PROMPT.value,
        pooling=POOLING.value,
        max_length=MAX_LENGTH.value,
        dtype=DTYPE.value,
        head=HEAD.value,
    )


def backbone_from_flags(model: models.EmbedderConfig) -> models.EmbedderConfig | None:
    """The backbone that --backbone names, with the embedder's recipe; None where none was asked for.

    Raises:
      ValueError: the default was asked for, and the registry knows none.
    """
    name = BACKBONE.value
    if not name:
        return None
    if name == "default":
        name = model.default_backbone
        if not name:
            raise ValueError(
                f"--backbone=default: the registry names no backbone of {model.name}. Name the model that it was "
                "trained from."
            )
    return models.read_embedder(name, recipe=model.recipe, dtype=model.dtype)


def beam_options(argv: Sequence[str]) -> pipeline_options.PipelineOptions:
    """Beam's options from what stands after `--`; without a runner FnApiRunner, which never touches the network.

    Raises:
      ValueError: an option that Beam does not know. (Beam itself would drop it with a warning.)
    """
    # Imported here: Beam takes 1.3 s, and only a program that launches a pipeline calls this.
    from apache_beam.options import pipeline_options

    if any(argument.rpartition("=")[2].rpartition(".")[2] == "DaskRunner" for argument in argv):
        importlib.import_module("apache_beam.runners.dask.dask_runner")  # which makes its options known
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for group in pipeline_options.PipelineOptions.__subclasses__():
        group._add_argparse_args(parser)  # type: ignore[arg-type]
    known, unknown = parser.parse_known_args(list(argv))
    if unknown:
        raise ValueError(
            f"{' '.join(unknown)}: no option of Beam. Flags of this program stand before `--`, Beam's after it; "
            "--help lists the former."
        )
    runner = [] if known.runner else ["--runner=FnApiRunner"]
    return pipeline_options.PipelineOptions([*argv, *runner])


def check_output_files(*named_by: flags.FlagHolder[str | None]) -> None:
    """Refuses files that cannot be written, before a program has worked for them.

    Args:
      named_by: the flags that name them; without any, --output and --html.

    Raises:
      ValueError: a file cannot stand there.
    """
    for flag in named_by or (OUTPUT, HTML):
        if not flag.value:
            continue
        path = pathlib.Path(flag.value)
        if path.is_dir():
            raise ValueError(f"--{flag.name}={path} is a directory, and a file is to be written. Name a file in it.")
        if not path.parent.is_dir():
            raise ValueError(
                f"--{flag.name}={path}: there is no directory {path.parent}, so that nothing could be written there. "
                "Make it first, or name another."
            )
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            raise ValueError(
                f"--{flag.name}={path} may not be written by you. Name another file, or change its rights."
            )


def make_output_dir() -> pathlib.Path | None:
    """The directory that --output_dir names, made where it is missing; None where none is named.

    Raises:
      ValueError: it cannot be made.
    """
    if not OUTPUT_DIR.value:
        return None
    directory = pathlib.Path(OUTPUT_DIR.value)
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(
            f"--output_dir={directory} can be no directory for results: {error.strerror}. Name one that you may write."
        ) from error
    return directory


def write_json_output(value: Any) -> None:
    """Writes what a program has shown people as JSON to --output, where that is given."""
    if OUTPUT.value:
        pathlib.Path(OUTPUT.value).write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", "utf-8")


def declare_flags(*names: str) -> None:
    """Makes shared flags the calling program's own: they are in its --help, and others of them are refused."""
    module = sys._getframe(1).f_globals["__name__"]
    for name in names:
        _register(module, name)


def _register(module: str, name: str) -> None:
    # absl knows the program that was started by its path, not as __main__.
    key = sys.argv[0] if module == "__main__" else module
    flags.FLAGS.register_key_flag_for_module(key, flags.FLAGS[name])


def run(main: Callable[[Sequence[str]], None], *, required: Sequence[str]) -> None:
    """Parses flags and runs `main`; what a user can mend, and a run cut short, is one line on stderr and status 2.

    Args:
      main: of the program; gets the arguments after `--`.
      required: names of flags without which nothing starts.
    """
    if main.__module__ != "__main__":  # started by its console script: --help must still be the program's
        sys.modules["__main__"].__doc__ = sys.modules[main.__module__].__doc__
        for flag in flags.FLAGS.get_key_flags_for_module(main.__module__):
            _register("__main__", flag.name)

    def guarded(argv: Sequence[str]) -> int | None:
        if not flags.FLAGS["verbosity"].present:
            logging.set_verbosity(logging.WARNING)  # Beam and JAX have nothing to say that a user must read
        try:
            if COMPILATION_CACHE.name in _refuse_flags_of_others():
                _keep_what_is_compiled()
            main(argv[1:])
        except BrokenPipeError:  # the reader of our output, such as head, has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except (ValueError, ImportError, OSError, run_errors.RunError) as error:
            logging.debug("traceback", exc_info=True)  # --verbosity=1 shows it
            print(f"error: {_of_the_system(error) if isinstance(error, OSError) else error}", file=sys.stderr)
            return 2
        except KeyboardInterrupt as error:
            logging.debug("traceback", exc_info=True)
            print("; ".join(["interrupted", *map(str, error.args)]), file=sys.stderr)
            return 130
        return None

    app.run(guarded, flags_parser=lambda argv: _parse_flags(argv, required))


def _parse_flags(argv: Sequence[str], required: Sequence[str]) -> list[str]:
    """absl's own parser, but that help is no failure, and a mistake the one line and status of every other."""
    try:
        arguments = flags.FLAGS(argv)
        if missing := [f"--{name}" for name in required if flags.FLAGS[name].value is None]:
            raise flags.Error(f"{', '.join(missing)}: must be given, there is no default")
        return arguments
    except SystemExit:  # of --help and --helpfull, which have printed what was asked for, and leave with 1
        sys.exit(0)
    except flags.Error as error:
        said = "; ".join(str(error).splitlines())
        print(f"error: {said} (--help lists the flags)", file=sys.stderr)
        sys.exit(2)


def _of_the_system(error: OSError) -> str:
    """What the operating system refused, and the path that it was about; its own words alone say too little."""
    if error.filename is None:
        return f"{type(error).__name__}: {error}"
    said = f"{error.filename}: {error.strerror}"
    return f"{said}. Name a path that exists and that you may use." if isinstance(error, _OF_A_PATH) else said


def _keep_what_is_compiled() -> None:
    if warning := compilation.use_cache(COMPILATION_CACHE.value):
        print(f"warning: {warning}", file=sys.stderr)


def _refuse_flags_of_others() -> set[str]:
    """The program's own flags, once no other is given."""
    own = {flag.name for flag in flags.FLAGS.get_key_flags_for_module(sys.argv[0])}
    shared = flags.FLAGS.flags_by_module_dict()[__name__]
    if strange := [f"--{flag.name}" for flag in shared if flag.present and flag.name not in own]:
        raise ValueError(
            f"{', '.join(strange)}: no flag of this program, so it would change nothing. --help lists its own."
        )
    return own

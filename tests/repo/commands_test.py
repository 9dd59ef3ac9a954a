"""Every documented command parses: programs exist, flags are theirs, make targets are there."""

import copy
import importlib
import pathlib
import re
import shlex

import pytest
from absl import flags

from keytokens.pipelines import cli

ROOT = pathlib.Path(__file__).parents[2]
SOURCES = [
    ROOT / "README.md",
    ROOT / "BUILD_NOTES.md",
    ROOT / "Makefile",
    *sorted((ROOT / "pipelines").glob("*.py")),
    *sorted((ROOT / "tests").rglob("*.py")),
]
_COMMAND = re.compile(r"-m (keytokens\.pipelines\.[a-z_]+)((?:\\\n|[^\n`])*)")
_MAKE = re.compile(r"(?:^|`)make ([a-z-]+)", re.MULTILINE)


def commands():
    for path in SOURCES:
        if path == pathlib.Path(__file__):
            continue
        text = path.read_text("utf-8")
        text = text.replace("$(DEMO)", "demo_output")
        for match in _COMMAND.finditer(text):
            line = match[2].replace("\\\n", " ").split("#")[0]
            yield pytest.param(match[1], line, id=f"{path.name}:{match[1].rsplit('.', 1)[1]}")


COMMANDS = list(commands())


@pytest.mark.parametrize(("module", "line"), COMMANDS)
def test_a_documented_command_parses(module, line):
    program = importlib.import_module(module)
    arguments = shlex.split(line)
    ours, beams = arguments, []
    if "--" in arguments:
        ours, beams = arguments[: arguments.index("--")], arguments[arguments.index("--") + 1 :]
    values = flags.FlagValues()
    for flag in flags.FLAGS.get_key_flags_for_module(module):
        values[flag.name] = copy.deepcopy(flag)
    rest = values(["program", *[argument for argument in ours if argument != "--help"]])
    assert rest[1:] == [], f"{module} does not understand {rest[1:]}"
    assert callable(program.main) and callable(program.run)
    cli.beam_options(beams)


def test_the_readme_shows_every_program():
    shown = {param.values[0].rsplit(".", 1)[1] for param in COMMANDS if param.id.startswith("README")}
    programs = {path.stem for path in (ROOT / "pipelines").glob("*.py") if "cli.run(main" in path.read_text("utf-8")}
    assert programs <= shown, f"not in the README: {sorted(programs - shown)}"


def test_every_console_script_is_a_program():
    text = (ROOT / "setup.py").read_text("utf-8")
    listed = set(re.search(r"PROGRAMS = \((.*?)\)", text, re.DOTALL)[1].replace('"', "").replace(",", " ").split())
    programs = {path.stem for path in (ROOT / "pipelines").glob("*.py") if "cli.run(main" in path.read_text("utf-8")}
    assert listed == programs


@pytest.mark.parametrize("name", ["README.md", "BUILD_NOTES.md"])
def test_documented_make_targets_exist(name):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    documented = set(_MAKE.findall((ROOT / name).read_text("utf-8")))
    assert documented, f"{name} shows no make target"
    assert documented <= targets

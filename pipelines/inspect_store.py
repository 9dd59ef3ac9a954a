"""Says what a store is, how complete, whether its bytes are whole, and which rows have no embedding.

  python -m keytokens.pipelines.inspect_store --store=out.zarr --verify

prints the model, the counts, the units that are missing and the dead letters; --verify reads every chunk and all
metadata back, so that a flipped bit, a missing shard or a wrong shape is found, and says what mends it: a launch alone
leaves the rows of finished units as they are. Seconds without --verify; with it, the time to read the store once. Exit
status 1 if the store is incomplete or damaged, 2 if it cannot be inspected; --output writes the same as JSON.
"""

import sys
from collections.abc import Sequence
from typing import Any

from absl import flags

from keytokens.pipelines import cli
from keytokens.pipelines.report import terminal
from keytokens.pipelines.store import damage, identity, reader, run_state, verify_index
from keytokens.pipelines.store import verify as store_verify

cli.declare_flags("store", "output")

VERIFY = flags.DEFINE_bool("verify", False, "Read every chunk: checksums, shapes, order of the postings.")
NUM_DEAD_LETTERS = flags.DEFINE_integer("num_dead_letters", 10, "Dead letters shown.", lower_bound=0)
_SHOWN_UNITS = 20


def inspect(url: str, *, verify: bool, num_dead_letters: int = 10) -> dict[str, Any]:
    """What there is to know of a store, as JSON.

    Raises:
      ValueError: there is no store at `url`, its manifest is damaged or, without `verify`, a dead letter.
    """
    store = reader.StoreReader(url, complete=False)
    digest = identity.identity_sha256(store.manifest["identity"])
    done = [
        marker
        for unit in run_state.finished_units(store.files)
        if (marker := run_state.read_marker(store.files, unit, digest)) is not None
    ]
    missing = sorted(set(range(store.dims.num_units)) - {marker.unit for marker in done})
    complete = store.files.read(run_state.COMPLETED) is not None and not missing
    # Letters that cannot be read are damage where damage is looked for; elsewhere an error.
    letters = run_state.summarize_dead_letters(store.files, num_dead_letters, skip_unreadable=verify)
    found = None
    if verify:
        found = [*store_verify.damage(store, done, complete=complete), *verify_index.damage(store)]
    return {
        "store": store.files.url,
        "manifest": store.manifest,
        "complete": complete,
        "units_done": len(done),
        "units": store.dims.num_units,
        "missing_units": missing,
        "rows_done": sum(marker.rows for marker in done),
        "padding_share": 1 - sum(m.real_tokens for m in done) / max(1, sum(m.batch_tokens for m in done)),
        "dead_letters": letters.kinds,
        "first_dead_letters": letters.first,
        "damage": None if found is None else [one.what for one in found],
        "cure": None if found is None else damage.cure(found, store.manifest),
    }


def render(found: dict[str, Any]) -> str:
    """The same for people."""
    manifest = found["manifest"]
    model = manifest["identity"]["model"]
    lines = [
        f"{found['store']}: schema {manifest['schema_version']}, written by version {manifest['program_version']}",
        f"model {model['name']}, k = {manifest['dimensions']['k']}, "
        f"V = {manifest['dimensions']['vocab_size']:,}, D = {manifest['dimensions']['hidden_size']:,}",
        f"{'complete' if found['complete'] else 'NOT COMPLETE'}: {found['units_done']} of {found['units']} units, "
        f"{found['rows_done']:,} of {manifest['dimensions']['num_rows']:,} rows, {found['padding_share']:.0%} padding",
    ]
    if found["missing_units"]:
        more = " ..." if len(found["missing_units"]) > _SHOWN_UNITS else ""
        lines.append(f"missing units: {' '.join(map(str, found['missing_units'][:_SHOWN_UNITS]))}{more}")
    lines += [f"dead letters: {kind} {count:,}" for kind, count in sorted(found["dead_letters"].items())]
    for letter in found["first_dead_letters"]:
        lines.append(f"  {letter['file']}:{letter['line']} (row {letter['row']}): {letter['reason']}")
    if found["damage"] is not None:
        lines.append(f"damage: {len(found['damage'])}" if found["damage"] else "every finished unit reads back whole")
        lines += [f"  {line}" for line in found["damage"]]
        lines += damage.render_cure(found["cure"])
    return terminal.printable("\n".join(lines))


def main(argv: Sequence[str]) -> None:
    """Prints, and exits with 1 if the store is not whole."""
    del argv
    cli.check_output_files()
    found = inspect(cli.given(cli.STORE), verify=VERIFY.value, num_dead_letters=NUM_DEAD_LETTERS.value)
    print(render(found))
    cli.write_json_output(found)
    if not found["complete"] or found["damage"]:
        sys.exit(1)


def run() -> None:
    """Entry point of the console script."""
    cli.run(main, required=["store"])


if __name__ == "__main__":
    run()

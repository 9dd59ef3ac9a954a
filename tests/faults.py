"""Units of work that go wrong on purpose, importable by worker processes."""

import dataclasses
import os
import pathlib
import signal
import time

import apache_beam as beam
import numpy as np

from keytokens.pipelines import encoder, finalize, plan, transforms, unit_work


def define_pipeline(pipeline: beam.Pipeline, do_fn: transforms.EmbedUnit, units: tuple[plan.Unit, ...]) -> None:
    """The main job's graph with another DoFn in the middle."""
    _ = (
        pipeline
        | "Units" >> beam.Create(units, reshuffle=False)
        | "SpreadUnits" >> beam.Reshuffle()
        | "EmbedUnits" >> beam.ParDo(do_fn)
        | "AllUnits" >> beam.combiners.Count.Globally()
        | "CompleteStore" >> beam.Map(lambda _, run: finalize.finalize(run), do_fn.run)
    )


class IgnoreMarkers(transforms.EmbedUnit):
    """Works on every unit as often as it is asked to."""

    def process(self, element: plan.Unit):
        yield unit_work.process(self.run, element)


class GarbageThenDeath(transforms.EmbedUnit):
    """The first attempt at each unit writes garbage into its shards, and dies.

    Args:
      run: of the main job.
      attempts: a directory that remembers which units have been attempted.
      units: which units go wrong.
      kill: whether the process dies, rather than the attempt.
    """

    def __init__(self, run, attempts: str, *, units: tuple[int, ...], kill: bool = False):
        super().__init__(run)
        self._attempts, self._units, self._kill = attempts, units, kill

    def process(self, element: plan.Unit):
        attempt = pathlib.Path(self._attempts) / str(element.index)
        if element.index in self._units and not attempt.exists():
            attempt.touch()
            self._write_garbage(element)
            if self._kill:
                os.kill(os.getpid(), signal.SIGKILL)
            raise RuntimeError(f"unit {element.index} dies on purpose")
        yield from super().process(element)

    def _write_garbage(self, unit: plan.Unit) -> None:
        out = unit_work._writer(self.run)
        for members in unit_work._in_shards(unit_work.reading.read_unit(unit), self.run.dims.shard_rows):
            rows = unit_work._work(self.run, members[0].row, members).rows
            garbage = dataclasses.replace(
                rows, values=np.full_like(rows.values, -1e9), doc_ids=["garbage"] * len(rows.doc_ids)
            )
            out.write_shard(garbage)


class OneDiesOthersSleep(transforms.EmbedUnit):
    """The first unit kills its process; all others would take an hour."""

    def process(self, element: plan.Unit):
        if element.index == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(3600)
        yield None


class Witness(transforms.EmbedUnit):
    """Leaves a note of the process that worked: threads, model copies, an option that only Beam could have carried."""

    def __init__(self, run, notes: str):
        super().__init__(run)
        self._notes = notes

    def process(self, element: plan.Unit):
        from apache_beam.options.value_provider import RuntimeValueProvider

        yield from super().process(element)
        threads = [path.read_text().strip() for path in pathlib.Path("/proc/self/task").glob("*/comm")]
        note = {
            "job_name": RuntimeValueProvider.get_value("job_name", str, ""),
            "models_loaded": encoder._cached.cache_info().misses,
            "xla_threads": sum("XLA" in name for name in threads),
            "parent": os.getppid(),
        }
        (pathlib.Path(self._notes) / f"{os.getpid()}.{element.index}").write_text(repr(note))


class Interrupted(transforms.EmbedUnit):
    """Somebody presses Ctrl-C while the second unit is worked on."""

    def process(self, element: plan.Unit):
        if element.index == 1:
            raise KeyboardInterrupt
        yield from super().process(element)

"""The main job as a Beam graph: linear on purpose, without tagged outputs, finish_bundle or buffers between bundles.

Some runners lose the output of finish_bundle and merge tagged outputs; dead letters therefore go to disk, and the last
step reads markers, not elements.
"""

import time
from collections.abc import Iterator, Sequence

import apache_beam as beam
from apache_beam.metrics import Metrics, MetricsFilter
from apache_beam.runners.runner import PipelineResult

from keytokens.pipelines import align_run, compilation, finalize, plan, unit_work
from keytokens.pipelines.store import run_state

NAMESPACE = "keytokens"
# What Beam counts of every unit that is worked through. A unit that two workers work through counts twice here and
# once in the store: markers are the truth.
COUNTED = ("rows", "dead_letters", "truncated", "tokens", "batch_tokens", "real_tokens")


class UnitsToStore(beam.PTransform):
    """Work units in; one dict of counts out, once the store is complete."""

    def __init__(self, run: align_run.AlignRun):
        super().__init__()
        self.run = run

    def expand(self, units: beam.PCollection) -> beam.PCollection:
        """Spread, work, count, complete."""
        return (
            units
            | "SpreadUnits" >> beam.Reshuffle()
            | "EmbedUnits" >> beam.ParDo(EmbedUnit(self.run))
            | "AllUnits" >> beam.combiners.Count.Globally()
            | "CompleteStore" >> beam.Map(_complete, self.run)
        )


def define_pipeline(pipeline: beam.Pipeline, run: align_run.AlignRun, units: Sequence[plan.Unit]) -> beam.PCollection:
    """The main job under `pipeline`'s root."""
    # Without the Reshuffle inside UnitsToStore, FnApiRunner gives a second worker nothing.
    return pipeline | "Units" >> beam.Create(units, reshuffle=False) | "ToStore" >> UnitsToStore(run)


class EmbedUnit(beam.DoFn):
    """plan.Unit -> run_state.UnitMarker; a unit that is already done is skipped."""

    def __init__(self, run: align_run.AlignRun):
        self.run = run
        names = ("units_done", "units_skipped", *COUNTED, *compilation.Compiled._fields)
        self._count = {name: Metrics.counter(NAMESPACE, name) for name in names}
        self._per_unit = {
            name: Metrics.distribution(NAMESPACE, name)
            for name in ("unit_msec", "unit_texts_per_sec", "unit_tokens_per_sec", "unit_padding_percent")
        }

    def process(self, element: plan.Unit) -> Iterator:
        """Works on one unit."""
        marker = unit_work.finished(self.run, element)
        if marker is not None:
            self._count["units_skipped"].inc()
        else:
            compilation.CLOCK.start()
            start = time.monotonic()
            marker = unit_work.process(self.run, element)
            self._observe(marker, time.monotonic() - start)
        yield marker

    def _observe(self, marker: run_state.UnitMarker, seconds: float) -> None:
        for name, number in compilation.CLOCK.take()._asdict().items():
            self._count[name].inc(number)
        self._count["units_done"].inc()
        for name in COUNTED:
            self._count[name].inc(getattr(marker, name))
        padding = 1 - marker.real_tokens / max(1, marker.batch_tokens)
        for name, value in {
            "unit_msec": seconds * 1000,
            "unit_texts_per_sec": marker.rows / seconds,
            "unit_tokens_per_sec": marker.tokens / seconds,
            "unit_padding_percent": padding * 100,
        }.items():
            self._per_unit[name].update(round(value))


def compiled(result: PipelineResult) -> compilation.Compiled | None:
    """What all workers compiled; None on an engine that reports no counters, or where every unit was done before."""
    try:
        counters = result.metrics().query(MetricsFilter().with_namespace(NAMESPACE))["counters"]
    except NotImplementedError:
        return None
    found = {counter.key.metric.name: counter.result for counter in counters}
    if "programs" not in found:
        return None
    return compilation.Compiled(*(found[name] for name in compilation.Compiled._fields))


def _complete(unused_num_units: int, run: align_run.AlignRun) -> dict[str, int]:
    return finalize.finalize(run)

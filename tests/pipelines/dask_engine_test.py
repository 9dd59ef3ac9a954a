"""What Beam's DaskRunner would lose is refused; what we run there is not."""

import apache_beam as beam
import pytest

from keytokens.pipelines import align_run, cli, engines, transforms
from tests import small_run

dask_engine = pytest.importorskip("keytokens.pipelines.dask_engine", reason="dask is not installed")


class EmitsLate(beam.DoFn):
    def process(self, element):
        del element

    def finish_bundle(self):
        yield beam.utils.windowed_value.WindowedValue(1, 0, [beam.transforms.window.GlobalWindow()])


class KeepsState(beam.DoFn):
    COUNT = beam.transforms.userstate.CombiningValueStateSpec("count", sum)

    def process(self, element, count=beam.DoFn.StateParam(COUNT)):  # noqa: B008 (Beam wants it there)
        count.add(1)
        yield element


def refusal(build) -> str:
    pipeline = beam.Pipeline(runner="FnApiRunner")
    build(pipeline | beam.Create([1, 2, 3]))
    with pytest.raises(dask_engine.UnsafeOnDaskError) as refused:
        dask_engine.refuse_what_dask_loses(pipeline)
    return str(refused.value)


def test_output_of_finish_bundle():
    assert "what EmitsLate.finish_bundle emits would be lost" in refusal(lambda p: p | beam.ParDo(EmitsLate()))


def test_batch_elements_and_so_run_inference():
    assert "finish_bundle emits would be lost" in refusal(lambda p: p | beam.BatchElements())


def test_tagged_outputs():
    words = refusal(lambda p: (p | beam.ParDo(lambda x: [x]).with_outputs("bad", main="good")).good | beam.Map(print))
    assert "would be merged into one" in words


def test_exception_handling():
    assert "merged" in refusal(lambda p: (p | beam.Map(lambda x: 1 / x).with_exception_handling())[0] | beam.Map(print))


def test_a_second_branch():
    def two(numbers):
        numbers | "first" >> beam.Map(print)
        numbers | "second" >> beam.Map(print)

    assert "first: its branch is not the last one" in refusal(two).replace("Map(print)", "first")


def test_state():
    keyed = refusal(lambda p: p | beam.Map(lambda x: (x, x)) | beam.ParDo(KeepsState()))
    assert "KeepsState keeps state" in keyed


def test_the_main_job_loses_nothing_there(tmp_path):
    run, planned = align_run.prepare(small_run.options(tmp_path))
    pipeline = beam.Pipeline(runner="FnApiRunner")
    transforms.define_pipeline(pipeline, run, planned.units)
    pipeline.replace_all(dask_engine.overrides.dask_overrides())
    dask_engine.refuse_what_dask_loses(pipeline)


def test_the_option_leads_to_the_checked_runner():
    assert isinstance(engines.pipeline(cli.beam_options(["--runner=DaskRunner"])).runner, dask_engine.CheckedDaskRunner)

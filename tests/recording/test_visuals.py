"""Histograms and images as TensorBoard's own plugins serve them."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpo.paths import TrialPaths
from hpo.recording.protocol import NullRecorder, VisualRecorder
from hpo.recording.results import ResultsJson
from hpo.recording.tensorboard import TensorBoard
from tests.recording.test_png import decode

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # tensorboard's own imports
    from tensorboard import context
    from tensorboard.backend.event_processing import data_provider, plugin_event_multiplexer
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins import base_plugin
    from tensorboard.plugins.histogram.histograms_plugin import HistogramsPlugin
    from tensorboard.plugins.image.images_plugin import ImagesPlugin


def served(info) -> base_plugin.TBContext:
    """What a TensorBoard of the experiment's directory gives its plugins."""
    root = Path(info.directory).parent
    multiplexer = plugin_event_multiplexer.EventMultiplexer(tensor_size_guidance={"images": 100})
    multiplexer.AddRunsFromDirectory(str(root))
    multiplexer.Reload()
    provider = data_provider.MultiplexerDataProvider(multiplexer, str(root))
    return base_plugin.TBContext(data_provider=provider, assets_zip_provider=None, sampling_hints={})


def run_of(info) -> str:
    return f"{Path(info.directory).name}/dashboard"


def table(info, tag: str) -> np.ndarray:
    """The buckets of the only histogram of `tag`, as the plugin answers the browser."""
    plugin = HistogramsPlugin(served(info))
    (event,), mime_type = plugin.histograms_impl(context.RequestContext(), tag, run_of(info), "")
    assert mime_type == "application/json"
    return np.array(event[2])


def write_histogram(info, values: Any, step: int = 7) -> None:
    recorder = TensorBoard(info)
    recorder.histograms({"weights/fc1.weight": np.asarray(values)}, step)
    recorder.close({})


def test_tensorboard_is_the_one_that_shows():
    assert issubclass(TensorBoard, VisualRecorder)
    assert not issubclass(ResultsJson, VisualRecorder)
    assert not isinstance(NullRecorder(), VisualRecorder)


def test_tensorboards_plugin_shows_a_histogram_of_every_value(info):
    values = np.random.default_rng(0).normal(size=(40, 25)).astype(np.float32)
    write_histogram(info, values)
    buckets = table(info, "weights/fc1.weight")
    assert buckets.shape == (30, 3)
    counts, edges = np.histogram(values.astype(np.float64), bins=30)
    assert buckets[:, 2].tolist() == counts.tolist()
    assert buckets[:, 0] == pytest.approx(edges[:-1])
    assert buckets[:, 1] == pytest.approx(edges[1:])


def test_tensorboards_plugins_find_what_is_theirs_by_its_tag(info):
    recorder = TensorBoard(info)
    recorder.histograms({"weights/a": np.ones(3), "gradients/a": np.ones(3)}, 1)
    recorder.images("worst", np.zeros((1, 2, 2, 1), np.uint8), 1)
    recorder.close({})
    histograms = HistogramsPlugin(served(info)).index_impl(context.RequestContext(), "")[run_of(info)]
    assert set(histograms) == {"weights/a", "gradients/a"}
    images = ImagesPlugin(served(info))._index_impl(context.RequestContext(), "")[run_of(info)]
    assert set(images) == {"worst"}


def test_a_histogram_is_a_tensor_of_its_step(info):
    write_histogram(info, [1.0, 2.0], step=1875)
    accumulator = EventAccumulator(str(TrialPaths(Path(info.directory)).dashboard))
    accumulator.Reload()
    (event,) = accumulator.Tensors("weights/fc1.weight")
    assert event.step == 1875
    assert [size.size for size in event.tensor_proto.tensor_shape.dim] == [30, 3]


@pytest.mark.parametrize("value", [0.0, -3.5, 1e300, 5e-324])
def test_values_that_are_all_one_lie_in_the_last_bucket(info, value):
    write_histogram(info, np.full(6, value))
    buckets = table(info, "weights/fc1.weight")
    assert buckets[:, 2].tolist() == [0] * 29 + [6]
    assert set(buckets[:, :2].ravel()) == {value}


@pytest.mark.parametrize("values", [[0.0, 5e-324], [1.0, np.nextafter(1.0, 2.0)], [-1e30, 1e30]])
def test_values_very_near_and_very_far_are_all_counted(info, values):
    write_histogram(info, np.array(values))
    assert table(info, "weights/fc1.weight")[:, 2].sum() == 2


def test_values_that_are_not_finite_are_left_out(info):
    write_histogram(info, [np.nan, 1.0, np.inf, 3.0, -np.inf])
    buckets = table(info, "weights/fc1.weight")
    assert (buckets[0, 0], buckets[-1, 1], buckets[:, 2].sum()) == (1.0, 3.0, 2.0)


@pytest.mark.parametrize("values", [[], [np.nan, np.inf]])
def test_nothing_finite_is_no_histogram(info, values):
    write_histogram(info, np.array(values, np.float16))
    assert HistogramsPlugin(served(info)).index_impl(context.RequestContext(), "") == {}


@pytest.mark.parametrize("channels", [1, 3])
def test_tensorboards_plugin_shows_every_image(info, channels):
    pixels = np.random.default_rng(0).integers(0, 256, (12, 5, 4, channels), dtype=np.uint8)
    recorder = TensorBoard(info)
    recorder.images("worst", pixels, 3)
    recorder.close({})
    plugin = ImagesPlugin(served(info))
    for sample, expected in enumerate(pixels):
        (shown,) = plugin._image_response_for_run(context.RequestContext(), "", run_of(info), "worst", sample)
        assert shown["step"] == 3
        blob_key = shown["query"].removeprefix("blob_key=")
        data = plugin._get_generic_data_individual_image(context.RequestContext(), blob_key)
        assert np.array_equal(decode(data), expected)


@pytest.mark.parametrize(
    "pixels",
    [np.zeros((2, 4, 4), np.uint8), np.zeros((2, 4, 4, 2), np.uint8), np.zeros((2, 4, 4, 1), np.float32)],
)
def test_images_of_another_shape_or_type_are_told(info, pixels):
    recorder = TensorBoard(info)
    with pytest.raises(ValueError, match=r"'worst' must be uint8 \(N, height, width, channels\)") as raised:
        recorder.images("worst", pixels, 1)
    assert str(pixels.shape) in str(raised.value)
    recorder.close({})

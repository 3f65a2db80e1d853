"""TensorBoard: scalars of records and resources, histograms, images, the configuration, the HParams tab."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.types_pb2 import DT_FLOAT, DT_STRING
from tensorboard.plugins.hparams import api_pb2
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo, SessionStartInfo

from hpo.paths import TrialPaths
from hpo.recording import visuals
from hpo.recording.event_file import EventFile, cut_end, event_files, first_events
from hpo.recording.points import measured
from hpo.recording.resources import ResourceUse
from hpo.records import TrialInfo, Value
from hpo.results_file import step_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

OBJECTIVE_PREFIX = "objective/"
"""The first objective's value at the best iteration has a tag of its own beside its curve's."""

RESOURCES_PREFIX = "resources/"
"""What the trial's process used when a record was written; see `ResourceUse`."""


_SESSION_START = "_hparams_/session_start_info"
_SESSION_END = "_hparams_/session_end_info"
_NUM_HEAD = 4
"""A file begins with its version, a restart, the configuration, the session's start."""


class TensorBoard:
    """Writes an event file into dashboard/; a trial that is run again adds another one.

    That one begins with the event by which TensorBoard forgets the points beyond the iteration that it goes on
    from; the trial is introduced once.
    """

    def __init__(self, info: TrialInfo) -> None:
        self._objective = info.objectives[0] if info.objectives else ""
        self._num_logged = info.num_recorded
        self._resources = ResourceUse()
        directory = TrialPaths(Path(info.directory)).dashboard
        earlier = [] if info.resumed_from is None else event_files(directory)
        for path in earlier:
            cut_end(path, _is_of_the_end)
        self._file = EventFile(directory)
        if info.resumed_from is not None:
            self._file.write(_restart(info.resumed_from + 1))
        if not any(map(_introduces, earlier)):
            self._file.write(*map(_event, _introduction(info)))

    def log(self, record: Mapping[str, float | int]) -> None:
        self._num_logged += 1
        step = step_of(record, self._num_logged)
        values = _scalars(measured(record))
        if self._objective in record and record.get("best_iteration") == step:
            values.append(_objective(self._objective, record))
        values += _scalars({RESOURCES_PREFIX + name: use for name, use in self._resources.measure().items()})
        self._file.write(_event(*values, step=step))

    def histograms(self, tensors: Mapping[str, NDArray[np.floating[Any]]], step: int) -> None:
        values = [visuals.histogram(tag, tensor) for tag, tensor in tensors.items()]
        self._file.write(_event(*(value for value in values if value is not None), step=step))

    def images(self, tag: str, images: NDArray[np.uint8], step: int) -> None:
        self._file.write(_event(visuals.images(tag, images), step=step))

    def close(self, metrics: Mapping[str, float]) -> None:
        """Write the objective that the HParams tab compares, and the session's end."""
        if self._objective in metrics:
            step = int(metrics.get("best_iteration", self._num_logged))
            self._file.write(_event(_objective(self._objective, metrics), step=step))
        self._file.write(_event(_session_end(success=bool(metrics))))
        self._file.close()


def _restart(step: int) -> Event:
    """TensorBoard forgets what it has read of `step` and beyond."""
    return Event(wall_time=time.time(), step=step, session_log=SessionLog(status=SessionLog.START))


def _is_of_the_end(event: Event) -> bool:
    """Whether it is what `close` writes: of the session's ends TensorBoard takes the first."""
    tags = [value.tag for value in event.summary.value]
    return tags == [_SESSION_END] or (len(tags) == 1 and tags[0].startswith(OBJECTIVE_PREFIX))


def _introduces(path: Path) -> bool:
    head = first_events(path, _NUM_HEAD)
    return any(value.tag == _SESSION_START for event in head for value in event.summary.value)


def _introduction(info: TrialInfo) -> list[Summary.Value]:
    """What TensorBoard is told of the trial before its first point."""
    summaries = [_config_text(info), _session_start(info)]
    if _has_same_columns_in_each_trial(info.config.get("search_space")):
        summaries.append(_experiment(info))
    return summaries


def _event(*values: Summary.Value, step: int = 0) -> Event:
    return Event(wall_time=time.time(), step=step, summary=Summary(value=values))


def _scalars(values: Mapping[str, float | int]) -> list[Summary.Value]:
    return [Summary.Value(tag=tag, simple_value=float(value)) for tag, value in values.items()]


def _objective(name: str, metrics: Mapping[str, float | int]) -> Summary.Value:
    return Summary.Value(tag=OBJECTIVE_PREFIX + name, simple_value=float(metrics[name]))


def _config_text(info: TrialInfo) -> Summary.Value:
    """The configuration as the text plugin's Markdown: indented by four, it is shown as it stands."""
    lines = yaml.dump(dict(info.config), Dumper=_DUMPER, sort_keys=False).splitlines()
    text = "".join(f"    {line}\n" for line in lines)
    tensor = TensorProto(dtype=DT_STRING, string_val=[text.encode()], tensor_shape=TensorShapeProto())
    return Summary.Value(tag="config", tensor=tensor, metadata=visuals.metadata("text"))


# libyaml's dumper takes a tenth of the time of the one in Python
_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def _has_same_columns_in_each_trial(search_space: Any) -> bool:
    """Whether every trial has the same searched keys, with values of one type.

    TensorBoard takes the HParams tab's columns from one trial's summary, whichever it finds first. Where a
    choice opens a subspace, or mixes types, none is written, and it collects the columns from all trials.
    """
    return all(
        isinstance(sweep, str) or (isinstance(sweep, list) and len(set(map(_hparam_type, sweep))) == 1)
        for sweep in (search_space or {}).values()
    )


def _experiment(info: TrialInfo) -> Summary.Value:
    """What the HParams tab compares: every searched value, the first objective's end and its curve's."""
    experiment = api_pb2.Experiment(
        hparam_infos=[
            api_pb2.HParamInfo(name=name, type=_hparam_type(value)) for name, value in info.params.items()
        ],
        metric_infos=[
            api_pb2.MetricInfo(name=api_pb2.MetricName(tag=tag), display_name=display_name)
            for objective in info.objectives[:1]
            for tag, display_name in (
                (OBJECTIVE_PREFIX + objective, f"{objective} (best iteration)"),
                (objective, f"{objective} (latest)"),
            )
        ],
    )
    return _hparams("_hparams_/experiment", HParamsPluginData(experiment=experiment))


def _session_start(info: TrialInfo) -> Summary.Value:
    session = SessionStartInfo(group_name=info.trial_id, start_time_secs=time.time())
    for name, value in info.params.items():
        hparam = session.hparams[name]
        if isinstance(value, bool):
            hparam.bool_value = value
        elif isinstance(value, int | float):
            hparam.number_value = value
        else:
            hparam.string_value = "null" if value is None else value
    return _hparams(_SESSION_START, HParamsPluginData(session_start_info=session))


def _session_end(success: bool) -> Summary.Value:
    status = api_pb2.STATUS_SUCCESS if success else api_pb2.STATUS_FAILURE
    session = SessionEndInfo(status=status, end_time_secs=time.time())
    return _hparams(_SESSION_END, HParamsPluginData(session_end_info=session))


def _hparam_type(value: Value) -> int:
    if isinstance(value, bool):
        return int(api_pb2.DATA_TYPE_BOOL)
    if isinstance(value, int | float):
        return int(api_pb2.DATA_TYPE_FLOAT64)
    return int(api_pb2.DATA_TYPE_STRING)


def _hparams(tag: str, data: HParamsPluginData) -> Summary.Value:
    """A summary whose content is its metadata; the plugin finds it by the tag."""
    empty = TensorProto(dtype=DT_FLOAT, tensor_shape=TensorShapeProto(dim=[TensorShapeProto.Dim(size=0)]))
    metadata = visuals.metadata("hparams", data.SerializeToString())
    return Summary.Value(tag=tag, tensor=empty, metadata=metadata)

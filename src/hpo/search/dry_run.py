"""What `--dry-run` shows: the space, the first proposals, and where they would go."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from omegaconf import DictConfig

from hpo.experiment.data_source import find_data_source
from hpo.experiment.directory import check_new
from hpo.experiment.earlier import Earlier
from hpo.experiment.identity import draw_experiment_id
from hpo.objectives import objectives
from hpo.overrides import encode, encode_value
from hpo.paths import ExperimentPaths
from hpo.search.method import Method
from hpo.search.proposals import Rejected
from hpo.search.spelled import spelled_values
from hpo.search.tree import Parameters

_NUM_PROPOSALS = 5


def describe(config: DictConfig, method: Method, earlier: Earlier | None = None) -> str:
    """The experiment in words; nothing is written. Raises HpoError as the experiment itself would."""
    if earlier is not None:
        return f"dry run: nothing is started and nothing is written\n\n{earlier.paths.root} would be continued"
    check_new(config)
    wanted = objectives(config)
    source = find_data_source(config)
    paths = ExperimentPaths(
        Path(config.experiment_dir).absolute(), config.experiment_id or draw_experiment_id(config)
    )
    total = method.planned.total_trials
    lines = ["dry run: nothing is started and nothing is written", "", "search space:"]
    lines += list(_described(method.space.parameters)) or ["  nothing"]
    lines += ["objectives:", *(f"  {objective.name}: {objective.direction.value}" for objective in wanted)]
    if source is not None:
        # without a digest where it is still to be fetched
        digest = f" (SHA-256 {source.digest[:12]}...)" if source.digest else ""
        lines += ["data:", f"  {source.name}{digest}"]
        lines += [f"  WARNING: {source.warning}"] if source.warning else []
    lines += method.said(config.total_trials, config.num_replicates)
    shown = min(total, _NUM_PROPOSALS)
    each = f", {config.num_replicates} replicates of each" if config.num_replicates > 1 else ""
    lines.append(f"first {shown} of {total} trials, {config.concurrent_trials} at a time{each}:")
    proposals = method.proposals(method.study(wanted), config)
    while shown and proposals.exhausted is None:
        proposed = proposals.next()
        if proposed is None:
            break
        proposal = proposed.proposal if isinstance(proposed, Rejected) else proposed
        lines.append(f"  {proposal.number}: {' '.join(encode(proposal.params)) or 'the configured values'}")
        if isinstance(proposed, Rejected):
            lines[-1] += f" ({proposed.state.value}: {proposed.reason})"
        else:
            shown -= 1
    lines += ["directory (the last four digits are drawn at each launch):", f"  {paths.root}"]
    return "\n".join(lines)


def _described(parameters: Parameters, indent: str = "  ") -> Iterator[str]:
    """The tree, a line for each parameter; what an option opens is indented below it."""
    for each in parameters:
        kind = encode_value(each.value) if each.distribution is None else spelled_values(each.distribution)
        yield f"{indent}{each.key}: {kind}"
        for option, branch in each.branches.items():
            if branch:
                yield f"{indent}  {encode_value(option)}:"
                yield from _described(branch, f"{indent}    ")

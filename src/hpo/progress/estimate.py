"""How long an experiment will still take."""

from __future__ import annotations

from collections.abc import Sequence


def seconds_left(
    elapsed_s: float, num_ended: int, remaining: int, gained: Sequence[float | None], left: Sequence[float | None]
) -> float | None:
    """An estimate from what was done in `elapsed_s`; None as long as nothing tells.

    `num_ended` trials have ended since, and `remaining` have not, those that run included. Of each that runs
    `gained` is the part that was done since, and `left` the part that is to be done; None where it does not say.
    """
    if remaining <= 0:
        return 0.0
    done = num_ended + sum(part or 0.0 for part in gained)
    if done <= 0.0 or elapsed_s <= 0.0:
        return None
    # one that does not say is taken to be half-way through
    of_running = [0.5 if part is None else part for part in left][:remaining]
    to_do = remaining - len(of_running) + sum(of_running)
    return elapsed_s * to_do / done

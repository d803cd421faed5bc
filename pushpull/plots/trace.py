"""How an attack went: its objective and the frames it won, step by step."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from pushpull.attacks import Step
from pushpull.plots.style import AFTER, BLUE, MUTED, PURPLE, new_figure

GRADIENT_COLOURS = {"audio": BLUE, "video": PURPLE}


def trace_figure(trace: Sequence[Step], *, objective: str = "objective", title: str = "") -> Figure:
    """Objective and share of won frames over the steps, one thin line per restart, the best so far in bold.

    Args:
        trace: ``AttackResult.trace``, or the part of it that is there yet.
        objective: name of what was maximised.
        title: above the figure.

    Raises:
        ValueError: the trace is empty.
    """
    if not trace:
        raise ValueError("the trace is empty: the attack has not made a step yet")
    restarts = sorted({step.restart for step in trace})
    with new_figure(9.5, 3.4) as figure:
        left, right = figure.subplots(1, 2)
        for restart in restarts:
            steps = [step for step in trace if step.restart == restart]
            x = [step.step for step in steps]
            marker = "o" if len(x) == 1 else None
            thin = {"color": AFTER, "alpha": 0.35 if len(restarts) > 1 else 1.0, "marker": marker}
            width = 1.1 if len(restarts) > 1 else 1.8
            left.plot(x, [step.loss for step in steps], linewidth=width, **thin)
            right.plot(x, [step.won_share for step in steps], linewidth=width, **thin)
        if len(restarts) > 1:
            for axes, value in ((left, "best_loss"), (right, "won_share")):
                x = sorted({step.step for step in trace})
                best = [max(getattr(step, value) for step in trace if step.step == k) for k in x]
                axes.plot(x, best, color=AFTER, linewidth=2.4, label="best restart")
            left.legend(loc="best")
        _draw_zero_shares(right, trace)
        left.set(xlabel="step", ylabel=objective.replace("_", "-"), title="What the attack maximises")
        right.set(xlabel="step", ylabel="share of frames", title="Frames won", ylim=(-0.03, 1.03))
        right.yaxis.set_major_formatter(PercentFormatter(1.0))
        for axes in (left, right):
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.set_xlim(0, max(1, max(step.step for step in trace)))
        if title:
            figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")
    return figure


def _draw_zero_shares(axes, trace):
    """Dotted lines for the share of exactly-zero gradients, where there is enough of it to matter."""
    names = sorted({name for step in trace for name in step.zero_grad_share})
    drawn = False
    for name in names:
        steps = sorted({step.step for step in trace if name in step.zero_grad_share})
        share = [
            np.mean([s.zero_grad_share[name] for s in trace if s.step == k and name in s.zero_grad_share])
            for k in steps
        ]
        if max(share) >= 0.05:
            colour = GRADIENT_COLOURS.get(name, MUTED)
            axes.plot(
                steps, share, color=colour, linestyle=(0, (1, 1.5)), linewidth=1.5, label=f"zero gradients, {name}"
            )
            drawn = True
    if drawn:
        axes.legend(loc="best")

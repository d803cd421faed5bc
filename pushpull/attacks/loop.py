"""The one loop behind every attack: evaluate, keep the best, move, project; over any number of modalities."""

import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress

import numpy as np
import torch
from torch import Tensor

from pushpull.attacks.budget import Box, as_stored
from pushpull.attacks.check import require_finite
from pushpull.attacks.objectives import get_objective
from pushpull.attacks.result import AttackResult, Cancelled, Step
from pushpull.attacks.start import Point, start_anew, stuck
from pushpull.attacks.undisturbed import undisturbed
from pushpull.attacks.victim import Victim

Tensors = dict[str, Tensor]


def make_streams(names: list[str], seed: int, clips: int, restarts: range) -> list[dict[str, torch.Generator]]:
    """One generator per modality for each row, rows ordered restart by restart.

    Each depends on seed + clip, the restart and the modality's name alone: not on the batch, the number of restarts
    run together, the other modalities or the device.
    """
    streams = []
    for restart in restarts:
        for clip in range(clips):
            row = {}
            for name in names:
                entropy = np.random.SeedSequence([seed + clip, restart, zlib.crc32(name.encode())])
                row[name] = torch.Generator().manual_seed(int(entropy.generate_state(1, np.uint64)[0] >> 1))
            streams.append(row)
    return streams


class _Rows:
    """Best-so-far of one chunk: every clip of the batch times some of the restarts, restart by restart."""

    def __init__(self, start: Tensors, mask: Tensor, restarts: range, clean: Tensor | None):
        count, device = len(next(iter(start.values()))), next(iter(start.values())).device
        self.restarts = restarts
        self.start_loss = None
        self.best = {name: values.clone() for name, values in start.items()}
        self.loss = torch.full((count,), -torch.inf, device=device)
        self.best_loss = self.loss.clone()
        self.mask = mask
        self.won, self.ever, self.flipped = torch.zeros(3, *mask.shape, dtype=torch.bool, device=device)
        self.clean = clean  # what is decided of the unattacked clips; they are the first that is recorded where None
        self.sloped, self.stalled, self.done = torch.zeros(3, count, dtype=torch.bool, device=device)

    def record(self, active: Tensor, point: Point, attack) -> None:
        loss = point.loss
        if self.start_loss is None:
            self.start_loss = loss
            self.loss, self.best_loss = self.loss.to(loss.dtype), self.best_loss.to(loss.dtype)
        if self.clean is None:
            self.clean = point.decided
        self.loss[active], self.won[active] = loss, point.won
        self.flipped[active] = (point.decided != self.clean[active]).all(dim=-1)
        self.ever[active] |= point.won
        if point.gradient:
            sloped = torch.stack(list(point.sloped().values())).any(dim=0)
            self.sloped[active] |= sloped
            self.stalled[active] |= ~sloped & (~point.won & self.mask[active]).any(dim=1)
        taken = loss > self.best_loss[active] if attack.keep == "best" else ~loss.isnan()
        if attack.early_stop:  # what ends the search of a clip is what is kept of it
            self.done[active] = _all_won(point.won, self.mask[active]) & ~loss.isnan()
            taken |= self.done[active]
        self.best_loss[active[taken]] = loss[taken]
        for name, values in point.x.items():
            self.best[name][active[taken]] = values[taken]


def _all_won(won: Tensor, mask: Tensor) -> Tensor:
    """(rows,) bool: whether every frame that counts is won."""
    return (won | ~mask).all(dim=1)


def _report(
    rows: _Rows, active: Tensor, mask: Tensor, gradient: Tensors, step: int, attack, started: Tensors
) -> Iterator[Step]:
    """One ``Step`` per restart that still has rows in the batch."""
    count = len(rows.restarts)
    clips = len(rows.loss) // count
    wanted = mask.sum().clamp(min=1)
    won = (rows.won & mask.repeat(count, 1)).reshape(count, -1).sum(1) / wanted
    flipped = rows.flipped.reshape(count, -1).float().mean(1)
    means = [value.reshape(count, clips).mean(1).tolist() for value in (rows.loss, rows.best_loss)]
    which = active // clips
    norms = {name: values.flatten(1).norm(dim=1) for name, values in gradient.items()}
    zeros = {name: (values == 0).flatten(1).float().mean(1) for name, values in gradient.items()}
    done = rows.restarts.start * (attack.steps + 1) + (step + 1) * count
    for index, restart in enumerate(rows.restarts):
        mine = which == index
        if not mine.any():
            continue
        yield Step(
            step=step,
            steps=attack.steps,
            restart=restart,
            restarts=attack.restarts,
            loss=means[0][index],
            best_loss=means[1][index],
            won_share=won[index].item(),
            flipped_share=flipped[index].item(),
            grad_norm={name: values[mine].mean().item() for name, values in norms.items()},
            zero_grad_share={name: values[mine].mean().item() for name, values in zeros.items()},
            progress=done / (attack.restarts * (attack.steps + 1)),
            random_start={name: values[mine].float().mean().item() for name, values in started.items()},
        )


def _attack_rows(
    attack,
    victim: Victim,
    box: Box,
    streams: list,
    restarts: range,
    initial: Tensors | None,
    clean: Tensor | None,
    emit: Callable,
) -> tuple[_Rows, bool]:
    """Run some restarts of every clip together. Returns their best iterates and whether the caller cancelled."""
    x, memory = _start(attack, box, streams, initial if restarts.start == 0 else None)
    at_clip = not attack.random_start and initial is None
    rows = _Rows(x, victim.mask, restarts, None if clean is None else clean.repeat(len(restarts), 1, 1))
    mask = victim.mask[: victim.labels.shape[0] // len(restarts)]
    active = torch.arange(len(rows.loss), device=rows.loss.device)

    def tell(point: Point, step: int, started: Tensors) -> None:
        for event in _report(rows, active, mask, point.gradient, step, attack, started):
            emit(event)

    try:
        for step in range(attack.steps + 1):
            final = step == attack.steps
            point = Point(x, *victim.evaluate(x, gradient=attack.uses_gradient and not final))
            if step == 0 and at_clip:
                require_finite(point.loss)
            rows.record(active, point, attack)
            tell(point, step, {})
            if step == 0 and at_clip and attack.uses_gradient:
                point, started = _leave_plateau(point, attack, victim, box, streams, rows)
                if started:
                    tell(point, step, started)
            if final:
                break
            x = attack.update(point.x, point.gradient, point.loss, memory, box, streams)
            if attack.early_stop:
                going = torch.nonzero(~_all_won(point.won, victim.mask)).flatten()
                if len(going) == 0:
                    break
                if len(going) < len(active):
                    active, victim, box = active[going], victim.rows(going), box.rows(going)
                    x, memory = ({name: values[going] for name, values in part.items()} for part in (x, memory))
                    streams = [streams[i] for i in going.tolist()]
            x = box.project(x)
    except Cancelled:
        return rows, True
    return rows, False


def _start(attack, box: Box, streams: list, initial: Tensors | None) -> tuple[Tensors, Tensors]:
    """The first points of all rows, those of the first restart as given, and what the attack remembers."""
    x, memory = attack.start(box, streams)
    for name, first in (initial or {}).items():
        x = {**x, name: torch.cat([first, x[name][len(first) :]])}
    return box.project(x), memory


def _leave_plateau(point: Point, attack, victim: Victim, box: Box, streams: list, rows: _Rows) -> tuple[Point, Tensors]:
    """Random starts for modalities whose gradient is exactly zero: the point after them, and who took one, if any."""
    wanted = victim.mask.any(dim=1)
    if attack.early_stop:
        wanted = wanted & ~_all_won(point.won, victim.mask)
    where = stuck(point, box, wanted)
    if not any(names.any() for names in where.values()):
        return point, {}
    moved, tried, taken, started = start_anew(point, where, victim, box, streams)
    rows.record(taken, tried, attack)
    rows.stalled[taken] = False  # these have a gradient to go on with
    return moved, {name: names for name, names in started.items() if where[name].any()}


class _Best:
    """What is returned: of every clip the best of all restarts so far, the clip itself if nothing is better.

    One whose search ended because all was won, see ``Attack.early_stop``, is better than one of which it was not.
    """

    def __init__(self, x: Tensors, mask: Tensor):
        self.x = {name: values.clone() for name, values in x.items()}
        self.loss = self.clean_loss = None
        self.decided: Tensor | None = None  # of the unattacked clips, where they are evaluated before the attack
        self.ever = torch.zeros_like(mask)
        self.sloped = ~mask.any(dim=1)  # clips without a frame that counts have nothing to climb
        self.stalled, self.done = torch.zeros_like(self.sloped), torch.zeros_like(self.sloped)

    def begin(self, clean_loss: Tensor, *, counts: bool) -> None:
        """The loss of the unattacked clips; ``counts`` where they are candidates themselves."""
        require_finite(clean_loss)
        self.clean_loss = clean_loss
        self.loss = clean_loss.clone() if counts else torch.full_like(clean_loss, -torch.inf)

    def take(self, rows: _Rows) -> None:
        """What some restarts of every clip found."""
        if self.loss is None:
            self.begin(rows.start_loss, counts=False)
        clips = len(self.loss)
        # In the order of the restarts, so that ties fall the same way however many ran together.
        for slot in range(len(rows.restarts)):
            mine = slice(slot * clips, (slot + 1) * clips)
            done = rows.done[mine]
            better = (rows.best_loss[mine] > self.loss) & (done == self.done) | done & ~self.done
            self.done = self.done | done
            self.loss = torch.where(better, rows.best_loss[mine], self.loss)
            for name, values in rows.best.items():
                self.x[name][better] = values[mine][better]
            self.ever, self.sloped = self.ever | rows.ever[mine], self.sloped | rows.sloped[mine]
            self.stalled |= rows.stalled[mine]

    def end(self) -> None:
        """A clip of which no restart found a finite number is returned as it is."""
        self.loss = torch.where(self.loss == -torch.inf, self.clean_loss, self.loss)


def _run_restarts(
    attack, victim: Victim, box: Box, best: _Best, seed: int, initial: Tensors | None, max_rows: int, emit: Callable
) -> bool:
    """All restarts, as many together as fit. Returns whether the caller cancelled."""
    labels, cancelled = victim.labels, False
    first, together = 0, max(1, max_rows // len(labels))
    while first < attack.restarts and not cancelled:
        restarts = range(first, min(first + together, attack.restarts))
        index = torch.arange(len(labels), device=labels.device).repeat(len(restarts))
        streams = make_streams(list(box.origin), seed, len(labels), restarts)
        try:
            among, within = victim.rows(index), box.rows(index)
            rows, cancelled = _attack_rows(attack, among, within, streams, restarts, initial, best.decided, emit)
        except torch.OutOfMemoryError:
            if len(restarts) == 1:
                raise
            together = len(restarts) // 2
            continue
        best.take(rows)
        first = restarts.stop
    return cancelled


def run_attack(
    attack,
    model,
    inputs: Tensors,
    labels,
    *,
    budgets,
    objective,
    targeted,
    mask,
    seed,
    initial,
    on_step,
    max_rows,
    autocast,
) -> AttackResult:
    """See ``Attack.run``, which has checked what belongs together."""
    objective = get_objective(objective)
    trace: list[Step] = []

    def emit(event: Step) -> None:
        trace.append(event)
        if on_step is not None and on_step(event) is False:
            raise Cancelled

    with torch.inference_mode(False), torch.enable_grad(), undisturbed(model) as settled:
        inputs = {name: values.detach().clone(memory_format=torch.contiguous_format) for name, values in inputs.items()}
        labels = labels.detach().clone()
        mask = torch.ones_like(labels, dtype=torch.bool) if mask is None else mask.detach().clone()
        box = Box.around({name: inputs[name] for name in budgets}, budgets, grid=attack.grid)
        movable = box.movable()
        names = [name for name in movable if movable[name].any()]
        best = _Best({name: box.origin.get(name, values) for name, values in inputs.items()}, mask)
        frozen = {name: values for name, values in best.x.items() if name not in names}
        highest = int(labels.max())
        victim = Victim(model, frozen, labels, mask, objective, targeted, autocast, settled, highest)

        clip = {name: box.origin[name] for name in names}
        victim.remember(clip)
        if initial is not None:
            initial = {name: initial[name].detach().to(x) for name, x in clip.items() if name in initial}
        # Attacks that start at the unattacked clip evaluate it anyway, as their step 0.
        if attack.random_start or initial is not None or not names:
            clean_loss, best.ever, best.decided, _ = victim.evaluate(clip, gradient=False)
            best.begin(clean_loss, counts=attack.keep == "best" or not names)
            if attack.early_stop and attack.keep == "best":
                best.done = _all_won(best.ever, mask)
        cancelled = False
        if names:
            cancelled = _run_restarts(attack, victim, box.only(names), best, seed, initial, max_rows, emit)
        else:
            won, loss = (best.ever.sum() / mask.sum().clamp(min=1)).item(), clean_loss.mean().item()
            with suppress(Cancelled):
                emit(Step(0, attack.steps, 0, attack.restarts, loss, loss, won, 0.0, {}, {}, 1.0))
        best.end()
    climbed = bool(names) and attack.uses_gradient and not cancelled
    return _result(best, inputs, movable, len(labels), tuple(trace), climbed=climbed, cancelled=cancelled)


def _result(
    best: _Best,
    inputs: Tensors,
    movable: Tensors,
    clips: int,
    trace: tuple[Step, ...],
    *,
    climbed: bool,
    cancelled: bool,
) -> AttackResult:
    """What was found; ``climbed`` where gradients were taken to the end."""
    return AttackResult(
        adversarial=best.x,
        stored={name: as_stored(name, values) for name, values in best.x.items()},
        delta={name: values - inputs[name] for name, values in best.x.items()},
        loss=best.loss,
        clean_loss=best.clean_loss,
        flipped_ever=best.ever,
        movable={name: movable.get(name, torch.zeros(clips)) for name in inputs},
        no_gradient=~best.sloped if climbed else torch.zeros_like(best.sloped),
        stalled=best.stalled,
        trace=trace,
        cancelled=cancelled,
    )

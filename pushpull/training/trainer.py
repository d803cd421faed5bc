"""Training: one loop, and the steps that it is made of, in the order in which they happen."""

import sys
import time
from collections.abc import Iterator
from contextlib import closing, nullcontext
from functools import partial
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from pushpull import bfloat16
from pushpull.data.augment import augment_audio, augment_video
from pushpull.data.batches import Batch, prefetch
from pushpull.data.heldout import report_table
from pushpull.data.parallel import World
from pushpull.detectors import resolve_device
from pushpull.files import alone
from pushpull.training.adversarial import AdversarialSet, load_set
from pushpull.training.attacked import attacked
from pushpull.training.distillation import distillation_loss
from pushpull.training.examples import Examples
from pushpull.training.facts import facts, origin_of, warn_of_crops
from pushpull.training.figures import attack_and_tell, finish, measurable, read_clips, settled, validate
from pushpull.training.inject import inject, remove_sets, set_path
from pushpull.training.log import StepFigures, TrainLog, load_state
from pushpull.training.loss import draws, learning_rate, set_temperature, training_batch, training_loss
from pushpull.training.networks import build, copy_weights, load_network
from pushpull.training.options import BEGUN_WITH, TrainOptions, identity
from pushpull.training.saving import save_tensors
from pushpull.training.stopping import Stopping

MOST_USELESS = 10  # steps in a row without a usable gradient


def train(
    options: TrainOptions,
    out: str | Path,
    *,
    progress: bool = True,
    croppers: int = 1,
    tensorboard: bool = False,
    attack: bool = False,
) -> Path:
    """Train, or go on where a run with the same options stopped in ``out``, and write the checkpoint.

    ``out`` gets state.pt (everything needed to go on), log.jsonl, curves.png, NAME.safetensors and NAME.json. Under
    torchrun every process calls this; the first writes.

    Args:
        progress: show bars, and the held-out figures after each epoch.
        croppers: processes that crop footage which is not in the cache, see :func:`pushpull.data.talkset.prepare`.
        tensorboard: also write ``out``/tensorboard.
        attack: attack the finished checkpoint on held-out clips, see :mod:`pushpull.training.robust`, for its card.

    Returns:
        The path of the weights.

    Raises:
        ValueError: ``out`` holds a run with other options (the message names them), another process trains into it
            now, or there are too few clips.
        FloatingPointError: the loss is no longer a number, or its gradient was none for eleven steps in a row; what
            was saved before is kept.
        KeyboardInterrupt: stopped by hand; the step was finished and the state saved.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    if options.threads:
        torch.set_num_threads(options.threads)
    with World(resolve_device(options.device)) as world, alone(out) if world.leads else nullcontext():
        if options.accumulate % world.size:
            raise ValueError(
                f"{world.size} processes share the batches of a step: give --accumulate a multiple of {world.size}"
            )
        trainer = Trainer(options, out, world, progress=progress, croppers=croppers, tensorboard=tensorboard)
        trainer.run()
        return trainer.finish(attack=attack)


class Trainer:
    """One process's part of a run: read the data, build the network, go on where an earlier run stopped.

    Whatever batch a step gets depends on seed and step alone, so there is no position to save.

    Args:
        out: see :func:`train`.
        world: this process among those of the run.
    """

    def __init__(
        self, options: TrainOptions, out: Path, world: World, *, progress: bool, croppers: int, tensorboard: bool
    ):
        self.options, self.out, self.world, self.device = options, out, world, world.device
        self.progress = progress and world.leads
        self.autocast = options.autocast(self.device)
        self.step, self.seconds, self.history = 0, 0.0, []
        self.injected: tuple[int, AdversarialSet] | None = None  # the step at which it was made, and the set
        self.useless = 0  # steps in a row whose gradient was no number
        self.whole = True  # weights and running statistics are those of `step`

        self.read_data(croppers)
        self.build()
        self.resume()
        self.log = None
        if world.leads:
            validated = {entry["step"] for entry in self.history}
            self.log = TrainLog(out / "log.jsonl", self.step, validated=validated, tensorboard=tensorboard)
        self.saved = time.monotonic()
        if world.leads:
            warn_of_crops(options, self.origin)
            if self.autocast and (slow := bfloat16.warning(self.device, "--precision")):
                print(slow, file=sys.stderr)

    def read_data(self, croppers: int) -> None:
        with self.world.leader_first():
            self.splits = read_clips(self.options, self.progress, croppers, tell=self.world.leads)
        self.pool = self.splits["train"]
        if not measurable(self.pool):
            raise ValueError(
                f"training needs at least two clips, {self.options.data} has {len(self.pool)} in its training split: "
                "use more footage, or hold out less (footage.validation, footage.test, footage.split_by)"
            )
        self.epoch_steps = max(1, self.pool.frames // self.options.step_frames)

    def build(self) -> None:
        """Network, optimizer, and a teacher where there is one."""
        options = self.options
        self.identity = identity(options, self.pool)
        torch.manual_seed(options.seed)
        self.network = build(options.architecture, options.variant, options.size).to(self.device)
        source = load_network(options.start, self.device) if options.start else None
        self.origin = origin_of(source)
        if source is not None:
            copy_weights(self.network, source)
        teacher = options.distillation.source
        self.teacher = load_network(teacher, self.device) if teacher else None
        # On a GPU as one kernel: a step there is over before many small ones have been asked for.
        fused = self.device.type == "cuda"
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=options.learning_rate, fused=fused)
        self.model = self.world.wrap(self.network)

    def resume(self) -> None:
        """What an earlier run left, if it left anything."""
        path = self.out / "state.pt"
        if path.exists():
            state = load_state(path, self.identity, self.device)
            self.network.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            # The state may come from another device.
            self.optimizer.param_groups[0]["fused"] = self.device.type == "cuda"
            self.step, self.seconds, self.history = state["step"], state["seconds"], state["history"]
            self.useless = state.get("useless", 0)
            self.origin = state.get("origin", self.origin)  # the card of a file may have changed since
        elif self.world.leads:
            remove_sets(self.out)  # of a run that nobody goes on with: their options are not known
        # Until all know, nobody writes a state that another has yet to read.
        step = torch.tensor(float(self.step), device=self.device)
        if self.world.any(self.world.mean(step).item() != self.step):
            raise ValueError(
                f"the processes do not go on from the same step: {self.out} has to be one folder that all of them see"
            )

    def save(self) -> None:
        if self.world.leads:
            state = {"model": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}
            state |= {"identity": self.identity, "origin": self.origin}
            state |= {"step": self.step, "seconds": self.seconds, "history": self.history, "useless": self.useless}
            save_tensors(self.out / "state.pt", state)
        self.saved = time.monotonic()

    def run(self) -> None:
        """Every step that is left. Raises as :func:`train`."""
        options = self.options
        total = options.steps * options.step_frames
        self.bar = tqdm(total=total, unit="frame", unit_scale=True, disable=not self.progress)
        self.bar.update(self.step * options.step_frames)
        with Stopping() as stop, closing(self.batches()) as batches, self.bar:
            try:
                while self.step < options.steps:
                    self.validate()
                    self.make_adversarial_set(stop)
                    self.take_step(batches)
                    if time.monotonic() - self.saved > options.save_seconds:
                        self.save()
                    if self.world.any(stop.wanted):
                        raise KeyboardInterrupt
            finally:
                # Ctrl-C costs nothing, an error in the middle of a step what was done since the last save.
                if self.whole and self.step:
                    self.save()

    def batches(self) -> Iterator[Batch]:
        """This process's batches of every step that is left, made ahead."""
        accumulate = self.options.accumulate
        mine = [step * accumulate + number for step in range(self.step, self.options.steps) for number in self.share]
        make = partial(training_batch, self.options, self.pool)
        return prefetch(make, mine, workers=self.options.workers, pin=self.device.type == "cuda")

    @property
    def share(self) -> range:
        """Which of the batches of a step are this process's."""
        return range(self.world.rank, self.options.accumulate, self.world.size)

    def validate(self) -> None:
        """Held-out figures at the end of an epoch; also of one at whose end an earlier run was stopped."""
        due = self.step and self.step % self.epoch_steps == 0
        if not due or [entry["step"] for entry in self.history[-1:]] == [self.step]:
            return
        options, held_out = self.options, self.splits["validation"]
        if self.world.leads and options.validation_clips and measurable(held_out):
            found = validate(options, settled(options, self.network, self.pool), held_out)
            self.history.append({"step": self.step, "frames": self.step * options.step_frames, "validation": found})
            self.log.write({"step": self.step, "validation": found})
            if self.progress:
                self.bar.write(f"step {self.step}, {self.seconds / 60:.1f} min, validation\n{report_table(found)}")
        self.world.wait()

    def make_adversarial_set(self, stop: Stopping) -> None:
        """Adversarial examples, at the end of the warm-up and as often as wanted."""
        options = self.options
        if not options.adversarial or options.adversarial_data != "set":
            return
        made_at = options.injection.made_at(self.step, options.warmup_steps, self.epoch_steps)
        if made_at is None or (self.injected is not None and self.injected[0] == made_at):
            return
        path, stopped = set_path(self.out, made_at), False
        if self.world.leads and not path.exists():
            again = options.injection.source and made_at == options.warmup_steps
            if self.step != made_at and not again:
                raise ValueError(
                    f"{path} is gone, and the weights that it was made to fool are too: put it back, or begin anew in "
                    "another --out"
                )
            try:
                inject(options, self.network, self.pool, self.out, made_at, stop, bar=self.progress)
            except KeyboardInterrupt:
                stopped = True  # the others wait to be told
        if self.world.any(stopped):
            raise KeyboardInterrupt
        self.injected = made_at, load_set(path)
        self.save()  # no state needs an older set from here on
        if self.world.leads:
            remove_sets(self.out, keep=path)

    def take_step(self, batches: Iterator[Batch]) -> None:
        """One step, of one batch or several."""
        began, options = time.monotonic(), self.options
        rate = learning_rate(options, self.step, self.epoch_steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        self.model.train()
        set_temperature(self.network, options, self.step)
        figures = StepFigures()
        for number in self.share:
            waiting = time.monotonic()
            batch = next(batches)
            figures.waited += time.monotonic() - waiting
            examples = self.examples(batch, self.step * options.accumulate + number)
            self.whole = False
            self.learn(examples, figures, last=number == self.share[-1])
        found = self.update(figures)
        self.seconds += time.monotonic() - began
        self.tell(figures, found, rate)

    def examples(self, batch: Batch, index: int) -> Examples:
        """Batch number ``index`` on the device, augmented, with the adversarial examples that join it."""
        options = self.options
        # Dropout and augmentation draw from generators seeded by the batch's number.
        generator = draws(options.seed, index)
        tensors = (batch.audio, batch.other, batch.labels, batch.video)
        audio, other, labels, video = (x.to(self.device, non_blocking=True) for x in tensors)
        audio = augment_audio(audio, other, options.augment, generator)
        video = augment_video(video, options.augment, generator)
        own = Examples(audio, video, labels, batch.types)
        if options.adversarial and options.adversarial_data == "batch" and self.step >= options.warmup_steps:
            return attacked(own, self.network, options, index)
        if self.injected is None:
            return own
        count = max(1, round(options.injection.share * len(labels)))
        random = np.random.default_rng([options.seed, index, 2])
        extra = self.injected[1].draw(count, labels.shape[1], random)
        return own.joined_by(*(x.to(self.device, non_blocking=True) for x in extra))

    def learn(self, examples: Examples, figures: StepFigures, *, last: bool) -> None:
        """The gradients of one batch, added to those of the step; ``last`` of this process's batches."""
        options = self.options
        # Gradients travel between processes once a step.
        with nullcontext() if last or self.world.size == 1 else self.model.no_sync():
            with torch.autocast(self.device.type, self.autocast, enabled=self.autocast is not None):
                outputs = self.model(examples.inputs)
                weight = options.distillation.weight_at(self.step, options.steps)
                told = distillation_loss(self.teacher, examples.own, outputs) if weight else None
            loss, parts = training_loss(options, outputs, examples.labels, self.step)
            if told is not None:
                loss, parts = loss + weight * told, parts | {"distillation": told.detach()}
            (loss / len(self.share)).backward()
        figures.add({"loss": loss.detach(), **parts}, outputs, examples)

    def update(self, figures: StepFigures) -> dict[str, float | None]:
        """Move the weights; the step's numbers.

        A gradient that is no number now and then costs its step; a loss that is none costs the run.
        """
        gradients = [x.grad for x in self.network.parameters() if x.grad is not None]
        found = figures.mean(self.world, gradient=torch.nn.utils.get_total_norm(gradients))
        self.useless = 0 if np.isfinite(found["gradient"]) else self.useless + 1
        if not np.isfinite(found["loss"]) or self.useless > MOST_USELESS:
            raise FloatingPointError(
                f"the loss is {found['loss']}, its gradient {found['gradient']} at step {self.step}: begin anew in "
                f"another --out with a lower --learning-rate than {self.options.learning_rate:g}"
            )
        if self.useless:
            found["gradient"] = None
        else:
            self.optimizer.step()
        self.step += 1
        self.whole = True
        return found

    def tell(self, figures: StepFigures, found: dict, rate: float) -> None:
        """A line of the log, and the bar."""
        frames = self.options.step_frames
        if self.world.leads:
            accuracy = figures.accuracies()
            self.log.write(
                {"step": self.step, "frames": self.step * frames, **found, **accuracy}
                | {"rate": rate, "seconds": round(self.seconds, 2), "waited": round(figures.waited, 3)}
            )
            shown = {name: f"{value:.3f}" for name, value in found.items() if name not in ("loss", "gradient")}
            self.bar.set_postfix(shown | {"acc": f"{accuracy['accuracy']:.3f}"}, refresh=False)
        self.bar.update(frames)

    def finish(self, *, attack: bool) -> Path:
        """Write the checkpoint and what it reaches; the path of the weights."""
        options, path = self.options, self.out / f"{self.options.name}.safetensors"
        if self.world.leads:
            run = {"seconds": round(self.seconds), "validation": self.history}
            run |= facts(options, self.origin, self.identity[BEGUN_WITH])
            path = finish(options, self.out, self.network, self.splits, run, self.log, self.progress)
            remove_sets(self.out)
            if attack:
                attack_and_tell(path, options, self.splits["test"], progress=self.progress)
        self.world.wait()
        return path

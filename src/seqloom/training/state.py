"""A training in progress: everything that a checkpoint keeps, so that stopping and going on changes no bit."""

import copy
import math
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from seqloom.config import Config, TrainingSettings
from seqloom.data import TextWindow, TextWindows, TokenStream, collate
from seqloom.errors import TrainingError
from seqloom.models import AnyModel, Captioner, LanguageModel, LossOptions, OneAnswer, Tagger
from seqloom.nn import Recurrent
from seqloom.shapes import Batch, StackState
from seqloom.training.checkpoints import Checkpoint

ENOUGH_STEPS = 1500
FEWEST_EPOCHS, MOST_EPOCHS, MOST_EPOCHS_OF_NUMBERS = 5, 40, 150
LEAST_PATIENCE = 3
LARGEST_BATCH = 64


class TrainingState:
    """The model with its optimizer, counters and best weights so far.

    Randomness is a function of seed and step, and data order of seed and epoch, so no generator's state is kept.
    """

    def __init__(
        self,
        model: AnyModel,
        config: Config,
        *,
        batches: int,
        loss_options: LossOptions,
        collate: Callable[[Any], tuple[Any, Any]] = collate,
    ) -> None:
        self.model, self.config, self.loss_options, self.collate = model, config, loss_options, collate
        pace = pace_of(model)
        self.epochs = config.training.epochs or enough_epochs(batches, steps=pace.steps, most=pace.epochs)
        self.patience = config.training.patience or max(LEAST_PATIENCE, self.epochs // 4)
        self.total_steps = self.epochs * batches
        self.averaged = copy.deepcopy(model) if config.training.average else None
        self.optimizer = make_optimizer(model, config.training)
        self.best: dict[str, Tensor] = {}
        self.best_key: tuple[float, float] | None = None
        self.step = self.epoch = self.position = self.stale = 0
        self.epoch_loss, self.epoch_rows, self.epoch_tokens = 0.0, 0, 0
        self.tokens, self.learn_seconds, self.seconds, self.epoch_seconds = 0, 0.0, 0.0, 0.0
        self.history: list[dict[str, Any]] = []
        self.carried: StackState | None = None  # what a language model knows of the text before the next window

    @property
    def judged(self) -> AnyModel:
        """The model that is validated and kept: the running mean of the weights, or the weights themselves."""
        return self.model if self.averaged is None else self.averaged

    @property
    def out_of_time(self) -> bool:
        """Whether training has taken the minutes it was given."""
        limit = self.config.training.max_minutes
        return limit is not None and self.seconds > 60 * limit

    @property
    def finished(self) -> bool:
        """Whether no epoch is left to train: all are done, none was better for too long, or the time is up."""
        ended = self.epoch >= self.epochs or self.stale >= self.patience or self.out_of_time
        return ended and self.position == 0

    @property
    def calmer(self) -> str:
        """What to try where numbers grow too large."""
        lower = min(0.01, self.config.training.learning_rate / 4)
        return f"Try --set training.learning_rate={lower:g}, or a smaller training.clip_norm"

    def learn(self, examples: list[Any] | TextWindow) -> None:
        """One step on one batch or window.

        Raises TrainingError, before a weight moves, where loss or gradient is not finite.
        """
        started = time.perf_counter()
        _seed(step_seed(self.config.seed, self.step))
        self.model.train()
        carried = self.carried
        if isinstance(examples, TextWindow):
            loss, carried = self._window_loss(examples)
            rows = tokens = examples.tokens
        else:
            loss, tokens = self._batch_loss(examples)
            rows = len(examples)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.config.training.clip_norm)
        self._check_finite(loss, norm, examples)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(
                self.config.training, step=self.step, total=self.total_steps, epochs=self.epochs
            )
        self.optimizer.step()
        self._update_average()
        self.carried = carried
        self._count(loss.item() * rows, rows=rows, tokens=tokens)
        elapsed = time.perf_counter() - started
        self.epoch_seconds += elapsed
        self.learn_seconds += elapsed
        self.seconds += elapsed

    def keep_if_best(self, key: tuple[float, float]) -> bool:
        """Remember the judged weights where `key` (more is better) beats all before; NaN never does, nor a tie."""
        better = not any(map(math.isnan, key)) and (self.best_key is None or key > self.best_key)
        if better or not self.best:
            self.best = {name: tensor.detach().clone() for name, tensor in self.judged.state_dict().items()}
        if better:
            self.best_key = key
        self.stale = 0 if better else self.stale + 1
        return better

    def start_epoch(self) -> None:
        """Count the next epoch from zero."""
        self.epoch += 1
        self.position = 0
        self.carried = None
        self.epoch_loss, self.epoch_rows, self.epoch_tokens, self.epoch_seconds = 0.0, 0, 0, 0.0

    def checkpoint(self, **about: Any) -> Checkpoint:
        """All of it, to go on from; `about` says what the training belongs to and is handed back by `load_latest`."""
        tensors = {
            "weights": self.model.state_dict(),
            "best": self.best,
            "average": self.averaged.state_dict() if self.averaged else {},
            "optimizer": _flatten(self.optimizer.state_dict()["state"]),
            "carried": _flatten(_numbered(self.carried)),
        }
        counters = {name: getattr(self, name) for name in _COUNTERS}
        return Checkpoint(tensors, {**about, "counters": counters})

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on from `checkpoint`, which this very training made."""
        self.model.load_state_dict(checkpoint.tensors["weights"])
        if self.averaged is not None:
            self.averaged.load_state_dict(checkpoint.tensors["average"])
        self.best = checkpoint.tensors["best"]
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": _unflatten(checkpoint.tensors["optimizer"]), "param_groups": groups})
        counters: Any = checkpoint.state["counters"]
        for name in _COUNTERS:
            setattr(self, name, counters[name])
        self.best_key = tuple(counters["best_key"]) if counters["best_key"] else None
        self.carried = self._restored_state(_unflatten(checkpoint.tensors.get("carried", {})))

    def _batch_loss(self, examples: list[Any]) -> tuple[Tensor, int]:
        """The mean loss of a batch, and the tokens in it."""
        assert not isinstance(self.model, LanguageModel)
        device = next(self.model.parameters()).device
        batch, targets = self.collate(examples)
        tokens = int(batch.lengths.sum()) + (int(targets.lengths.sum()) if isinstance(targets, Batch) else 0)
        share = self.config.training.scheduled_sampling * self.step / self.total_steps
        options = self.loss_options._replace(own_tokens=share)
        return self.model.batch_loss(batch.to(device), targets.to(device), options), tokens

    def _window_loss(self, window: TextWindow) -> tuple[Tensor, StackState]:
        """The mean loss of a window, and what is carried into the next one."""
        assert isinstance(self.model, LanguageModel)
        device = next(self.model.parameters()).device
        return self.model.window_loss(
            window.batch.to(device), window.targets.to(device), self.carried, self.loss_options
        )

    def _restored_state(self, layers: dict[int, dict[str, Tensor]]) -> StackState | None:
        if not layers or not isinstance(self.model, LanguageModel):
            return None
        device = next(self.model.parameters()).device
        kinds = [layer.state_type for layer in self.model.recurrent.parts if isinstance(layer, Recurrent)]
        states = (
            kind(**{name: path.to(device) for name, path in layers[number].items()})
            for number, kind in enumerate(kinds)
        )
        return StackState(tuple(states))

    def _update_average(self) -> None:
        if self.averaged is None:
            return
        # A short memory at first: the mean must not hold on to the weights that training began with.
        decay = min(self.config.training.average, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for kept, new in zip(self.averaged.parameters(), self.model.parameters(), strict=True):
                kept.lerp_(new, 1 - decay)

    def _count(self, loss: float, *, rows: int, tokens: int) -> None:
        self.step += 1
        self.position += 1
        self.epoch_loss += loss
        self.epoch_rows += rows
        self.epoch_tokens += tokens
        self.tokens += tokens

    def _check_finite(self, loss: Tensor, norm: Tensor, examples: list[Any] | TextWindow) -> None:
        if bool(torch.isfinite(loss)) and bool(torch.isfinite(norm)):
            return
        what = "gradient" if bool(torch.isfinite(loss)) else "loss"
        where, look = f"window {self.position + 1} of the text", ""
        if not isinstance(examples, TextWindow):
            lines = ", ".join(str(example.line) for example in examples[:10])
            more = f" and {len(examples) - 10} more" if len(examples) > 10 else ""
            where, look = f"rows at lines {lines}{more}", ", and look at these rows"
        raise TrainingError(
            f"the {what} is not finite at step {self.step + 1}, epoch {self.epoch + 1} ({where}). "
            f"No weight was changed by it. {self.calmer}{look}; what was saved before is whole."
        )


_COUNTERS = (
    "step",
    "epoch",
    "position",
    "stale",
    "best_key",
    "epoch_loss",
    "epoch_rows",
    "epoch_tokens",
    "tokens",
    "learn_seconds",
    "seconds",
    "epoch_seconds",
    "history",
)


def _seed(seed: int) -> None:
    """Set the random numbers of the processor, and of GPUs where they are used.

    torch.manual_seed also writes down the whole call stack for each kind of device that is not: a millisecond a step.
    """
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]  # torch gives it no types
        torch.cuda.manual_seed_all(seed)


class Pace(NamedTuple):
    """The most rows of a step, and how many steps and passes are enough, where the settings don't say."""

    rows: int = LARGEST_BATCH
    steps: int = ENOUGH_STEPS
    epochs: int = MOST_EPOCHS


def pace_of(model: AnyModel) -> Pace:
    """How a model is best trained: where each word has a target, or images are seen, by many small batches.

    Of series of numbers there are often a few dozen: they are read more often than texts, which are learned by heart.
    """
    if isinstance(model, Tagger | Captioner):
        return Pace(LARGEST_BATCH // 4, 4 * ENOUGH_STEPS)
    return Pace(epochs=MOST_EPOCHS_OF_NUMBERS) if isinstance(model, OneAnswer) and not model.tables else Pace()


def enough_epochs(batches: int, *, steps: int = ENOUGH_STEPS, most: int = MOST_EPOCHS) -> int:
    """How many epochs of so many batches are trained where the settings don't say: few rows are read more often."""
    return min(most, max(FEWEST_EPOCHS, -(-steps // batches)))


def batch_size_for(settings: TrainingSettings, rows: int, *, most: int = LARGEST_BATCH) -> int:
    """The rows of one step: those of the settings, or a power of two in 8..most that makes an epoch a dozen steps."""
    if settings.batch_size is not None:
        return settings.batch_size
    return min(most, max(8, 1 << (rows // 12).bit_length() - 1)) if rows >= 12 else 8


def windows_of(stream: TokenStream, settings: TrainingSettings) -> TextWindows:
    """The windows of one epoch: as many tracks as a batch has rows, by the number of windows that the stream makes."""
    tracks = batch_size_for(settings, -(-len(stream) // settings.window))
    return TextWindows(stream, tracks=tracks, steps=settings.window)


def make_optimizer(model: AnyModel, settings: TrainingSettings) -> torch.optim.Optimizer:
    """AdamW (Loshchilov & Hutter 2019) or plain SGD; token vectors, biases, gains and first states do not decay."""
    embedded = {id(parameter) for table in model.tables for parameter in table.parameters()}
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    decayed = [p for p in trained if p.dim() > 1 and id(p) not in embedded]
    others = [p for p in trained if p.dim() <= 1 or id(p) in embedded]
    groups = [{"params": decayed, "weight_decay": settings.weight_decay}, {"params": others, "weight_decay": 0.0}]
    if settings.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=settings.learning_rate, fused=True)
    return torch.optim.AdamW(groups, lr=settings.learning_rate, fused=True)


def learning_rate(settings: TrainingSettings, *, step: int, total: int, epochs: int = 1) -> float:
    """The learning rate of a step: a straight rise to the peak, then the decay asked for, to zero at the end.

    Halving stays at the peak for a third of the epochs, one at least, then halves it at the start of each (Zaremba et
    al. 2014).
    """
    rise = settings.warmup * total
    if step < rise:
        return settings.learning_rate * (step + 1) / (rise + 1)
    left = 1 - (step - rise) / max(1.0, total - rise)
    if settings.decay == "linear":
        return settings.learning_rate * left
    if settings.decay == "cosine":
        return settings.learning_rate * (1 - math.cos(math.pi * left)) / 2
    if settings.decay == "halving":
        return settings.learning_rate * 0.5 ** max(0, step * epochs // total - max(1, epochs // 3) + 1)
    return settings.learning_rate


def step_seed(seed: int, step: int) -> int:
    """The seed of one step's dropout: well mixed, so that neighbouring steps share nothing."""
    return int(np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _flatten(state: dict[int, dict[str, Tensor]]) -> dict[str, Tensor]:
    return {f"{number}.{name}": tensor for number, slots in state.items() for name, tensor in slots.items()}


def _unflatten(tensors: dict[str, Tensor]) -> dict[int, dict[str, Tensor]]:
    state: dict[int, dict[str, Tensor]] = {}
    for path, tensor in tensors.items():
        number, _, name = path.partition(".")
        state.setdefault(int(number), {})[name] = tensor
    return state


def _numbered(state: StackState | None) -> dict[int, dict[str, Tensor]]:
    layers = () if state is None else state.layers
    return {number: layer._asdict() for number, layer in enumerate(layers)}

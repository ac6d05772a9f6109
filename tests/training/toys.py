"""Small models and data for the tests of training."""

from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from pixkit.components.config import ComponentConfig
from pixkit.components.plugins import Plugins
from pixkit.components.plugins import registry as installed
from pixkit.components.registry import Registry
from pixkit.components.spec import ComponentSpec, Entry
from pixkit.data import prepare
from pixkit.data.base import DataConfig, DataSource, ImageSet, SourceImages
from pixkit.data.dataset import BatchSequence
from pixkit.models.base import Model, Phase
from pixkit.ranks import ALONE
from pixkit.recipe.schema import Recipe
from pixkit.runs.run import Run
from pixkit.samplers import Drawn
from pixkit.training.ahead import Ahead
from pixkit.training.loop import Trainer
from pixkit.training.step import Stepper
from pixkit.training.watch import Interrupt, Reporter, TrainHooks

CPU = torch.device("cpu")


class ToyData(DataSource):
    """Random images, 1x2x3 with 4 levels, darker to the left."""

    class Config(DataConfig):
        count: int = 37
        tests: int = 11
        seed: int = 0

    def load(self, progress=None):
        generator = torch.Generator().manual_seed(self.config.seed)
        total = self.config.count + self.config.tests
        pixels = torch.randint(0, 4, (total, 1, 2, 3), generator=generator) * torch.tensor([0, 1, 1])
        pixels = pixels.to(torch.uint8)
        labels = torch.randint(0, 3, (total,), generator=generator)
        cut = self.config.count
        return SourceImages(ImageSet(pixels[:cut], labels[:cut]), ImageSet(pixels[cut:], labels[cut:]), 4, 3)


class Toy(Model):
    """Independent sub-pixels with learned logits, and noise in the loss."""

    def __init__(self, config, spec, classes=None):
        super().__init__(config, spec, classes)
        self.logits = nn.Parameter(torch.randn(*spec.shape, spec.levels) * 0.1)
        self.scale = nn.Parameter(torch.ones(spec.levels))
        self.register_buffer("initialised", torch.zeros((), dtype=torch.int64))

    def phases(self):
        return [Phase("likelihood", self.parameters(), self.loss)]

    def initialise(self, batch):
        self.initialised += 1

    def loss(self, batch, step):
        nats = self.score(batch).mean()
        noise = (self.logits * torch.rand_like(self.logits)).mean()
        return {"loss": nats / self.spec.dims + 0.1 * noise, "nats": nats.detach()}

    def score(self, batch):
        logs = torch.log_softmax(self.logits * self.scale, -1).expand(len(batch.x), *self.logits.shape)
        return -logs.gather(-1, batch.x.unsqueeze(-1)).flatten(1).sum(1)

    def draw(self, request):
        n, seed, progress = len(request), request.noise.seed, request.progress
        draws = []
        for image in range(n):
            generator = torch.Generator().manual_seed((seed + image) % 2**63)
            table = torch.softmax(self.logits.detach() * self.scale.detach(), -1).flatten(0, 2)
            draws.append(torch.multinomial(table, 1, generator=generator).view(1, *self.spec.shape))
            if progress is not None:
                progress(image + 1, n)
        return Drawn(torch.cat(draws))


class NormedToy(Toy):
    """With batch normalisation between levels and logits, and one such layer that scoring leaves out."""

    def __init__(self, config, spec, classes=None):
        super().__init__(config, spec, classes)
        self.norm = nn.BatchNorm1d(spec.dims)
        self.spare = nn.BatchNorm1d(3)

    def score(self, batch):
        mean = self.norm(batch.x.flatten(1).float()).mean(1)
        return super().score(batch) * (1 + 0.1 * torch.tanh(mean))


class TwoPhases(Toy):
    """Two phases whose losses reach each other's parameters."""

    def phases(self):
        return [Phase("first", [self.logits], self.loss), Phase("second", [self.scale], self.loss)]


class Exploding(Toy):
    """The loss, or the gradient alone, is not finite at one step."""

    class Config(ComponentConfig):
        at: int = 7
        what: str = "loss"

    def loss(self, batch, step):
        losses = super().loss(batch, step)
        if step < self.config.at:
            return losses
        if self.config.what == "loss":
            return {**losses, "loss": losses["loss"] * torch.inf}
        # The square root has the value 0 and the slope infinity at 0.
        return {**losses, "loss": losses["loss"] + (self.scale[0] - self.scale[0].detach()).sqrt()}


class Unscored(Toy):
    """No likelihood at all."""

    score_kind = "none"


class Measured(Toy):
    """No likelihood, but figures: one of each image, and one of all images together."""

    score_kind = "none"
    metric = "far"

    def assess(self, batch):
        return {"far": 1 - self.score(batch) / 100, "number": batch.indices.float()}

    def measure(self, scored, reference):
        return {"scored": sum(len(batch.x) for batch in scored), "known": sum(len(batch.x) for batch in reference)}


def spec_of(kind, cls, key="type", **config):
    return ComponentSpec(Entry(kind, cls.__name__.lower(), cls, "pixkit", "0"), cls.Config(**config), key)


def toy_registry():
    registry = Registry()
    models = (Toy, NormedToy, TwoPhases, Exploding, Unscored, Measured)
    registry.extend([spec_of("model", cls).entry for cls in models] + [spec_of("data", ToyData).entry])
    registry.extend([entry for entry in installed() if entry.kind in ("optimiser", "schedule")])
    return registry


def toy_recipe(model=Toy, data=None, model_config=None, **train):
    train = {"steps": 20, "batch_size": 8, "eval_every": 5, "checkpoint_every": 4, "ema": 0.9, **train}
    return Recipe.model_validate(
        {
            "pixkit": 1,
            "name": "toy",
            "data": spec_of("data", ToyData, "source", **(data or {})),
            "model": spec_of("model", model, **(model_config or {})),
            "train": train,
            "sample": {"count": 3},
        }
    )


def toy_dataset(**config):
    return prepare(spec_of("data", ToyData, "source", **config), Path())


def toy_model(recipe):
    torch.manual_seed(recipe.seed)
    dataset = prepare(recipe.data, Path())
    return recipe.model.build(dataset.spec, dataset.classes), dataset


def begin(trainer, *weights):
    """Set the initial weights, as `prepare_training` does, and start."""
    trainer.stepper.initialise(*weights)
    trainer.begin()


def toy_trainer(folder, recipe, *, interrupt=None, reporter=None, manager=None, device=CPU, lag=None, ranks=ALONE):
    """A trainer of a freshly built model in a run folder; with a `lag`, one that launches so many steps ahead."""
    model, dataset = toy_model(recipe)
    run = Run(folder)
    folder.mkdir(exist_ok=True)
    reporter = reporter or Reporter()
    sequence = BatchSequence(dataset, recipe.train.batch_size, recipe.seed)
    stepper = Stepper(model.to(device), sequence, recipe.train, recipe.seed, device, ranks=ranks)
    return Trainer(
        run,
        recipe,
        stepper,
        ahead=None if lag is None else Ahead(stepper, lag),
        interrupt=interrupt or Interrupt(),
        reporter=reporter,
        hooks=TrainHooks((manager or Plugins().manager), reporter.problem),
    )


@contextmanager
def within(held, name):
    """A context that is named among those that are held, for as long as it is entered."""
    held.append(name)
    try:
        yield
    finally:
        held.remove(name)


class Told(Reporter):
    """Keeps what it was told."""

    def __init__(self):
        self.texts = []
        self.rows = []
        self.scores = []
        self.checkpoints = []
        self.pictures = []

    def message(self, text):
        self.texts.append(text)

    def step(self, step, metrics):
        self.rows.append(metrics)

    def evaluated(self, step, metrics):
        self.scores.append(metrics)

    def checkpoint(self, path):
        self.checkpoints.append(path.name)

    def sampled(self, path):
        self.pictures.append(path.name)


class StopAt(Told):
    """Sets an interrupt's signal when a step was made."""

    def __init__(self, interrupt, step, number=2):
        super().__init__()
        self.interrupt = interrupt
        self.at = step
        self.number = number

    def step(self, step, metrics):
        super().step(step, metrics)
        if step == self.at:
            self.interrupt.signal = self.number


def contents(run, names=("model", "ema", "optimizer")):
    """The bytes of the last checkpoint's files."""
    folder = run.checkpoint("last")
    return {name: (folder / f"{name}.safetensors").read_bytes() for name in names}

"""All that comes before the first training step, for new, resumed and dry runs alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch

from pixkit.data import prepare
from pixkit.data.dataset import BatchSequence, Dataset
from pixkit.files import is_there
from pixkit.layers.recurrent import keep_loops
from pixkit.memory import in_words, resident
from pixkit.models.base import Model
from pixkit.models.guided import require_guidable
from pixkit.models.request import check_room
from pixkit.ranks import ALONE, Ranks
from pixkit.recipe import Change, LoadedRecipe
from pixkit.recipe.schema import Recipe
from pixkit.runs.load import construct, numbering_of
from pixkit.runs.places import named_steps
from pixkit.runs.run import Run
from pixkit.training.ahead import Ahead
from pixkit.training.autotune import choose
from pixkit.training.kernels import Kernels
from pixkit.training.memory import MemoryEstimate, estimate
from pixkit.training.precision import Choice, locked_choice, obstacle
from pixkit.training.recompute import blocks
from pixkit.training.recompute_check import check_recomputed
from pixkit.training.remarks import before_the_model, remarks
from pixkit.training.resume import check_changes, check_data
from pixkit.training.segments import Segment, Segments
from pixkit.training.start import Start, begin
from pixkit.training.step import Stepper
from pixkit.training.together import check_same
from pixkit.training.watch import Reporter
from pixkit.training.way import Way, locked_way
from pixkit.wrappers import networks_in


@dataclass(frozen=True)
class Prepared:
    """The starting point of training: images, and a checked model with its initial weights that can make steps.

    `memory` is the estimate for training, `choice` its arithmetic and why, `way` how its steps are made, and by what,
    if not by the stepper; `changes` are the keys that differ from those that the run to resume was started with.
    """

    dataset: Dataset
    stepper: Stepper
    memory: MemoryEstimate
    choice: Choice
    way: Way
    ahead: Ahead | None
    changes: list[Change]

    @property
    def model(self) -> Model:
        """The model, on the device, proved causal."""
        return self.stepper.model


def prepare_training(
    loaded: LoadedRecipe,
    device: torch.device,
    *,
    run: Run | None = None,
    extension: Segment | None = None,
    reporter: Reporter | None = None,
    check: Callable[[], None] = lambda: None,
    ranks: Ranks = ALONE,
) -> Prepared:
    """Load the images, build and prove the model, check that it fits, choose the arithmetic, set initial weights.

    These can fail in this order, all before anything is written. Draws from torch's global generators, and seeds them.

    Args:
        loaded: the recipe.
        device: the model's device.
        run: the run to resume: recipe and images have to be its own, and its arithmetic is kept. Where it has a
            checkpoint, that gives the weights (`Trainer.restore`), and they are left here as constructed.
        extension: steps added to those already made; `loaded` then says how many there are in all.
        reporter: told of the reading of images, and of any remarks on them.
        check: called between the stages; raises to stop.
        ranks: the ranks that prepare together. Rank 0 fetches and compiles first, measures for all, and sends all its
            weights.

    Raises:
        RunError: if the recipe or the images are not the run's own, or `train.init_from` is neither a run nor a
            checkpoint.
        CheckpointError: if the checkpoint named by `train.init_from` is damaged or belongs to another model.
        DataError: if images are missing or damaged.
        RankError: if the images differ between ranks, as copies on the disk of each machine may, or another rank fails.
        UsageError: if the model, its training, or the samples of a new run would not fit into memory.
        CausalityError: if the model leaks.
        PluginError: if a backbone or head breaks its contract or, in a new run, would not be trained.
    """
    recipe, reporter = loaded.recipe, reporter or Reporter()
    lock, where = (None, "") if run is None else (run.settings()["lock"], str(run.path))
    changes = (
        [] if run is None else check_changes(run.recipe().dump(), recipe, loaded.lock(), extended=extension is not None)
    )
    continued = run is not None and (is_there(run.path / "last") or bool(named_steps(run.checkpoints)))
    start = None if continued else Start.of(recipe.train, loaded.base)
    kept: Any = {} if run is None else {"numbering": numbering_of(run), "palette": run.spec.palette}

    with ranks.first_before_others():
        dataset = prepare(recipe.data, loaded.base, ranks.telling(reporter.loading), given=loaded.images, **kept)
    reporter.message(f"images: {dataset.spec}; {dataset.description}; {dataset.values}")
    for note in (*before_the_model(dataset.spec), *dataset.notes):
        reporter.message(note)
    check()
    check_same(ranks, "the images", {part: digest[:12] for part, digest in dataset.hashes().items()})
    if lock is not None:
        check_data(lock["data"]["hashes"], dataset.hashes())
    if run is None:
        check_room(
            recipe.sample.count, dataset.spec, "sample.count", "fewer images; `pixkit sample` draws more of them later"
        )
    way = Way.on(device, recipe.train) if lock is None else locked_way(lock, device, recipe.train, where)
    way = way.of(ranks)
    before = resident()
    model = construct_to_train(recipe, dataset, device)
    require_guidable(model, recipe.sample.guidance, "sample.guidance")
    if not continued:  # a trained model counts as checked
        _check_trains(model)
        for text in remarks(recipe, dataset, model, loaded.base):
            reporter.message(text)
    if way.kind == "plain":
        keep_loops(model)  # on a GPU, a run begun before the other way existed keeps its digits
    sequence = BatchSequence(dataset, recipe.train.batch_size, recipe.seed)
    stepper = Stepper(model, sequence, recipe.train, recipe.seed, device, ranks=ranks)
    stepper.kernels = Kernels.of(device, lock, reporter.message)
    if run is not None:
        stepper.segments = Segments.of(run.settings()).followed_by(extension)
    stepper.parts.load((lock or {}).get("parts", ()))
    memory, way = _fitted(stepper, way, before, resumed=run is not None, say=reporter.message)
    stepper.parts.share(ranks)
    check()
    locked = _chosen(stepper, check) if lock is None else locked_choice(lock, where)
    with ranks.first_before_others():  # compiles kernels
        choice = locked.on(device, model)
    check_same(ranks, "how steps are made", [str(choice.arithmetic), way.kind])
    if lock is not None and choice != locked:
        changes = [*changes, *locked.changes(choice)]
        reporter.message(f"going on in {choice}")
    stepper.arithmetic = choice.arithmetic
    check_recomputed(stepper)
    for text in _without_effect(stepper, way):
        reporter.message(text)
    ahead = way.ahead(stepper, reporter.message)
    if not continued:
        begin(stepper, start, loaded.lock(), reporter.message)
        ranks.spread(list(model.state_dict().values()))
    return Prepared(dataset, stepper, memory, choice, way, ahead, changes)


def _chosen(stepper: Stepper, check: Callable[[], None]) -> Choice:
    """The arithmetic of a new run: as the recipe says, or else as measured, by rank 0 for all."""
    if (stated := Choice.stated(stepper.config)) is not None:
        return stated
    if stepper.ranks.alone:
        return choose(stepper, check)
    found = stepper.ranks.decided(lambda: choose(stepper, check).dump())
    return locked_choice({"arithmetic": found}, "what rank 0 measured")


def _fitted(
    stepper: Stepper, way: Way, before: int | None, *, resumed: bool, say: Callable[[str], None]
) -> tuple[MemoryEstimate, Way]:
    """The memory of training, reduced to what is free as far as possible, and the way of making steps that is left.

    On a GPU a new run splits its batches into parts rather than being refused; steps are recorded, and images kept
    there, only if that fits as well.
    """
    device, recorded = stepper.device, way.kind == "replayed"
    with stepper.kernels.heard():
        memory = estimate(stepper, device, before, recorded=recorded)
        parted = device.type != "cpu" and not resumed
        while parted and memory.left < 0 and stepper.parts.halve_any(1, stepper.phases):
            memory = estimate(stepper, device, before, recorded=recorded)
    memory.check(resumed=resumed, recompute=stepper.config.recompute)
    if device.type == "cpu":
        return memory, way
    if memory.graphs > memory.left:
        way = Way("ahead", f"recorded steps take {in_words(memory.graphs)}, which would not fit beside training")
        memory = replace(memory, graphs=0)
        say(f"no step is recorded: {way.reason}")
    if not stepper.source.keep(memory.left - memory.graphs):
        say("there is too little memory to keep the images on the device: each batch is copied there")
    return memory, way


def _without_effect(stepper: Stepper, way: Way) -> Iterator[str]:
    """Settings of the recipe that have no effect."""
    if stepper.config.capture == "on" and way.kind != "replayed":
        yield f"train.capture: on has no effect: {way.reason}"
    if stepper.config.recompute and not blocks(stepper.model):
        yield "train.recompute: has no effect: no backbone of the model has a list of modules with submodules"
    if stepper.config.fuse == "on" and not stepper.arithmetic.fused:
        reason = obstacle(stepper.model, stepper.device)
        yield f"train.fuse: on has no effect: {reason or 'the run was begun without it'}"


def construct_to_train(recipe: Recipe, dataset: Dataset, device: torch.device) -> Model:
    """Build the recipe's model for these images, checked before anything is spent on it.

    Raises:
        UsageError: if it would not fit into memory; raised before the memory is taken.
        CausalityError: if it leaks.
        PluginError: if a backbone or head breaks its contract.
    """
    model = construct(recipe, dataset.spec, dataset.classes, device)
    model.class_names = dataset.class_names
    model.verify()
    return model


def _check_trains(model: Model) -> None:
    """Raise PluginError if a backbone or head of the model would not be trained."""
    for network in networks_in(model).values():
        network.check_trains()

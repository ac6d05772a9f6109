"""One set of weights for several orderings: a network for each, trained together and scored as an ensemble."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from pixkit.components.config import ComponentConfig
from pixkit.components.spec import BackboneRef, EncodingRef, HeadRef, OrderingRef
from pixkit.errors import RecipeError
from pixkit.execution.reference import Progress
from pixkit.image import Batch, ImageSpec
from pixkit.models.labelled import ContextRef, LabelledModel
from pixkit.models.mixed import mixed, mixed_sites
from pixkit.models.phase import Losses, Phase
from pixkit.models.request import SampleRequest
from pixkit.network import Autoregressive
from pixkit.noise import Noise
from pixkit.samplers import Drawn, Known

S_CURVES: Any = tuple(
    {"type": "snake", "transpose": transpose, "flip_horizontal": horizontal, "flip_vertical": vertical}
    for transpose, horizontal, vertical in itertools.product((False, True), repeat=3)
)
"""The eight S-curves: along rows or columns, from each of the four corners."""


class OrderAgnosticModel(LabelledModel):
    """Shared weights for several orderings (Jain, Abbeel and Pathak, 2020, arXiv 2006.12486).

    Each ordering o gives a network with its own distribution p_o; all share their parameters and differ only in their
    masks. A training step takes a random ordering for its batch. The score is the ensemble's,

        -log p(x),   p(x) = mean over orderings o of p_o(x)

    which is an exact likelihood: that of choosing an ordering for each image and drawing it in that ordering, as
    `sample` does. The part 'one ordering' of a score is the mean over orderings of -log p_o(x), which is never less. A
    partly known image is continued in the ordering that comes nearest to drawing the missing part last.

    Networks must store weights of the same shapes in every ordering. Those of `pixkit.layers.LocalConv2d` do, with the
    same meaning in each; those of backbones that turn the image (OrientedBackbone) do for the turns of one scan.

    Raises:
        RecipeError: if weights differ in shape, if the networks keep statistics, or if labels are asked for and the
            data have none.
    """

    class Config(ComponentConfig):
        """The parts."""

        orderings: tuple[OrderingRef, ...] = Field(default=S_CURVES, min_length=1, max_length=64, strict=False)
        """The orderings; by default the eight S-curves."""
        input: EncodingRef = Field(default={"type": "scaled"}, validate_default=True)
        """How levels enter the network."""
        context: ContextRef = None
        """What images are conditioned on: `{type: label}` for the data's labels; a list of conditioners, of labels and
        the arrays of `data.context`; nothing if left out."""
        backbone: BackboneRef
        """The network, whose weights must not depend on the ordering."""
        head: HeadRef = Field(default={"type": "softmax"}, validate_default=True)
        """The distribution of a sub-pixel."""

    config: Config
    mapped = True

    def __init__(self, config: Config, spec: ImageSpec, classes: int | None = None) -> None:
        super().__init__(config, spec, classes)
        self.networks = nn.ModuleList(map(self.build_network, config.orderings))
        for number, network in enumerate(self._networks()):
            _share(self.network, network, config.orderings[number].config.where())
        self.register_state_dict_post_hook(_drop_shared)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_pre_hook(_restore_shared)  # type: ignore[no-untyped-call]

    @property
    def network(self) -> Autoregressive:  # type: ignore[override]
        """The network of the first ordering; the others share its parameters."""
        return next(self._networks())

    def _networks(self) -> Iterator[Autoregressive]:
        yield from self.networks  # type: ignore[misc]

    def phases(self) -> list[Phase]:
        """One: maximum likelihood in an ordering drawn for each batch from torch's generator."""
        return [Phase("likelihood", self.parameters(), self._loss, varies=self._chosen, mean=True)]

    def _chosen(self, step: int) -> int:
        """The number of a batch's ordering, from torch's generator."""
        return int(torch.randint(len(self.networks), ()))

    def _loss(self, batch: Batch, step: int) -> Losses:
        network = list(self._networks())[self._chosen(step)]
        nats = -network.log_prob(batch.x, self.context_shown(batch)).mean()
        return {"loss": nats / self.spec.dims, "nats": nats.detach()}

    def score(self, batch: Batch) -> Tensor:
        """-log p(x) of the ensemble, nats [B], given the label if the model takes labels."""
        return self.assess(batch)["nats"]

    def assess(self, batch: Batch) -> Mapping[str, Tensor]:
        """'nats', the ensemble's, and 'one ordering', the mean of the single orderings'."""
        each = self.ordering_log_probs(batch.x, self.context_of(batch))
        return {"nats": -mixed(each), "one ordering": -each.mean(0)}

    def remarks(self, parts: Mapping[str, float], step: int | None = None) -> list[str]:
        """That the score is the ensemble's, once training is over."""
        count = len(self.networks)
        if step is not None or count == 1 or "one ordering" not in parts:
            return []
        single = parts["one ordering"]
        return [f"the score is the ensemble's, of {count} orderings; one ordering has {single:.3f} nats, their mean"]

    def ordering_log_probs(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """log p_o(x) of each ordering and image, nats, float32 at least: int64 [B, C, H, W] to [orderings, B]."""
        return torch.stack([network.log_prob(x, context) for network in self._networks()])

    def site_nats(self, x: Tensor, labels: Tensor | None) -> Tensor:
        """See LabelledModel: the ensemble's."""
        sites = self._ordering_sites(x, labels)
        return mixed_sites(-sites.flatten(2).sum(2), sites)

    def assess_sites(self, batch: Batch) -> tuple[Mapping[str, Tensor], Tensor]:
        """See Model: what `assess` gives, and 'spread', the standard deviation over the orderings of -log p_o(x)."""
        sites = self._ordering_sites(batch.x, self.context_of(batch))
        each = -sites.flatten(2).sum(2)
        figures = {"nats": -mixed(each), "one ordering": -each.mean(0), "spread": each.std(0, correction=0)}
        return figures, mixed_sites(each, sites)

    def _ordering_sites(self, x: Tensor, labels: Tensor | None) -> Tensor:
        """Each ordering's shares, [orderings, B, H, W]."""
        return torch.stack([-network.site_log_prob(x, labels) for network in self._networks()])

    def image_log_probs(self, x: Tensor, labels: Tensor | None) -> Tensor:
        """See LabelledModel: the ensemble's."""
        return mixed(self.ordering_log_probs(x, labels))

    def completing(self, known: Tensor) -> Autoregressive:
        """See Model: the network with the fewest pairs of a known and a missing sub-pixel in the wrong order."""
        part = Known(known, known[None].long())
        return min(self._networks(), key=lambda network: part.late(network.ordering))

    def orderings_drawn(self, noise: Noise) -> list[int]:
        """The number of each image's ordering, uniform; it belongs to the image, like its noise."""
        uniforms = noise.stream("ordering").uniforms(1, ImageSpec(1, 1, 1, 2)).flatten()
        return (uniforms * len(self.networks)).long().tolist()

    def draw(self, request: SampleRequest) -> Drawn:
        """See Model: each image in its own ordering; with `known`, all in that of `completing`."""
        if request.known is not None:
            return self.draw_by(self.completing(request.known.mask), request)
        networks, n, numbers = list(self._networks()), len(request), self.orderings_drawn(request.noise)
        images = torch.empty(n, *self.spec.shape, dtype=torch.int64, device=self.device)
        said: dict[str, None] = {}
        done = 0
        for number in sorted(set(numbers)):
            rows = [row for row, own in enumerate(numbers) if own == number]
            progress = _share_of(request.progress, done, len(rows), n)
            drawn = self.draw_by(networks[number], replace(request.part(rows), progress=progress))
            images[rows] = drawn.images
            said[drawn.summary] = None
            done += len(rows)
        return Drawn(images, "; ".join(filter(None, said)))


def _share_of(progress: Progress | None, before: int, own: int, total: int) -> Progress | None:
    """Report the progress of `own` of `total` images, after `before` others."""
    if progress is None:
        return None
    return lambda done, steps: progress(before * steps + own * done, total * steps)


def _share(source: Autoregressive, network: Autoregressive, where: str) -> None:
    """Give the network the parameters of another."""
    shapes = [{name: tuple(value.shape) for name, value in one.state_dict().items()} for one in (source, network)]
    named = dict(source.named_parameters(remove_duplicate=False))
    if shapes[0] != shapes[1] or set(shapes[0]) != set(named):
        name = next((name for name in shapes[0] if shapes[0][name] != shapes[1].get(name) or name not in named), "")
        raise RecipeError(
            "orderings can only share weights that have the same shape in each",
            where=where,
            found=f"{name} of shape {shapes[1].get(name)}, and {shapes[0].get(name)} in the first ordering"
            if name in named
            else f"{name or 'other layers'}, which every ordering would have separately",
            expected="a backbone whose weights do not depend on the ordering, without BatchNorm",
        )
    for name, parameter in named.items():
        owner, _, own = name.rpartition(".")
        setattr(network.get_submodule(owner), own, parameter)


def _others(name: str, prefix: str) -> bool:
    """Whether this names a tensor of a network other than the first."""
    start = f"{prefix}networks."
    return name.startswith(start) and not name.startswith(f"{start}0.")


def _drop_shared(model: nn.Module, state: dict[str, Any], prefix: str, metadata: Any) -> None:
    """Save each weight once, under the first network's names."""
    for name in [name for name in state if _others(name, prefix)]:
        del state[name]


def _restore_shared(model: nn.Module, state: dict[str, Any], prefix: str, *rest: Any) -> None:
    """Give torch a tensor for every name that it loads: the same ones for each of the networks."""
    start = f"{prefix}networks."
    own = {name[len(start) + 2 :]: value for name, value in state.items() if name.startswith(f"{start}0.")}
    for number in range(1, len(model.networks)):  # type: ignore[arg-type]
        state.update({f"{start}{number}.{name}": value for name, value in own.items()})

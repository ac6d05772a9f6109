"""The graph that a foreign network is rewritten to: layers of pixkit, 1x1 convolutions, and functions of the table."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx, nn

from pixkit.layers.geometry import Grid
from pixkit.layers.rearrange import Rearrange
from pixkit.readiness.adoption.layout import Layout
from pixkit.readiness.adoption.separable import Mixed
from pixkit.readiness.adoption.space import Source, Space


class Builder:
    """Adds operations to the new graph, each an image [B, M, h, w].

    Attributes:
        space: the addresses of everything added so far.
        graph: the new graph.
        root: holds its layers and constants.
        dtype: of all values.
        name: the name of the next operation.
        remark: which part of the current operation does not reliably hide what it is meant to hide, if any.
    """

    def __init__(self, batch: int, dtype: torch.dtype) -> None:
        self.space, self.dtype = Space(batch), dtype
        self.graph, self.root = fx.Graph(), nn.Module()
        self.name, self.remark = "operation", ""
        self.sources: dict[fx.Node, Source] = {}
        self.parts: dict[tuple[fx.Node, int, int], fx.Node] = {}

    def placeholder(self, name: str, maps: int, grid: Grid, *, groups: int | None) -> Tensor:
        """Add an input of `groups` colour groups (None: needs no pixel); return addresses, int64 [B, maps, h, w]."""
        node = self.graph.placeholder(name)
        static = groups is None
        self.sources[node], addresses = self.space.operation(node, maps, grid, static=static, groups=groups or 1)
        return addresses.unflatten(2, grid)

    def layer(self, module: nn.Module, inputs: list[fx.Node], maps: int, grid: Grid) -> Tensor:
        """Add a layer of images; return the addresses of its result, int64 [B, maps, h * w]."""
        name = self._free(self.name)
        self.root.add_module(name, module.requires_grad_(False).eval())
        node = self.graph.call_module(name, tuple(inputs))
        return self._own(node, maps, grid, self._static(inputs))

    def call(self, function: Callable[..., Any], args: Any, kwargs: dict[str, Any], maps: int, grid: Grid) -> Tensor:
        """Add a function of images and numbers; return the addresses of its result, int64 [B, maps, h * w]."""
        node = self.graph.call_function(function, tuple(args), kwargs)
        return self._own(node, maps, grid, self._static(node.all_input_nodes))

    def constant(self, value: Tensor) -> fx.Node:
        """A constant image."""
        name = self._free("constant")
        self.root.register_buffer(name, value.to(self.dtype).contiguous())
        node = self.graph.get_attr(name)
        self.sources[node] = Source(node, -1, value.shape[1], (value.shape[2], value.shape[3]), True)
        return node

    def scattered(self, layout: Layout, addresses: Tensor, shape: torch.Size) -> Tensor:
        """Put the addresses of an operation [B, M, S] where its elements lie in a logical tensor."""

        def place() -> Tensor:
            out = torch.empty(shape.numel(), dtype=torch.int64)
            return out.scatter_(0, layout.index.flatten(), addresses.flatten()).view(shape)

        return self.space.likenesses.placed(("scattered", layout, shape), addresses, place)

    def read(self, x: Tensor, layout: Layout) -> fx.Node:
        """A node whose result holds the elements of a logical tensor where a layout has them."""
        found = self.read_spread(x, layout, spread=False)
        assert isinstance(found, fx.Node)
        return found

    def read_spread(self, x: Tensor, layout: Layout, *, spread: bool = True) -> fx.Node | float:
        """The same, except that it may have fewer maps or sites, as torch broadcasts, or be a number."""
        source = self.space.likenesses.source(x)
        now: list[fx.Node | float] = []

        def look() -> tuple[int, int] | None:
            """The range of the operation's maps that it equals, if it is one."""
            now.append(self.image(x.flatten()[layout.index], layout.grid, spread=spread))
            if source is None or now[0] is source.node:
                return None if source is None else (0, source.maps)
            return next((key[1:] for key, node in self.parts.items() if (key[0], node) == (source.node, now[0])), None)

        run = self.space.likenesses.remembered(("read", layout, spread), [x], look)
        if not now and run is not None:
            return self.part(source, *run)
        if not now:
            look()
        return now[0]

    def image(self, addresses: Tensor, grid: Grid, *, spread: bool = False) -> fx.Node | float:
        """A node whose result has these values, int64 [B, M, S] on a grid.

        Args:
            addresses: of operations and constants.
            grid: h and w, with h * w = S.
            spread: whether it may have fewer maps or sites, as torch broadcasts, or be a number.

        Raises:
            Mixed: if an image would read another.
        """
        given = self.given(addresses, grid)
        if given is not None:
            return given
        self.space.require_written([addresses])
        place = self.space.where(addresses)
        own = torch.arange(self.space.batch)[:, None, None]
        if bool(((place.image != own) & (place.image >= 0)).any()):
            raise Mixed("which mixes the images of a batch")
        source, maps, sites = place.source[0], place.map[0], place.site[0]
        constant = source < 0
        if constant.all():
            return self._constant_image(addresses, grid, spread)
        numbers = source[~constant].unique().tolist()
        alike = all(torch.equal(plane, plane[:1].expand_as(plane)) for plane in (place.source, place.map, place.site))
        if not alike or not self._same_constants(addresses[:, constant]):
            raise Mixed("which treats the images of a batch in different ways")
        if len(numbers) == 1 and not constant.any():
            found = self._same_site(numbers[0], maps, sites, grid, spread)
            if found is not None:
                return found
        return self._rearranged(numbers, addresses[0], (source, maps, sites), grid)

    def given(self, addresses: Tensor, grid: Grid) -> fx.Node | None:
        """The operation whose result has exactly these values, if any: the common case, and quick to check."""
        if not addresses.numel():
            return None
        source = self.space.sources[int(self.space.which(addresses[0, 0, :1]))]
        if not isinstance(source, Source) or (source.maps, source.grid) != (addresses.shape[1], grid):
            return None
        own = torch.arange(source.first, source.first + addresses.numel()).view(addresses.shape)
        return source.node if torch.equal(addresses, own) else None

    def node(self, addresses: Tensor, grid: Grid) -> fx.Node:
        """A node whose result has these values on the whole grid."""
        found = self.image(addresses, grid)
        assert isinstance(found, fx.Node)
        return found

    def _same_constants(self, addresses: Tensor) -> bool:
        """Whether constants are the same for each image, int64 [B, ...]."""
        if torch.equal(addresses, addresses[:1].expand_as(addresses)):
            return True
        value = self.space.values(addresses, self.dtype).value
        return torch.equal(value, value[:1].expand_as(value))

    def _constant_image(self, addresses: Tensor, grid: Grid, spread: bool) -> fx.Node | float:
        if not self._same_constants(addresses):
            raise Mixed("which treats the images of a batch in different ways")
        value = self.space.values(addresses[:1], self.dtype).value
        if spread and bool((value == value.flatten()[0]).all()):
            return float(value.flatten()[0])
        if spread and bool((value == value[..., :1]).all()):
            return self.constant(value[..., :1, None])
        return self.constant(value.unflatten(2, grid))

    def _same_site(self, number: int, maps: Tensor, sites: Tensor, grid: Grid, spread: bool) -> fx.Node | None:
        """All maps of an operation, or a range of them, in their places; None if they are elsewhere."""
        source = self.space.sources[number]
        assert isinstance(source, Source)
        lone = spread and source.sites == 1
        if not lone and (source.grid != grid or not torch.equal(sites, torch.arange(source.sites).expand_as(sites))):
            return None
        if spread and source.maps == 1:
            return source.node
        run = maps[:1, :1] + torch.arange(len(maps))[:, None]
        return self.part(source, int(maps[0, 0]), len(maps)) if torch.equal(maps, run.expand_as(maps)) else None

    def part(self, source: Source, first: int, count: int) -> fx.Node:
        """A range of an operation's maps."""
        if count == source.maps:
            return source.node
        key = (source.node, first, count)
        if key not in self.parts:
            sizes = [size for size in (first, count, source.maps - first - count) if size]
            split = self.graph.call_function(torch.split, (source.node, sizes, 1))
            node = self.graph.call_function(operator.getitem, (split, int(first > 0)))
            self.sources[node] = Source(node, -1, count, source.grid, source.static)
            self.parts[key] = node
        return self.parts[key]

    def _rearranged(
        self, numbers: list[int], addresses: Tensor, where: tuple[Tensor, Tensor, Tensor], grid: Grid
    ) -> fx.Node:
        source, maps, sites = where
        table, first, sizes, nodes = torch.full(source.shape, -1), 0, [], []
        for number in numbers:
            read = self.space.sources[number]
            assert isinstance(read, Source)
            table = torch.where(source == number, first + maps * read.sites + sites, table)
            sizes.append((read.maps, *read.grid))
            nodes.append(read.node)
            first += read.maps * read.sites
        constants = self.space.values(addresses, self.dtype).value if (table < 0).any() else None
        layer = Rearrange(sizes, table, grid, constants)
        name, self.name = self.name, f"{self.name}_sites"
        given = self.layer(layer, nodes, len(table), grid)
        self.name = name
        found = self.space.sources[int(self.space.which(given.flatten()[:1]))]
        assert isinstance(found, Source)
        return found.node

    def _own(self, node: fx.Node, maps: int, grid: Grid, static: bool) -> Tensor:
        self.sources[node], addresses = self.space.operation(node, maps, grid, static=static)
        return addresses

    def _static(self, nodes: list[fx.Node]) -> bool:
        return all(self.sources[node].static for node in nodes)

    def _free(self, name: str) -> str:
        """A name that the root does not have yet."""
        found, number = name, 1
        while hasattr(self.root, found):
            found, number = f"{name}_{number}", number + 1
        return found

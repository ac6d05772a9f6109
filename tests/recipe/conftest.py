"""A small registry with every kind of field, so that these tests need none of pixkit's components."""

from typing import Annotated, Literal

import pytest
from pydantic import Field, field_validator, model_validator

from pixkit.backbones.base import Backbone
from pixkit.components.config import ComponentConfig
from pixkit.components.registry import Registrar, Registry
from pixkit.components.spec import BackboneRef, HeadRef, MaskRef
from pixkit.data.base import DataSource
from pixkit.heads.base import Head
from pixkit.models.base import Model
from pixkit.optimisers import OPTIMISERS, SCHEDULES
from pixkit.orderings.masks import TapShape
from pixkit.samplers.base import Sampler


def whole(base):
    """A kind with every method, though none that works: these tests read configurations alone."""
    return type("Whole", (base,), dict.fromkeys(base.__abstractmethods__, object.__init__))


class Net(whole(Backbone)):
    """A net.

    More about it.
    """

    class Config(ComponentConfig):
        layers: int = Field(ge=1, le=100)
        """How many."""
        width: int = Field(48, ge=1, le=1024)
        dropout: float = Field(0.0, ge=0, lt=1)
        norm: Literal["none", "layer"] = "none"
        kernel: int | Literal["auto"] = "auto"
        stride: Annotated[int, Field(ge=1)] | Literal["auto"] = 1
        gated: bool = False
        note: str | None = None
        sizes: list[int] = Field(default_factory=list, max_length=3)
        pair: tuple[int, int] = Field((1, 2), strict=False)
        mask: MaskRef | None = None
        masks: list[MaskRef] = Field(default_factory=list)

        @field_validator("width")
        @classmethod
        def _not_thirteen(cls, value: int) -> int:
            if value == 13:
                raise ValueError("13 is not wanted")
            return value

        @model_validator(mode="after")
        def _gated_is_even(self) -> "Net.Config":
            if self.gated and self.width % 2:
                raise ValueError("a gated net has an even width")
            return self


class OtherNet(whole(Backbone)):
    """Another net."""

    class Config(ComponentConfig):
        depth: int = 3


class Autoregressive(whole(Model)):
    """A model of a backbone and a head."""

    class Config(ComponentConfig):
        backbone: BackboneRef
        head: HeadRef


class Softmax(whole(Head)):
    """A softmax."""

    class Config(ComponentConfig):
        independent: bool = False


def plain(base):
    class Plain(whole(base)):
        """Without keys."""

        class Config(ComponentConfig):
            pass

    return Plain


class Files(whole(DataSource)):
    """Images in files."""

    class Config(ComponentConfig):
        path: str = Field(json_schema_extra={"x-pixkit-path": True})
        more: list[str] = Field(default_factory=list, json_schema_extra={"x-pixkit-path": True})
        levels: int | None = None


@pytest.fixture(scope="session")
def registry() -> Registry:
    core = Registrar("pixkit", "1.0")
    core.add("model", "autoregressive", Autoregressive)
    core.add("backbone", "net", Net)
    core.add("backbone", "other_net", OtherNet)
    core.add("head", "softmax", Softmax)
    core.add("head", "logistic", plain(Head))
    core.add("mask", "full", plain(TapShape))
    core.add("sampler", "ancestral", plain(Sampler))
    core.add("data", "digits", plain(DataSource))
    core.add("data", "files", Files)
    for kind, table in (("optimiser", OPTIMISERS), ("schedule", SCHEDULES)):
        for name, cls in table.items():
            core.add(kind, name, cls)
    guest = Registrar("acme", "2.0")
    guest.add("head", "logistic", plain(Head))
    guest.add("mask", "hexagon", plain(TapShape))
    registry = Registry()
    registry.extend(core.entries)
    registry.extend(guest.entries)
    return registry


RECIPE = """\
pixkit: 1
name: digits-net
data: {source: files, path: images}
model:
  type: autoregressive
  backbone:
    type: net
    layers: 3
    width: 16
  head: {type: softmax, independent: true}
train: {steps: 10, optimizer: {type: adam, lr: 1e-3, eps: 1e-6}}
"""


@pytest.fixture
def recipe_text() -> str:
    return RECIPE


@pytest.fixture
def write(tmp_path):
    """Write a text (or bytes) as a recipe file and give its path."""

    def _write(content, name="recipe.yaml"):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return _write

"""Which networks `verify` and `bench` look at."""

from types import SimpleNamespace

import pytest
import torch

from pixkit.errors import DataError, UsageError
from pixkit.image import ImageSpec
from pixkit.models.base import Model
from pixkit.recipe import LoadedRecipe, load_recipe
from pixkit.samplers import Drawn
from pixkit.tasks import networks
from pixkit.tasks.networks import name_of, networks_of
from pixkit.testing import named, plain_backbone

SPEC = ImageSpec(1, 2, 2, 4)


class Empty(Model):
    """Has no network at all."""

    score_kind = "none"

    def phases(self):
        return []

    def draw(self, request):
        return Drawn(torch.zeros(len(request), *self.spec.shape, dtype=torch.int64))


@pytest.fixture(scope="module")
def model():
    return named("model", "autoregressive", backbone=plain_backbone()).build(SPEC, None)


def test_a_network_is_itself_and_a_models_go_by_their_names(model):
    assert networks_of(model.network) == {"network": model.network}
    assert networks_of(model) == {"network": model.network}
    with pytest.raises(UsageError, match="no autoregressive network") as caught:
        networks_of(Empty(SimpleNamespace(), SPEC))
    assert caught.value.found == "Empty"


@pytest.mark.parametrize(("shape", "spec", "classes"), [
    ((1, 5, 6, 4), ImageSpec(1, 5, 6, 4), None), ([3, 5, 6, 4, 10], ImageSpec(3, 5, 6, 4), 10),
])  # fmt: skip
def test_a_shape_stands_for_images_that_are_not_there(monkeypatch, shape, spec, classes):
    made = []
    monkeypatch.setattr(networks, "construct", lambda *given: made.append(given) or torch.nn.Identity())
    loaded = load_recipe("digits-pixelcnn")
    with pytest.raises(UsageError, match="no autoregressive network"):
        networks_of(loaded, shape=shape, device="cpu")
    assert made == [(loaded.recipe, spec, classes, torch.device("cpu"))]


@pytest.mark.parametrize("shape", [(1, 5, 6), (1, 5, 6, 4, 10, 2), ()])
def test_what_is_no_shape_is_refused(shape):
    with pytest.raises(UsageError, match="shape: this is not a shape of images") as caught:
        networks_of("digits-pixelcnn", shape=shape)
    assert caught.value.found == str(shape)


@pytest.mark.parametrize(("hint", "begin"), [(None, "only the"), ("look elsewhere", "look elsewhere; only the")])
def test_images_that_are_not_there_are_not_fetched_and_a_shape_is_asked_for(monkeypatch, hint, begin):
    def missing(data, base, loading):
        assert loading is print
        raise DataError("no images", hint=hint)

    monkeypatch.setattr(networks, "measure", missing)
    with pytest.raises(DataError) as caught:
        networks_of("digits-pixelcnn", loading=print)
    assert caught.value.hint == f"{begin} images' shape is needed here: pass it with shape=(C, H, W, K)"


def test_recipes_and_runs_have_the_recipes_name():
    loaded = load_recipe("digits-pixelcnn")
    assert isinstance(loaded, LoadedRecipe) and name_of(loaded) == "digits-pixelcnn"
    assert name_of(SimpleNamespace(recipe=lambda: SimpleNamespace(name="another"))) == "another"

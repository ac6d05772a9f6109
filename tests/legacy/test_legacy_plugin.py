"""A plugin of 0.1 that brings one component of each kind: it is taken, keeps its contracts, trains and samples."""

import json

import numpy as np
import pytest
import torch

import pixkit
from pixkit import testing
from pixkit.components.plugins import plugins
from pixkit.readiness.check import verify
from pixkit.readiness.trace import Trace

BROUGHT = {
    "ordering": "rings",
    "mask": "cross",
    "backbone": "gist",
    "head": "binomial",
    "sampler": "patient",
    "model": "pair",
    "data": "crosses",
}
RECIPE = """\
pixkit: 1
name: vintage
data: {source: crosses, side: 5, images: 40}
model:
  type: autoregressive
  ordering: {type: rings, flip_vertical: true}
  backbone: {type: gist, width: 6, kernel: 3, shape: cross}
  head: binomial
train: {steps: 4, batch_size: 8, eval_every: 2, checkpoint_every: 2, eval_images: 8}
sample: {type: patient, count: 2}
"""

pytestmark = [pytest.mark.usefixtures("vintage"), pytest.mark.filterwarnings("ignore::DeprecationWarning")]


def test_the_door_takes_it_whole():
    (info,) = [info for info in plugins().infos if info.name == "vintage"]
    assert (info.distribution, info.version, info.health, info.detail) == ("vintage-pixels", "1.3.0", "ok", "")
    assert dict(info.components) == BROUGHT
    assert set(BROUGHT) == set(pixkit.KINDS[:7]), "the kinds of 0.1"


@pytest.mark.parametrize("kind", [kind for kind in BROUGHT if kind != "backbone"])
def test_its_components_keep_their_contracts(kind):
    check = getattr(testing, f"check_{kind}")
    check(testing.named(kind, BROUGHT[kind]))


@pytest.mark.parametrize("spec", [testing.GREY, testing.COLOUR], ids=["grey", "colour"])
@pytest.mark.parametrize("ordering", ["raster", "rings", "hilbert"])
def test_its_backbone_is_causal_and_proved(spec, ordering):
    net = testing.network(testing.named("backbone", "gist"), spec, ordering=testing.named("ordering", ordering))
    testing.check_features(net)
    testing.check_gradients(net, testing.check_causality(net))
    testing.check_agreement(testing.named("sampler", "patient"), net)


def test_what_is_done_the_old_way_is_told():
    with pytest.warns(DeprecationWarning, match="EarlierMean has no method `at`"):
        net = testing.network(testing.named("backbone", "gist"), testing.GREY)
    with pytest.warns(DeprecationWarning, match="Patient .* overrides summary"):
        sampler = testing.named("sampler", "patient").build()
    with pytest.warns(DeprecationWarning, match="Pair .* overrides sample"):
        model = testing.named("model", "pair").build(testing.GREY)
    assert isinstance(net.backbone, pixkit.Backbone)
    assert isinstance(sampler, pixkit.Sampler) and isinstance(model, pixkit.Model)


@pytest.mark.parametrize("ordering", ["raster", "rings"])
def test_its_mixing_layer_is_proved_and_sampled_by_whole_passes(ordering):
    net = testing.network(
        testing.named("backbone", "gist"), testing.COLOUR, ordering=testing.named("ordering", ordering)
    )
    assert isinstance(verify(net), Trace), "no proof"
    noise = pixkit.Noise(4, range(3))
    with pytest.warns(RuntimeWarning, match="sampling by whole passes.*backbone.mean .EarlierMean."):
        drawn = testing.named("sampler", "auto").build().draw(net, noise)
    assert torch.equal(drawn.images, testing.named("sampler", "ancestral").build().sample(net, noise))


def test_from_recipe_to_samples(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "vintage.yaml").write_text(RECIPE, encoding="utf-8")
    code, _, err = command("build", "vintage.yaml", "-o", "run", "--device", "cpu", "-q")
    assert code == 0, err
    assert json.loads((tmp_path / "run/env.json").read_text())["plugins"]["vintage-pixels:vintage"] == "1.3.0"
    lock = (tmp_path / "run/recipe.lock.yaml").read_text()
    for kind, name in BROUGHT.items():
        assert (f"vintage-pixels:{name}" in lock) == (kind not in ("sampler", "model"))
    code, _, err = command("sample", "run", "-n", 3, "--sampler", "patient", "-o", "drawn.npz", "--device", "cpu")
    assert code == 0, err
    assert "25 patient passes" not in err, "rings draw several sites at once"
    assert "3 patient passes" in err
    drawn = np.load(tmp_path / "drawn.npz")["samples"]
    assert drawn.shape == (3, 1, 5, 5) and drawn.max() < 5
    model = pixkit.load("run", device="cpu")
    np.testing.assert_array_equal(model.sample(3, sampler="ancestral").numpy(), drawn)


def test_its_sampler_knows_what_was_clamped():
    net = testing.network(testing.plain_backbone(), testing.GREY)
    sampler = testing.named("sampler", "patient").build()
    values = testing.random_images(net.spec, 2)
    for row, said in ((0, ""), (-1, ", some of what is known came late")):
        mask = torch.zeros(net.spec.shape, dtype=torch.bool)
        mask[:, row] = True
        drawn = sampler.sample(net, pixkit.Noise(1, range(2)), known=pixkit.Known(mask, values))
        assert (drawn == values)[:, mask].all()
        passes = net.ordering.count - net.spec.width
        assert sampler.summary() == f"{passes} patient passes{said}"
        assert said[2:] in sampler.draw(net, pixkit.Noise(1, range(2)), known=pixkit.Known(mask, values)).summary


def test_its_model_draws_with_all_arguments():
    model = testing.named("model", "pair").build(pixkit.ImageSpec(1, 4, 4, 5), 4).eval()
    called = []
    whole = model.sample(
        6,
        seed=3,
        temperature=0.7,
        sampler=testing.named("sampler", "ancestral").build(),
        batch_size=2,
        first=1,
        known=None,
        context=None,
        guidance=0.0,
        progress=lambda done, total: called.append((done, total)),
    )
    assert called
    assert torch.equal(model.sample(2, seed=3, temperature=0.7, first=5), whole[4:])
    request = model.request(2, seed=3, temperature=0.7, first=5, sampler=testing.named("sampler", "ancestral").build())
    assert torch.equal(model.draw(request).images, whole[4:])
    with pytest.raises(pixkit.UsageError, match="whole images"):
        model.sample(2, guidance=1.0)

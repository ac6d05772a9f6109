"""A sampler keeps nothing: what was done is in what `draw` gives, and one sampler serves several networks."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from nets import NETS, net_of

import pixkit
from pixkit.backbones.conditioners import LabelContext
from pixkit.execution.eager import EagerExecutor
from pixkit.image import ImageSpec
from pixkit.noise import Noise
from pixkit.samplers import SAMPLERS, Ancestral, Auto, BatchRequest, Cached, Drawn, Sampler, cached, kept, sampler_for
from pixkit.samplers.guidance import Guided
from pixkit.testing import COLOUR, GREY, check_stateless, component, named, network, plain_backbone


def nets():
    return [network(plain_backbone(), spec) for spec in (GREY, COLOUR)]


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_the_samplers_keep_nothing(name):
    sampler = sampler_for(name)
    before = dict(vars(sampler))
    first, second = (sampler.draw(net, Noise(1, range(2))) for net in nets())
    assert isinstance(first, Drawn) and first.images.shape[1:] != second.images.shape[1:]
    assert vars(sampler) == before and list(before) == ["config"]


def test_a_guided_sampler_keeps_nothing():
    spec = ImageSpec(1, 3, 3, 2)
    net = network(named("backbone", "pixelcnn", width=8, layers=1), spec, conditioner=LabelContext(3, 2))
    guided = Guided(sampler_for("auto"), 1.0, torch.tensor([3]))
    before = [dict(vars(one)) for one in (guided, guided.inner)]
    drawn = guided.draw(net, Noise(1, range(2)), context=torch.tensor([0, 1]))
    assert "cached sampling" in drawn.summary
    assert [dict(vars(one)) for one in (guided, guided.inner)] == before


@pytest.mark.parametrize("name", ["auto", "ancestral", "cached", "fixed_point"])
def test_two_threads_may_use_one_sampler(name):
    sampler, noise = sampler_for(name), Noise(1, range(2))
    each = nets()
    expected = [sampler.draw(net, noise) for net in each]
    with ThreadPoolExecutor(2) as pool:
        drawn = list(pool.map(lambda net: sampler.draw(net, noise, batch_size=1), each))
    for one, other in zip(drawn, expected, strict=True):
        assert torch.equal(one.images, other.images)


def test_sample_gives_the_images_that_draw_gives():
    net, noise = nets()[0], Noise(1, range(3))
    drawn = Cached(Cached.Config()).draw(net, noise, temperature=0.5, batch_size=2)
    assert torch.equal(Cached(Cached.Config()).sample(net, noise, temperature=0.5, batch_size=2), drawn.images)


def test_cached_sampling_says_who_ran_the_plan_and_in_how_many_steps():
    net = nets()[0]
    for executor in ("reference", "eager"):
        said = Cached(Cached.Config(executor=executor)).draw(net, Noise(1, range(2))).summary
        assert said == f"cached sampling by the executor {executor} in {net.ordering.count} steps"
        known = pixkit.Known(net.ordering.steps < 4, torch.zeros(1, *net.spec.shape, dtype=torch.int64))
        said = Cached(Cached.Config(executor=executor)).draw(net, Noise(1, range(5)), known=known, batch_size=2).summary
        assert said == f"cached sampling by the executor {executor} in {net.ordering.count - 4} steps"
    assert Cached(Cached.Config()).draw(net, Noise(1, [])).summary == ""


def test_of_batches_of_one_size_it_is_asked_once_who_can_draw_them(monkeypatch):
    """Where only the executor that runs every plan can, too, which is made for each batch; others wait for the next."""
    asked, choose = [], cached.choose

    def told(name, plan, count, context):
        asked.append((name, count))
        return replace(choose("eager" if count == 2 else "reference", plan, count, context), reasons=("because",))

    monkeypatch.setattr(cached, "choose", told)
    monkeypatch.setattr(kept, "fits", lambda executor: not isinstance(executor, EagerExecutor))
    prepared, noise = Cached(Cached.Config()).prepare(nets()[0], None), Noise(1, range(2))
    with torch.no_grad():
        drawn = [prepared(BatchRequest(noise)), prepared(BatchRequest(noise))]
        for _ in range(2):
            prepared(BatchRequest(Noise(1, range(3))))
    assert asked == [("auto", 2), ("eager", 2), ("auto", 3)] and torch.equal(*drawn)
    count = nets()[0].ordering.count
    assert prepared.summary() == f"cached sampling by the executor eager and reference in {count} steps; because"


@pytest.mark.needs_compiler
def test_cached_sampling_names_the_operation_that_kept_the_native_executor_away():
    said = sampler_for("auto").draw(net_of(NETS["Revealed"], GREY), Noise(1, range(2))).summary
    assert "eager" in said and "not native" in said and "backbone.free" in said


class Branching(NETS["Plain"]):
    """Branches on values."""

    def forward(self, x):
        h = super().forward(x)
        return h + 0 if h.sum() > 0 else h


def test_whole_passes_are_told_with_their_reason():
    with pytest.warns(RuntimeWarning, match="whole passes"):
        drawn = Auto(Auto.Config()).draw(net_of(Branching, GREY), Noise(1, range(2)))
    assert drawn.summary.startswith("sampling by whole passes") and "Branching" in drawn.summary
    assert "\n" not in drawn.summary


class Counting(Ancestral):
    """Remembers how often it drew."""

    drawn = 0

    def prepare(self, network, known):
        self.drawn += 1
        return super().prepare(network, known)


class Attached(Ancestral):
    """Draws by the network that it was given last."""

    def prepare(self, network, known):
        self.config.__dict__["last"] = super().prepare(network, known)

        def draw(request):
            return self.config.__dict__["last"](request)

        return draw


@pytest.mark.parametrize(("cls", "text"), [(Counting, "keeps state: drawn"), (Attached, "in turn|shape|size")])
def test_the_kit_notices_what_a_sampler_keeps(cls, text):
    with pytest.raises((AssertionError, RuntimeError), match=text):
        check_stateless(component("sampler", cls), nets())


def test_a_sampler_without_prepare_is_refused():
    class Nothing(Sampler):
        """Draws nothing."""

    with pytest.raises(TypeError, match="prepare"):
        Nothing(Nothing.Config())


def test_what_is_prepared_may_be_a_plain_function():
    class Black(Sampler):
        """Draws what is 0."""

        def prepare(self, network, known):
            return lambda request: request.start(network)[0]

    drawn = Black(Black.Config()).draw(nets()[0], Noise(1, range(2)))
    assert not drawn.images.any() and drawn.summary == ""


def test_a_request_starts_from_what_is_known():
    net = nets()[0]
    values = torch.ones(1, *net.spec.shape, dtype=torch.int64)
    mask = torch.zeros(net.spec.shape, dtype=torch.bool)
    mask[0, 1] = True
    levels, missing = BatchRequest(Noise(0, range(3)), known=pixkit.Known(mask, values)).start(net)
    assert torch.equal(levels, mask.long().expand(3, *net.spec.shape)) and torch.equal(missing, ~mask)


def test_uniforms_have_float32_at_least():
    noise = Noise(5, range(2))
    for dtype, expected in ((torch.bfloat16, torch.float32), (torch.float64, torch.float64)):
        net = nets()[1].to(dtype)
        uniforms = net.uniforms(noise)
        assert uniforms.dtype == expected and tuple(uniforms.shape) == (2, net.head.draws, *net.spec.shape)
        assert torch.equal(uniforms, noise.uniforms(net.head.draws, net.spec).to(expected))


def test_only_what_is_due_is_filled():
    net, noise = nets()[1], Noise(5, range(2))
    before = torch.full((2, *net.spec.shape), 1)
    due = torch.rand(net.spec.shape, generator=torch.Generator().manual_seed(0)) < 0.5
    with torch.no_grad():
        params = net(before)
        filled = net.fill(before, due, params, net.uniforms(noise), 0.5)
        drawn = net.head.distribution(params).quantile(net.uniforms(noise), 0.5)
    assert torch.equal(filled[:, due], drawn[:, due]) and (filled[:, ~due] == 1).all()


def test_noise_enters_networks_in_one_place():
    """Samplers and executors take `Autoregressive.uniforms`, and draw by `Autoregressive.fill`."""
    root = Path(pixkit.__file__).parent
    paths = [path for folder in ("samplers", "execution") for path in (root / folder).rglob("*.py")]
    texts = {path.name: path.read_text(encoding="utf-8") for path in paths}
    assert not [name for name, text in texts.items() if "noise.uniforms(network.head" in text or "noise_dtype" in text]
    assert [name for name, text in texts.items() if ".quantile(" in text] == ["guidance.py"]

"""PixelGAN autoencoders trained: phases and their optimisers, resuming, what a run says, and the command line."""

import itertools
import json

import numpy as np
import pytest
import torch
from untimed import untimed

from pixkit.cli.main import main
from pixkit.data import prepare
from pixkit.data.dataset import BatchSequence
from pixkit.noise import Noise
from pixkit.recipe import load_recipe
from pixkit.runs.load import load
from pixkit.testing import randomise
from pixkit.training.build import build
from pixkit.training.step import Stepper

BOTH = """\
pixkit: 1
name: both
data: {source: digits, limit_train: 64, limit_test: 16, validation: 0.02}
model:
  type: pixelgan
  backbone: {type: pixelcnn, width: 6, layers: 0, first_kernel: 3, output_layers: 1}
  gaussian: 2
  categorical: 10
  features: 6
  encoder: {width: 4, hidden: 8}
  noise: 0.1
  discriminator: {hidden: 8, layers: 1}
  labelled: {count: 20}
train:
  steps: 8
  batch_size: 16
  eval_every: 4
  checkpoint_every: 2
  optimizer: {type: adam, lr: 3e-3}
  optimizers:
    discriminator: {type: rmsprop, lr: 2e-3}
    adversarial: {type: adam, lr: 1e-3, betas: [0.5, 0.9]}
sample: {count: 4}
"""


def loaded(folder, *overrides):
    path = folder / "both.yaml"
    path.write_text(BOTH, encoding="utf-8")
    return load_recipe(path, overrides)


class TestPhases:
    """What each phase does, to which parameters."""

    OWN = (
        ("reconstruction", {"encoder", "network"}),
        ("discriminator", {"discriminators"}),
        ("adversarial", {"encoder"}),
        ("supervised", {"encoder"}),
    )

    @pytest.fixture
    def stepper(self, tmp_path):
        """Of a model with both codes and labelled images."""
        recipe = loaded(tmp_path).recipe
        dataset = prepare(recipe.data, tmp_path)
        torch.manual_seed(0)
        model = recipe.model.build(dataset.spec, dataset.classes)
        randomise(model, 1, gain=0.5)  # a head that starts at zero would teach the encoder nothing in the first step
        return Stepper(model, BatchSequence(dataset, 8, 0), recipe.train, 0, torch.device("cpu"))

    def test_in_order(self, stepper):
        assert [phase.name for phase in stepper.phases] == [name for name, _ in self.OWN]

    @pytest.mark.parametrize(("number", "parts"), [(number, parts) for number, (_, parts) in enumerate(OWN)])
    def test_each_updates_its_own_parameters_alone(self, stepper, number, parts):
        stepper.phases = stepper.phases[number : number + 1]
        before = {name: value.detach().clone() for name, value in stepper.model.named_parameters()}
        stepper.make(1)
        moved = {name for name, value in stepper.model.named_parameters() if not torch.equal(value, before[name])}
        assert {name.split(".")[0] for name in moved} == parts
        whole = {name for name in before if name.split(".")[0] in parts}
        # Units of the last hidden layer that only the Gaussian code reads have nothing to learn from labels, and so on.
        assert len(moved) > len(whole) / 2

    def test_the_supervised_one_has_batches_of_labelled_images(self, stepper):
        chosen, seen = set(stepper.phases[-1].phase.choose(stepper.sequence.dataset.labels("train")).tolist()), set()
        for step in range(1, 6):
            seen |= set(next(stepper.batches(step, "supervised")).indices.tolist())
        assert len(chosen) == 20 and seen == chosen

    def test_each_has_an_optimiser_of_its_own_for_the_encoder(self, stepper):
        stepper.make(1)
        stepper.make(2)
        weight = stepper.model.encoder.last.weight
        states = [stepper.phases[number].optimizer.state[weight]["exp_avg"] for number in (0, 2, 3)]
        assert all(not torch.equal(one, other) for one, other in itertools.pairwise(states))
        assert [phase.rate for phase in stepper.phases] == [0.003, 0.002, 0.001, 0.003]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run of 8 steps, built once; look at it only."""
    folder = tmp_path_factory.mktemp("whole")
    return build(loaded(folder), folder / "run").run


def test_a_resumed_run_is_the_same_bit_for_bit(tmp_path, whole):
    """Four phases, four optimisers, of which three share the encoder."""
    build(loaded(tmp_path, "train.steps=5"), tmp_path / "run")
    run = build(loaded(tmp_path), tmp_path / "run", resume=True).run
    for name in ("model", "ema", "optimizer"):
        files = [one.checkpoint("last") / f"{name}.safetensors" for one in (run, whole)]
        assert files[0].read_bytes() == files[1].read_bytes(), name
    trained = [[row for row in untimed(one.rows()) if row["event"] == "train"] for one in (run, whole)]
    assert trained[0] == trained[1] and len(trained[0]) == 8


def test_what_a_run_says(whole):
    """Reconstruction decides which checkpoint is best; nothing is called nats, a bound or bits per dimension."""
    evals = [row for row in whole.rows() if row["event"] == "eval"]
    assert [row["step"] for row in evals] == [4, 8]
    best = min(evals, key=lambda row: row["reconstruction_ema"])
    assert whole.checkpoint("best").name == f"step-{best['step']}"
    figures = {"reconstruction", "accuracy_gaussian", "accuracy_categorical", "clusters", "clustering_error"}
    for row in evals:
        assert figures <= set(row) and not {"nats", "bits_per_dim"} & set(row)
        assert all(0 <= row[name] <= 1 for name in figures if name.startswith(("accuracy", "clustering")))
    found = json.loads((whole.path / "scores.json").read_text(encoding="utf-8"))
    assert len(found["scores"]) == 6
    for row in found["scores"]:
        assert row["kind"] == "none" and row["nats"] is None and row["bits_per_dim"] is None
        assert set(row["parts"]) == figures
    assert found["notes"][0] == "the model gives no likelihood, nor a bound"
    assert sum("1706.00531" in note for note in found["notes"]) == 1


def test_a_build_tells_the_metric(tmp_path, capsys):
    loaded(tmp_path)
    options = ["train.steps=2", "train.eval_every=1", "train.ema=0", "sample.count=1"]
    assert main(["build", str(tmp_path / "both.yaml"), "-o", str(tmp_path / "run"), *options]) == 0
    said = capsys.readouterr()
    assert "step 1/2: validation reconstruction " in said.err
    assert "test reconstruction " in said.out and "clustering_error " in said.out
    assert "bits/dim" not in (said.out + said.err).lower()


class TestCommandLine:
    """The run, looked at by commands."""

    @pytest.fixture
    def pixkit(self, capsys, whole, tmp_path, monkeypatch):
        """Run `pixkit COMMAND RUN ARGUMENTS...` in an empty folder and return (exit code, output, errors)."""
        monkeypatch.chdir(tmp_path)

        def call(command, *arguments):
            capsys.readouterr()
            code = main([*command.split(), str(whole.path), *map(str, arguments)])
            return (code, *capsys.readouterr())

        return call

    def drawn(self, pixkit, *options):
        code, _, errors = pixkit("sample", "-o", "x.npz", *options)
        assert code == 0, errors
        return torch.tensor(np.load("x.npz")["samples"]).long()

    def test_each_code_has_a_row(self, pixkit, whole):
        x = self.drawn(pixkit, "--code", "7,2", "-n", 3, "--seed", 4)
        assert len(x) == 6
        model, noise = load(whole, device="cpu"), Noise(4, range(6))
        z = model.latents([noise], torch.tensor([7, 7, 7, 2, 2, 2]))
        assert z[:, 2:].argmax(1).tolist() == [7, 7, 7, 2, 2, 2]
        assert torch.equal(x, model.decode(z, noise))
        assert torch.equal(x, model.decode(z, noise, sampler="ancestral"))
        assert len(self.drawn(pixkit, "--code", "all", "-n", 1)) == 10

    def test_codes_that_there_are_not(self, pixkit):
        code, _, errors = pixkit("sample", "-o", "x.npz", "--code", 10)
        assert code == 2 and "0..9" in errors

    def test_codes_varied_and_between_images(self, pixkit):
        assert len(self.drawn(pixkit, "--vary", "pixels", "-n", 3)) == 3
        assert len(self.drawn(pixkit, "--interpolate", "test:0", "test:3", "-n", 4)) == 4

    def test_reconstruct_has_no_bound_to_tell(self, pixkit):
        code, out, _ = pixkit("reconstruct", "test:0", "test:1", "-o", "r.png", "--json")
        said = json.loads(out)
        assert code == 0 and said["kind"] == "none" and [row["nats"] for row in said["images"]] == [None, None]

    def test_eval(self, pixkit):
        code, out, _ = pixkit("eval", "--limit", 8)
        assert code == 0 and "bits/dim" not in out.lower() and "<=" not in out
        assert "CLUSTERING_ERROR" in out and "most certain" in out and "not a bound" in out
        said = json.loads(pixkit("eval", "--json")[1])
        assert said["kind"] == "none" and said["nats"] is None and "clustering_error" in said["parts"]
        code, _, errors = pixkit("eval", "--importance", 3)
        assert code == 2 and "gives no likelihood" in errors

    def test_show(self, pixkit):
        code, out, _ = pixkit("show run")
        assert code == 0 and "RECONSTRUCTION" in out and "BITS/DIM" not in out

"""The recipes codes-top and codes-bottom, small, of a VQ-VAE trained here: priors of its codes, and their pictures."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from pydantic import Field
from safetensors.torch import load_file, save_file
from torch import nn

import pixkit
from pixkit.cli.main import main
from pixkit.components.plugins import plugins
from pixkit.data.digits import Digits
from pixkit.errors import DataError, PluginError
from pixkit.figures import save_grid
from pixkit.recipe import packaged_recipes
from pixkit.tasks.decoded import decoded

K, WIDTH, STEPS = 8, 8, 40


class TwoLevels(nn.Module):
    """Codes of 2x2 and 4x4 of a digit (Razavi et al., 2019, arXiv 1906.00446), by straight-through quantisation."""

    def __init__(self):
        super().__init__()
        self.low, self.high = nn.Conv2d(1, WIDTH, 4, 2, 1), nn.Conv2d(WIDTH, WIDTH, 4, 2, 1)
        self.top, self.bottom = nn.Embedding(K, WIDTH), nn.Embedding(K, WIDTH)
        self.up, self.out = nn.ConvTranspose2d(WIDTH, WIDTH, 4, 2, 1), nn.ConvTranspose2d(2 * WIDTH, 1, 4, 2, 1)

    def encode(self, x):
        bottom = self.low(x)
        return self.high(bottom.relu()), bottom

    def codes(self, x):
        return [
            (z.movedim(1, -1)[..., None, :] - book.weight).square().sum(-1).argmin(-1)
            for z, book in zip(self.encode(x), (self.top, self.bottom), strict=True)
        ]

    def decode(self, top, bottom):
        """int64 [n, 2, 2] and [n, 4, 4] to [n, 1, 8, 8]."""
        return self.pictures(*(book(c).movedim(-1, 1) for book, c in ((self.top, top), (self.bottom, bottom))))

    def coarse(self, top):
        """The same from top codes only, with the mean vector in place of bottom ones."""
        mean = self.bottom.weight.mean(0)[:, None, None].expand(len(top), -1, 4, 4)
        return self.pictures(self.top(top).movedim(-1, 1), mean)

    def pictures(self, top, bottom):
        return self.out(torch.cat([self.up(top), bottom], 1))

    def loss(self, x):
        through, cost = [], 0.0
        for z, code, book in zip(self.encode(x), self.codes(x), (self.top, self.bottom), strict=True):
            near = book(code).movedim(-1, 1)
            cost = cost + F.mse_loss(near, z.detach()) + 0.25 * F.mse_loss(z, near.detach())
            through.append(z + (near - z).detach())
        return F.mse_loss(self.pictures(*through), x) + cost


def trained(x):
    torch.manual_seed(0)
    model = TwoLevels()
    with torch.no_grad():  # codebooks from the data, so that all codes are in use
        for z, book in zip(model.encode(x), (model.top, model.bottom), strict=True):
            vectors = z.movedim(1, -1).flatten(0, 2)
            book.weight.copy_(vectors[torch.randperm(len(vectors))[:K]])
    optimiser = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(STEPS):
        optimiser.zero_grad()
        model.loss(x[torch.randint(len(x), (64,))]).backward()
        optimiser.step()
    return model


class Codes(pixkit.data.Arrays):
    """Codes of a `TwoLevels`: pictures are made of bottom codes and the top codes beside them, or of top codes only."""

    class Config(pixkit.data.Arrays.Config):
        decoder: str = Field(json_schema_extra={"x-pixkit-path": True})
        """Its parameters."""

    def decoder(self):
        model = TwoLevels()
        model.load_state_dict(load_file(self.resolve(self.config.decoder)))

        def pictures(codes, beside):
            x = model.decode(beside["top"], codes[:, 0]) if beside else model.coarse(codes[:, 0])
            return ((x + 1) * 127.5).round().clamp(0, 255).byte()

        return pictures


@pytest.fixture(scope="module", autouse=True)
def registered():
    registrar = pixkit.Registrar("two-levels", "1")
    registrar.add("data", "two_level_codes", Codes)
    plugins().registry.extend(registrar.entries)
    yield
    plugins().registry.withdraw(registrar.entries)


SMALL = (
    "data.path=codes.npz", f"data.source_levels={K}", "data.validation=0.05", "model.input.size=4", "train.ema=0",
    "model.backbone.width=16", "model.backbone.layers=2", "model.backbone.output_width=16", "train.optimizer.lr=3e-2",
    f"train.steps={STEPS}", "train.schedule.warmup=0", f"train.eval_every={STEPS}", f"train.checkpoint_every={STEPS}",
    "sample.count=2",
)  # fmt: skip
TOP = f"data.context.top={{train: 'codes.npz:top_train', test: 'codes.npz:top_test', values: {K}}}"
DECODED = "source: two_level_codes\n  decoder: vqvae.safetensors"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with the codes, the decoder and both priors' runs; and the VQ-VAE and the codes themselves."""
    folder = tmp_path_factory.mktemp("levels")
    images = Digits(Digits.Config(), folder).load()
    train, test = (part.levels().float() / 8 - 1 for part in (images.train, images.test))
    vqvae = trained(train)
    codes = {}
    with torch.no_grad(), pytest.MonkeyPatch.context() as patch:
        for split, x in (("train", train), ("test", test)):
            codes |= {f"{level}_{split}": z for level, z in zip(("top", "bottom"), vqvae.codes(x), strict=True)}
        rebuilt = vqvae.decode(codes["top_test"], codes["bottom_test"])
        assert F.mse_loss(rebuilt, test) < 0.7 * F.mse_loss(train.mean(0).expand_as(test), test)
        np.savez(folder / "codes.npz", **{name: z.numpy() for name, z in codes.items()})
        save_file(vqvae.state_dict(), folder / "vqvae.safetensors")
        patch.chdir(folder)
        given = "model.context=[{type: codes, from: top, size: 8, layers: 1}]"
        with torch.enable_grad():
            for level, more in (("top", ["data.limit_test=20"]), ("bottom", [TOP, given])):
                text = packaged_recipes()[f"codes-{level}"].read_text(encoding="utf-8")
                Path(f"{level}.yaml").write_text(text.replace("source: arrays", DECODED), encoding="utf-8")
                pixkit.build(f"{level}.yaml", out=level, overrides=[*SMALL, *more])
    return folder, vqvae, codes


@torch.no_grad()
def shown(vqvae, top, bottom=None):
    x = vqvae.coarse(top) if bottom is None else vqvae.decode(top, bottom)
    return ((x + 1) * 127.5).round().clamp(0, 255).long()


def test_bottom_codes_are_likelier_given_their_own_top_codes(place):
    folder, _, codes = place
    own, bottom = codes["top_test"], codes["bottom_test"][:, None]
    model = pixkit.load(folder / "bottom")
    scores = [float(model.log_prob(bottom, {"top": top}).mean()) for top in (own, own.roll(1, 0))]
    assert scores[0] > scores[1] + 2  # nats


def test_samples_of_both_priors_are_pictures(place, tmp_path):
    folder, vqvae, _ = place
    top = pixkit.sample(folder / "top", 3, seed=1)
    assert torch.equal(top.decoded, shown(vqvae, top.images[:, 0])) and top.decoded.shape == (3, 1, 8, 8)
    assert len(top.decoded.unique(dim=0)) == len(top.images.unique(dim=0)) > 1
    drawn = pixkit.sample(folder / "bottom", 2, context={"top": top.images[:, 0]}, seed=2)
    assert torch.equal(drawn.decoded, shown(vqvae, top.images[:, 0].repeat_interleave(2, 0), drawn.images[:, 0]))
    assert drawn.decoded.shape == (6, 1, 8, 8) and drawn.columns == 2
    # A run keeps the plugin and the file that it needs, and its own samples are pictures, too.
    lock = (folder / "bottom" / "recipe.lock.yaml").read_text()
    assert "two-levels" in lock and str(folder / "vqvae.safetensors") in lock
    save_grid(drawn.decoded, 256, tmp_path / "own.png", columns=2)
    assert main(["sample", str(folder / "top"), "-n", "3", "--seed", "1", "-o", str(tmp_path / "top.npz"), "-q"]) == 0
    given = ["sample", str(folder / "bottom"), "-n", "2", "--seed", "2", "--given", f"top={tmp_path / 'top.npz'}", "-q"]
    for out in ("grid.png", "codes.npz", "each"):
        assert main([*given, "-o", str(tmp_path / out)]) == 0
    assert (tmp_path / "grid.png").read_bytes() == (tmp_path / "own.png").read_bytes()
    assert np.array_equal(np.load(tmp_path / "codes.npz")["samples"], drawn.images.numpy())
    assert np.array_equal(np.asarray(Image.open(tmp_path / "each" / "00005.png")), drawn.decoded[5, 0].numpy())
    own = shown(vqvae, torch.tensor(np.load(folder / "top" / "samples" / "best.npz")["samples"]).long()[:, 0])
    save_grid(own, 256, tmp_path / "top.png")
    assert np.array_equal(
        np.asarray(Image.open(folder / "top" / "samples" / "best.png")), np.asarray(Image.open(tmp_path / "top.png"))
    )
    best = folder / "bottom" / "samples" / "best"
    in_turn = pixkit.runs.load.load_data(folder / "bottom").batch("validation", torch.arange(2)).context
    mine = shown(vqvae, in_turn.long().view(-1, 2, 2), torch.tensor(np.load(f"{best}.npz")["samples"]).long()[:, 0])
    save_grid(mine, 256, tmp_path / "best.png")
    assert np.array_equal(np.asarray(Image.open(f"{best}.png")), np.asarray(Image.open(tmp_path / "best.png")))


def test_a_decoder_that_is_missing_or_wrong_says_so(place, monkeypatch):
    folder, _, codes = place
    model = pixkit.load(folder / "top")
    x = codes["top_test"][:2, None]
    for result, message in (
        (torch.zeros(2, 1, 4, 4), "does not give pictures"),
        (torch.zeros(1, 3, 4, 4, dtype=torch.int64), "does not give pictures"),
        (torch.zeros(2, 2, 4, 4, dtype=torch.int64), "does not give pictures"),
        (torch.full((2, 3, 4, 4), 256), "other levels"),
    ):
        with pytest.raises(PluginError, match=message):
            decoded(lambda *_, result=result: result, model, x, None)
    monkeypatch.setattr(pixkit.models.Model, "draw", lambda *_: pytest.fail("it has drawn"))
    (folder / "vqvae.safetensors").rename(folder / "moved")
    with pytest.raises(DataError, match="decoder cannot be read"):
        pixkit.sample(folder / "bottom", 1, context="test:0")

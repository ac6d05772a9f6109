"""What commands print in the end, of results made by hand: builds, dry runs, proofs, components; and what they ask."""

from pathlib import Path
from types import SimpleNamespace

import click
import pytest

from pixkit.catalogue.contents import Component
from pixkit.cli.commands import build, cache, complete, show, sweep, verify
from pixkit.cli.commands.bench_train import _Over
from pixkit.errors import DataError
from pixkit.image import ImageSpec
from pixkit.tasks.scores import Scores


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("pixkit.cli.plugins.plugins_are_loaded", lambda: False)


SCORES = [Scores("test", "ema", "exact", 9, 2.0, 0.25, 0.5)]


def built(started=True, interrupted=None, grid="a b/samples/best.png"):
    run = SimpleNamespace(path=Path("a b"), started=started)
    return SimpleNamespace(run=run, scores=SCORES, interrupted=interrupted, grid_path=grid and Path(grid))


LOADED = SimpleNamespace(recipe=SimpleNamespace(name="net"))


def test_a_finished_build(capsys):
    build._report(built(), LOADED, False)
    said = capsys.readouterr()
    first, _, *table = said.out.splitlines()
    assert first == "test 0.5000 bits/dim (9 images, ema weights)" and said.err == ""
    assert table[2:] == ["", "samples  a b/samples/best.png", "next     pixkit sample 'a b' -n 16 -o samples.png"]
    build._report(built(grid=None), LOADED, False)
    assert "samples  none\n" in capsys.readouterr().out


@pytest.mark.parametrize(("started", "said"), [
    (True, "stopped and saved; to continue: pixkit build 'a b' --resume\n"), (False, "stopped before training\n"),
])  # fmt: skip
def test_a_build_that_was_stopped(started, said, capsys):
    build._report(built(started, 2), LOADED, False)
    assert tuple(capsys.readouterr()) == ("", said)


@pytest.mark.parametrize(("result", "told"), [
    (built(), {"interrupted": None, "samples": "a b/samples/best.png",
               "next": "pixkit sample 'a b' -n 16 -o samples.png"}),
    (built(True, 15, None), {"interrupted": 15, "samples": None, "next": "pixkit build 'a b' --resume"}),
    (built(False, 2), {"interrupted": 2, "samples": "a b/samples/best.png", "next": None}),
], ids=["done", "stopped", "not begun"])  # fmt: skip
def test_a_build_for_programs(result, told, monkeypatch):
    found = []
    monkeypatch.setattr(build, "emit_json", found.append)
    build._report(result, LOADED, True)
    assert found == [{"name": "net", "run": "a b", "scores": [SCORES[0].dump()], **told}]


def test_a_dry_run(capsys):
    memory = SimpleNamespace(parameters=12345, total=3 * 2**20, room="8 GiB of 16 GiB free")
    found = SimpleNamespace(
        **{"name": "net", "model": "autoregressive pixelcnn", "memory": memory, "spec": ImageSpec(1, 8, 8, 17)},
        **{"data": "digits", "values": "in 0..16", "sizes": {"train": 64, "test": 16}, "device": "cpu"},
        **{"arithmetic": "fp32", "losses": {"loss": 2.8332135, "nats": 181.3256683}},
        **{"seconds_per_step": 0.0123456, "seconds": 600.0},
    )
    build._report_dry(found, False)
    assert capsys.readouterr().out.splitlines() == [
        "recipe      net",
        "model       autoregressive pixelcnn, 12,345 parameters",
        "images      1x8x8, K = 17; digits; in 0..16",
        "splits      64 train, 16 test",
        "device      cpu",
        "memory      about 3 MiB; 8 GiB of 16 GiB free",
        "arithmetic  fp32",
        "first step  loss 2.8332, nats 181.33",
        "time        0.0123 s a step, 10 min in all, without scoring",
    ]


@pytest.mark.parametrize(("options", "said"), [
    (["--resume", "--overwrite"], "--resume continues a run, --overwrite replaces it: give one of them"),
    (["--resume=auto", "--overwrite"], "--resume continues a run"),
    (["--extend", "3", "--overwrite"], "--extend continues a run"),
    (["--extend", "3", "--dry-run"], "--dry-run shows a build from its start: leave out --extend"),
])  # fmt: skip
def test_what_a_build_cannot_do_at_once(options, said, pixkit):
    outcome = pixkit("build", "none.yaml", *options)
    assert outcome.code == 2 and said in outcome.err


@pytest.mark.parametrize(("out", "jobs", "device", "options"), [
    (None, 1, "auto", ""), (Path("a b"), 2, "cpu", " -o 'a b' --jobs 2 --device cpu"),
])  # fmt: skip
def test_how_a_sweep_is_continued(out, jobs, device, options):
    command = sweep._again("r.yaml", ["seed=0,1", "x={a: 1}"], out, jobs, device)
    assert command == f"pixkit sweep r.yaml seed=0,1 'x={{a: 1}}'{options}"


# Proofs


def proof(**attributes):
    blame = attributes.pop("blame", None)
    return SimpleNamespace(operations=7, influence=1.23456e-9, blame=blame and SimpleNamespace(**blame))


@pytest.mark.parametrize(("verdict", "leak", "found", "text"), [
    ("underflow", None, proof(),
     "only by underflow: the largest influence found is 1.23e-09, with large inputs and weights"),
    ("underflow", None, proof(blame={"file": "net.py", "line": 3}),
     "only by underflow, and net.py:3 is to blame: the largest influence found is 1.23e-09, with large inputs and "
     "weights"),
    ("leaks", None, proof(blame={"file": "net.py", "line": 3}), "no: it leaks, and net.py:3 is to blame"),
    ("leaks", SimpleNamespace(blamed=SimpleNamespace(label="body")), proof(blame={"file": "net.py", "line": 3}),
     "no: it leaks, and body is to blame"),
    ("leaks", None, proof(), "no: it leaks"),
])  # fmt: skip
def test_verdicts_of_whole_networks(verdict, leak, found, text):
    assert verify._verdict(SimpleNamespace(verdict=verdict, leak=leak, proof=found)) == text


def test_a_network_that_is_followed_by_torchs_operations():
    ordering = SimpleNamespace(colours="joint", count=6)
    network = SimpleNamespace(ordering=ordering, spec=ImageSpec(1, 2, 3, 2), backbone=SimpleNamespace())
    report = SimpleNamespace(network=network, trace=None, proof=proof(), verdict="proved", probes=4, seen_leak=None,
                             sight=None, problem=None)  # fmt: skip
    assert verify._in_words("net", report).splitlines()[0].endswith(", 1x2x3, K = 2, 7 operations of torch")
    report.proof = None
    assert verify._in_words("net", report).splitlines()[0].endswith(", not traced")


# Components


def test_a_component_and_its_keys(capsys):
    names = ("key", "type", "default", "range", "description")
    rows = [("width", "int", None, ">= 1", "Maps."), ("init", "initialiser", "torch", "", "Fills.")]
    keys = [dict(zip(names, row, strict=True)) for row in rows]
    counts = [{"channels": 1, "levels": 2, "count": 1}, {"channels": 3, "levels": 256, "count": 765}]
    details = {"class": "a.B", "description": "A head.\n\nMore.", "keys": keys, "free_parameters": counts}
    show.show_component(Component("head", "mine", "dist", "1.2", "A head."), details, False)
    assert capsys.readouterr().out.splitlines() == [
        *("head mine, from dist 1.2", "", "A head.", "", "More.", ""),
        "KEY    TYPE         DEFAULT     RANGE  DESCRIPTION",
        "width  int          (required)  >= 1   Maps.",
        "init   initialiser  torch              Fills.",
        *("", "Free parameters of one site, with every key at its default:"),
        "CHANNELS  LEVELS  PARAMETERS",
        *("1         2       1", "3         256     765"),
    ]
    show.show_component(Component("mask", "m", "d", "1", ""), details | {"keys": [], "free_parameters": []}, False)
    assert capsys.readouterr().out == "mask m, from d 1\n\nA head.\n\nMore.\n"


def test_a_cache_that_cannot_be_removed(monkeypatch, pixkit):
    def failing():
        raise PermissionError(13, "Permission denied", "there")

    monkeypatch.setattr(cache.kept, "entries", list)
    monkeypatch.setattr(cache.kept, "clear", failing)
    outcome = pixkit("cache", "--clear")
    assert outcome.code == DataError.exit_code and "there: cannot be removed\n  found: Permission denied" in outcome.err


# Options


@pytest.mark.parametrize(("value", "found"), [
    ("width", ("width", [])), ("width=16, 32", ("width", [16, 32])),
    ("model.backbone.norm=3", ("model.backbone.norm", [3])), (("side", [4]), ("side", [4])),
    ("norm", None), ("=3", None), ("", None), ("width=", None), ("width=3,-1", None), ("width=\u00b2", None),
])  # fmt: skip
def test_axes_of_scaling(value, found):
    if found is not None:
        assert _Over().convert(value, None, None) == found
        return
    said = r"is not an axis \(width, depth, side, batch, ranks, or a recipe's key\) or AXIS=N,N,N"
    with pytest.raises(click.UsageError, match=said):
        _Over().convert(value, None, None)


def test_the_missing_part_is_given_in_one_way():
    none, spec = dict.fromkeys(("top", "bottom", "left", "right")), ImageSpec(2, 3, 4, 5)
    assert complete._known(Path("m.png"), None, none, None, 0) == Path("m.png")
    assert (~complete._known(None, (1, 2, 2, 1), none, None, 0)(spec)).nonzero().tolist() == [
        [colour, row, 2] for colour in (0, 1) for row in (1, 2)
    ]
    for side, rows in (("top", [0]), ("bottom", [2])):
        known = complete._known(None, None, none | {side: 1}, None, 0)(spec)
        assert known[0].any(1).nonzero().flatten().tolist() == rows
    for side, columns in (("left", [0, 1]), ("right", [2, 3])):
        known = complete._known(None, None, none | {side: 2}, None, 0)(spec)
        assert known[0].any(0).nonzero().flatten().tolist() == columns
    one, other = (complete._known(None, None, none, 0.5, seed)(spec) for seed in (1, 2))
    assert int((~one[0]).sum()) == 6 and not one.equal(other)
    wrong = {
        "nothing gives": (None, None, none, None, 0),
        "--mask and --box gives": (Path("m"), (0, 0, 1, 1), none, None, 0),
        "--keep-top and --random gives": (None, None, none | {"top": 1}, 0.5, 0),
    }
    for said, given in wrong.items():
        with pytest.raises(click.UsageError, match=said):
            complete._known(*given)

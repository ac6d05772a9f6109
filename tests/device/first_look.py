"""What is most likely to be wrong on a GPU that pixkit has not seen, looked at one by one, in processes of their own.

python tests/device/first_look.py NAME cuda|cpu    # prints [verdict, note, figures] as JSON; tracebacks on stderr
"""

import json
import sys
import tempfile
import time
import traceback
from pathlib import Path

import torch
from outcomes import FAILED, OK, UNCOMPARED

from pixkit.execution.cuda import check, driver, fusing_kernels, nvrtc, trial
from pixkit.execution.cuda.fusing import FusedOperations, plain_activated, plain_gated
from pixkit.execution.cuda.nvrtc import NoKernel
from pixkit.execution.plan import make_plan
from pixkit.noise import Noise
from pixkit.readiness.trace import Trace
from pixkit.recipe import load_recipe
from pixkit.training.build import build
from pixkit.training.capture.graphs import record_cuda
from pixkit.training.watch import Reporter

DEVICE = torch.device("cuda", 0)
NEEDS = UNCOMPARED, "needs a GPU", {}
STEPS = (
    *("data={source: digits, limit_train: 24, limit_test: 4}", "train.batch_size=8", "train.steps=12"),
    *(
        "train.schedule.warmup=0",
        "sample={type: ancestral, count: 1}",
        "train.eval_every=1000",
        "train.checkpoint_every=1000",
    ),
)
SMALL = {
    "digits-pixelcnn": ("model.backbone.width=8", "model.backbone.layers=1"),
    "cifar10-pixelcnnpp": ("model.backbone.filters=8", "model.backbone.resnets=1", "model.backbone.hierarchies=2"),
}


def compiler(device):
    """Which NVRTC there is, and how long each kernel takes it."""
    try:
        library = nvrtc.nvrtc()
    except NoKernel as error:
        return (FAILED, str(error), {}) if device == "cuda" else NEEDS
    arch = 90
    if device == "cuda":
        major, minor = torch.cuda.get_device_capability(DEVICE)
        arch = 10 * major + minor
    figures = {
        "release": nvrtc.release(library),
        "for": f"sm_{arch}",
        "driver": driver.driver() if device == "cuda" else "",
    }
    jobs = [(real, nvrtc.SOURCE) for real in ("float", "double")]
    for real, source in [*jobs, *((real, fusing_kernels.SOURCE) for real in fusing_kernels.REALS.values())]:
        begin = time.perf_counter()
        nvrtc.build(library, real, arch, source)
        figures[f"{source.stem}, {real}, s"] = time.perf_counter() - begin
    return OK, library._name, figures


def _tried(real, device):
    """The trial of the sampling kernel, and how far each of its networks is from the tolerance."""
    if device != "cuda":
        return NEEDS
    dtype, figures = torch.float32 if real == "float" else torch.float64, {}
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        trial.main(real, "0", str(Path(folder) / "verdict"))
        verdict = (Path(folder) / "verdict").read_text(encoding="utf-8")
        figures["s"] = time.perf_counter() - begin
    print(verdict, file=sys.stderr)
    figures["allowed"] = check.APART[dtype]
    allowed, check.APART = check.APART, {dtype: -1.0}  # what is found is said of everything that departs
    try:
        for number, (network, batch) in enumerate(trial.networks()):
            executor = trial.Untried(make_plan(Trace(network.to(DEVICE, dtype))), batch)
            with torch.no_grad():
                figures[f"network {number}"] = executor.walk_only(network.uniforms(Noise(0, range(batch))).flatten(3))
    finally:
        check.APART = allowed
    return (OK if verdict == "passed" else FAILED), verdict, figures


def trial_float(device):
    """See `_tried`."""
    return _tried("float", device)


def trial_double(device):
    """See `_tried`."""
    return _tried("double", device)


def generator(device):
    """Whether what a replayed graph draws is what is drawn without one, from the generator as it was seeded."""
    if device != "cuda":
        return NEEDS
    x = torch.ones(1000, device=DEVICE)
    out, mask = torch.empty_like(x), torch.empty(1000, dtype=torch.bool, device=DEVICE)

    def body():
        out.copy_(torch.nn.functional.dropout(x, 0.5))
        mask.bernoulli_(0.3)

    def drawn(run):
        run()
        torch.cuda.synchronize()
        return out.clone(), mask.clone()

    body()
    torch.manual_seed(1)
    replay = record_cuda(DEVICE)(body)
    found = []
    for run in (body, replay):
        torch.manual_seed(7)
        found.append([*drawn(run), *drawn(run)])
    apart = [int((one != other).sum()) for one, other in zip(*found, strict=True)]
    again = torch.equal(found[1][0], found[1][2])
    figures = {"apart": apart, "second draw is the first": again}
    return (FAILED if any(apart) or again else OK), "launched and replayed, dropout and bernoulli_, twice", figures


def fused(device):
    """How far fused operations are from torch's, and how long both take on images of PixelCNN++'s finest grid."""
    if device != "cuda":
        return NEEDS
    figures, problems = {}, []
    try:
        launch = fusing_kernels.launcher(DEVICE)
        for dtype in fusing_kernels.REALS:
            fault = fusing_kernels.departure(launch, dtype, DEVICE)
            figures[str(dtype)] = fault or "as torch's"
            problems += [fault] if fault else []
    except NoKernel as error:
        return FAILED, str(error), figures
    ops, edges = FusedOperations(launch), (1, 0, 1, 1)
    for dtype, form in (
        (torch.float32, "contiguous_format"),
        (torch.bfloat16, "contiguous_format"),
        (torch.bfloat16, "channels_last"),
    ):
        x, wide = (
            torch.randn(32, maps, 32, 32, device=DEVICE, dtype=dtype)
            .contiguous(memory_format=getattr(torch, form))
            .requires_grad_()
            for maps in (160, 320)
        )
        for name, run in {
            "activated": lambda x=x: ops.activated([x], edges),
            "activated by torch": lambda x=x: plain_activated([x], edges),
            "gated": lambda x=x, wide=wide: ops.gated(x, wide),
            "gated by torch": lambda x=x, wide=wide: plain_gated(x, wide),
        }.items():
            figures[f"{name}, {str(dtype)[6:]}, {form}, ms"] = milliseconds(run, [x, wide] if "gated" in name else [x])
    return (FAILED if problems else OK), "; ".join(problems), figures


def milliseconds(run, inputs, rounds=10):
    """Of an operation and its gradients."""
    given = torch.ones_like(run())
    marks = [torch.cuda.Event(enable_timing=True) for _ in range(2)]
    for number in range(rounds + 3):
        if number == 3:
            marks[0].record()
        torch.autograd.grad(run(), inputs, given)
    marks[1].record()
    torch.cuda.synchronize()
    return marks[0].elapsed_time(marks[1]) / rounds


class Told(Reporter):
    """Keeps what a build says."""

    def __init__(self):
        self.texts = []

    def message(self, text):
        self.texts.append(text)

    problem = message


def steps(device):
    """Whether steps are recorded and replayed, and fused, where the recipe says so; and what the build has to say."""
    problems, figures = [], {}
    for name, options in SMALL.items():
        told = Told()
        wanted = ("train.capture=on", "train.fuse=on", "train.precision=fp32", "train.memory_format=contiguous")
        with tempfile.TemporaryDirectory() as folder:
            loaded = load_recipe(name, [*STEPS, *options, *wanted])
            lock = build(loaded, Path(folder) / "run", device=device, reporter=told).run.settings()["lock"]
        figures[name] = f"steps {lock.get('steps')}, arithmetic {lock['arithmetic']}"
        print(name, *told.texts, sep="\n  ", file=sys.stderr)
        odd = [
            text
            for text in told.texts
            if "launched anew" in text or (name != "digits-pixelcnn" and "no effect" in text)
        ]
        problems += [f"{name}: {text}" for text in odd] if device == "cuda" else []
    return (FAILED if problems else OK), "; ".join(problems), figures


LOOKS = {look.__name__: look for look in (compiler, trial_float, trial_double, generator, fused, steps)}


def main(name, device):
    """[verdict, note, figures] of a look."""
    try:
        return LOOKS[name](device)
    except Exception as error:
        traceback.print_exc()
        return FAILED, f"{type(error).__name__}: {error}", {}


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:3])))

"""Measures one build of pixkit: a request a line on stdin, as JSON, and an answer a line on stdout.

    PYTHON tests/device/speed_worker.py

It runs with the pixkit of its interpreter, this one or 0.1's last one (0a8771e), and imports nothing else of the tests.

    {"do": "train", "recipe": NAME, "options": [...], "device": ..., "steps": N, "warm": M, "seconds": S}
                                                             milliseconds a whole step; fewer steps where S do not do
    {"do": "train", ..., "deterministic": false}                          the same with kernels of torch's own choice
    {"do": "walk", ..., "shape": [C, H, W, K], "batch": N, "rounds": R}   seconds of all steps of sampling, and by whom
    {"do": "ancestral", ...}                                              the same of ancestral sampling, extrapolated
    {"do": "version"}
"""

import json
import os
import signal
import statistics
import sys
import tempfile
import time
import traceback
import warnings
from importlib import metadata
from pathlib import Path

import torch

import pixkit
from pixkit.build import build
from pixkit.image import ImageSpec
from pixkit.noise import Noise
from pixkit.readiness.trace import Trace
from pixkit.recipe import load_recipe
from pixkit.recipe.schema import TrainConfig

try:
    from pixkit.execution.choose import choose
    from pixkit.execution.plan import make_plan
    from pixkit.runs.load import construct
except ImportError:  # 0a8771e
    from pixkit.readiness.plan import make_plan
    from pixkit.training.construct import construct

    from pixkit.readiness import executors
    from pixkit.samplers.base import noise_dtype

    choose = None


class Clock:
    """A reporter that notes when steps were told of, and ends the build by a signal after the last of them."""

    def __init__(self, steps, seconds, ready):
        self.steps, self.seconds, self.ready, self.times, self.said = steps, seconds, ready, [], []

    def message(self, text):
        """The build has something to say."""
        self.said.append(text)
        print(text)

    def step(self, step, metrics):
        """A step was told of."""
        if self.over:
            return
        self.times.append(time.perf_counter())
        slow = len(self.times) > 2 and self.times[-1] - self.times[0] > self.seconds
        if self.over or slow:
            self.steps = step
            self.ready()
            self.times[-1] = time.perf_counter()
            os.kill(os.getpid(), signal.SIGINT)

    @property
    def over(self):
        """Whether the last step was told of."""
        return len(self.times) >= self.steps

    def __getattr__(self, name):
        return lambda *given: None


def own_options(options):
    """Those of the options that this build knows: an older one has no `train.fuse`, and never fuses."""
    known = TrainConfig.model_fields
    return [text for text in options if not text.startswith("train.") or text[6:].split("=")[0].split(".")[0] in known]


def waiter(device):
    """What waits for a device."""
    return torch.cuda.synchronize if device != "cpu" else lambda: None


def train(request):
    """Milliseconds of a whole step, as the training loop makes it: those after `warm`, the last one awaited."""
    clock = Clock(request["steps"], request.get("seconds", 60.0), waiter(request["device"]))
    setting = torch.set_deterministic_debug_mode
    if not request.get("deterministic", True):
        torch.set_deterministic_debug_mode = lambda mode: None
    try:
        return timed(request, clock)
    finally:
        torch.set_deterministic_debug_mode = setting


def timed(request, clock):
    """The same, by a clock."""
    options = own_options(request["options"])
    with tempfile.TemporaryDirectory() as folder:
        loaded = load_recipe(request["recipe"], [*options, f"train.steps={10 * request['steps']}"])
        build(loaded, out=Path(folder) / "run", device=request["device"], reporter=clock)
    times = clock.times[max(min(request["warm"], len(clock.times) - 3), 0) :]
    way = next((text for text in clock.said if text.startswith(("steps are", "phase "))), "")
    return {"ms": 1000 * (times[-1] - times[0]) / (len(times) - 1), "by": way, "steps": len(times) - 1}


def network_of(request):
    """An untrained model's network."""
    loaded = load_recipe(request["recipe"], request["options"])
    model = construct(loaded.recipe, ImageSpec(*request["shape"]), None, torch.device(request["device"])).eval()
    return model.network


def walk(request):
    """Median seconds of cached sampling's steps, executors made beforehand."""
    network, batch = network_of(request), request["batch"]
    noise, wait, times = Noise(0, range(batch)), waiter(request["device"]), []
    with torch.no_grad():
        plan = make_plan(Trace(network))
        for _ in range(request["rounds"] + 1):
            if choose is None:
                executor = executors.CHOICES["auto"](plan, batch, network.example_context(batch))
                kind = noise_dtype(next(network.parameters()).dtype)
                uniforms = noise.uniforms(network.head.draws, network.spec).to(request["device"], kind)
                by = type(executor).__name__
            else:
                chosen = choose("auto", plan, batch, network.example_context(batch))
                executor, by, uniforms = chosen.executor, str(chosen), network.uniforms(noise)
            wait()
            begin = time.perf_counter()
            executor.walk(uniforms.flatten(3), 1.0, None)
            wait()
            times.append(time.perf_counter() - begin)
    return {"seconds": statistics.median(times[1:]), "by": by}


def ancestral(request):
    """A forward pass for each step."""
    network, batch, times = network_of(request), request["batch"], []
    wait, spec = waiter(request["device"]), network.spec
    x = torch.zeros(batch, *spec.shape, dtype=torch.int64, device=request["device"])
    with torch.no_grad():
        for _ in range(2 * request["rounds"] + 2):
            wait()
            begin = time.perf_counter()
            network(x, network.example_context(batch))
            wait()
            times.append(time.perf_counter() - begin)
    return {"seconds": network.ordering.count * statistics.median(times[2:])}


def build_of(request):
    """Which pixkit this is."""
    names = [
        name for name in ("pixkit-models", "pixkit") if name in metadata.packages_distributions().get("pixkit", ())
    ]
    said = f"{names[0]} {metadata.version(names[0])}" if names else "pixkit"
    return {"pixkit": f"{said}, from {Path(pixkit.__file__).parent}", "torch": torch.__version__}


DO = {"train": train, "walk": walk, "ancestral": ancestral, "version": build_of}


def main():
    """Answer requests until there are no more; what is printed meanwhile goes to stderr."""
    answers, sys.stdout = sys.stdout, sys.stderr
    warnings.simplefilter("ignore")
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = DO[request["do"]](request)
        except Exception as error:
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()

"""The figures that are promised, this build and an older one side by side, in turn, each in a process of its own."""

import subprocess
import sys
import time
from pathlib import Path

from asking import LONGEST, Worker
from made_data import made_data, shape_of
from outcomes import FAILED, OK, UNCOMPARED, Row

from pixkit.recipe import load_recipe

HERE = Path(__file__).resolve().parent
PLAIN = HERE.parent / "benchmarks" / "plain_pixelcnnpp.py"
ENOUGH = 8.0
"""Seconds of steps after which what was measured has to do; what is slow makes fewer of them."""
QUIET = (
    *("train.eval_every=1000000", "train.checkpoint_every=1000000", "train.schedule.type=constant"),
    *("train.schedule.warmup=0", "sample.count=1"),
)
FUSED, LAST = ("train.fuse=on",), ("train.fuse=on", "train.memory_format=channels_last")
WAYS = {
    "new": {
        **{"tf32": ("train.precision=tf32",), "tf32, fused": ("train.precision=tf32", *FUSED)},
        **{
            "bf16, fused": ("train.precision=bf16", *FUSED),
            "bf16, channels-last, fused": ("train.precision=bf16", *LAST),
        },
    },
    "old": {"tf32": ("train.precision=fp32",), "bf16": ("train.precision=bf16",)},
}
"""In which ways PixelCNN++ is trained; what the older build calls fp32 is TF32 on a GPU, as torch does by itself."""
PLAINLY = {"new": {"fp32": ("train.precision=fp32",)}, "old": {"fp32": ("train.precision=fp32",)}}
"""The same on a CPU."""
FORTY = ("model.backbone.filters=40", "model.backbone.resnets=2", "model.head.components=5")
CPU_SIZES = {
    "mnist-gated": ("model.backbone.width=8", "model.backbone.layers=1"),
    "cifar10-pixelcnnpp": ("model.backbone.filters=6", "model.backbone.resnets=1", "model.backbone.hierarchies=1"),
    "mnist-row_lstm": ("model.backbone.units=4", "model.backbone.layers=1"),
    "mnist-diagonal_bilstm": ("model.backbone.units=4", "model.backbone.layers=1"),
    "mnist-pixelcnn": ("model.backbone.width=8", "model.backbone.layers=1"),
}


class Speed:
    """Asks both builds, in turn, and judges.

    Args:
        folder: for the images.
        device: cuda or cpu; on a CPU everything is small, and nothing is judged by its speed.
        old: the older build's Python, None if there is none.
        log: gives the file for what a worker prints, tracebacks included.
    """

    def __init__(self, folder, device, old, log):
        self.folder, self.device, self.end, self.log = folder, device, 0.0, log
        self.small = device == "cpu"
        pythons = {"new": sys.executable} | ({"old": old} if old else {})
        self.workers = {build: Worker(python, log(f"speed-{build}")) for build, python in pythons.items()}

    def training_rows(self, end):
        """One a figure of training, until then by time.monotonic()."""
        self.end = end
        yield self.builds()
        yield self.training("mnist-gated", 64, 0.25)
        yield self.training("mnist-gated", 512, 0.5)
        yield self.determinism("mnist-gated", 64)
        yield from self.best_precision()
        yield self.training("mnist-row_lstm", 64, 0.25)
        yield self.training("mnist-diagonal_bilstm", 64, 0.25)

    def sampling_rows(self, end):
        """One a figure of sampling."""
        self.end = end
        for batch, most in ((1, 0.05), (64, 0.05), (256, 0.06)):
            yield self.sampling(batch, most)
        yield self.against_ancestral()

    def close(self):
        """End the workers."""
        for worker in self.workers.values():
            worker.close()

    def builds(self):
        """Which builds these are."""
        found = {build: worker.ask({"do": "version"}, self.end) for build, worker in self.workers.items()}
        problems = [f"{build}: {answer['error']}" for build, answer in found.items() if "error" in answer]
        names = {f"{build} build": answer.get("pixkit", "") for build, answer in found.items()}
        return Row("training", "the builds", FAILED if problems else OK, "; ".join(problems), names)

    def training(self, name, batch, most):
        """A whole training step."""
        batch = 4 if self.small else batch
        options = self._options(name, batch)
        found = {}
        for build, worker in self.workers.items():
            # What the older build calls fp32 is TF32 on a GPU, as torch does by itself.
            precision = "tf32" if build == "new" and not self.small else "fp32"
            found[build] = worker.ask(self._step(name, [*options, f"train.precision={precision}"]), self.end)
        return self._judged(f"step of {name}, batch {batch}, ms", found, "ms", most)

    def determinism(self, name, batch):
        """What deterministic kernels cost, which nobody has promised: this build, with them and without."""
        batch = 4 if self.small else batch
        step = self._step(name, [*self._options(name, batch), "train.precision=fp32"])
        found = {
            how: self.workers["new"].ask({**step, "deterministic": kept}, self.end)
            for how, kept in (("with", True), ("without", False))
        }
        figures = {how: answer["ms"] for how, answer in found.items() if "ms" in answer}
        what = f"step of {name}, batch {batch}, deterministic kernels, ms"
        if len(figures) < len(found):
            failed = "; ".join(answer["error"] for answer in found.values() if "error" in answer)
            return Row("training", what, FAILED, failed, figures)
        return Row("training", what, OK, "told, not judged", {**figures, "ratio": figures["with"] / figures["without"]})

    def best_precision(self):
        """PixelCNN++ as published, in whichever precision is fastest, against the older build's, and plain PyTorch."""
        name, batch = "cifar10-pixelcnnpp", 2 if self.small else 32
        times = {}
        for build, worker in self.workers.items():
            for way, options in (PLAINLY if self.small else WAYS)[build].items():
                asked = self._step(name, [*self._options(name, batch), *options])
                times[build, way] = worker.ask(asked, self.end)
        best = {}
        for build in self.workers:
            measured = {way: answer for (one, way), answer in times.items() if one == build and "ms" in answer}
            fastest = min(measured, key=lambda way: measured[way]["ms"], default="")
            failed = [
                f"{way}: {answer['error']}"
                for (one, way), answer in times.items()
                if one == build and "ms" not in answer
            ]
            each = ", ".join([*(f"{way} {answer['ms']:.4g}" for way, answer in measured.items()), *failed])
            best[build] = {**measured.get(fastest, {"error": each}), "by": each}
        what = f"step of {name}, batch {batch}, best precision, ms"
        yield self._judged(what, best, "ms", 0.5)
        plain = self._plain(batch)
        yield self._judged(f"{what}, against plain PyTorch", {"new": best["new"], "plain": plain}, "ms", 0.6, "plain")

    def sampling(self, batch, most):
        """All steps of an image batch."""
        name, batch = "mnist-pixelcnn", min(batch, 2) if self.small else batch
        found = {build: worker.ask(self._draw("walk", name, batch), self.end) for build, worker in self.workers.items()}
        return self._judged(f"{name}, all steps, batch {batch}, s", found, "seconds", most)

    def against_ancestral(self):
        """PixelCNN++ of 40 maps, cached, against the older build's ancestral sampling."""
        name, batch = "cifar10-pixelcnnpp", 2 if self.small else 16
        size = () if self.small else FORTY
        found = {"new": self.workers["new"].ask(self._draw("walk", name, batch, size), self.end)}
        if "old" in self.workers:
            found["old"] = self.workers["old"].ask(self._draw("ancestral", name, batch, size), self.end)
        return self._judged(f"{name} of 40 maps, batch {batch}, against ancestral, s", found, "seconds", 0.01)

    def _plain(self, batch):
        """The fastest of the plain code, each precision in a process of its own."""
        small = {"side": 8, "filters": 6, "resnets": 1, "hierarchies": 1, "steps": 6, "warm": 3} if self.small else {}
        sizes = [f"--{key}={value}" for key, value in {"batch": batch, **small}.items()]
        found, failed = {}, []
        for precision in ("fp32",) if self.small else ("tf32", "bf16"):
            command = [sys.executable, str(PLAIN), f"--device={self.device}", f"--precision={precision}", *sizes]
            limit = max(min(LONGEST, self.end - time.monotonic()), 1)
            try:
                with open(self.log("speed-plain"), "a", encoding="utf-8") as errors:
                    how = {"stdout": subprocess.PIPE, "stderr": errors, "text": True, "timeout": limit}
                    found[precision] = float(subprocess.run(command, check=True, **how).stdout)
            except (subprocess.SubprocessError, ValueError) as error:
                failed.append(f"{precision}: {type(error).__name__} (see speed-plain.txt)")
        if not found:
            return {"error": "; ".join(failed)}
        best = min(found, key=found.get)
        return {"ms": found[best], "by": ", ".join([*(f"{name} {ms:.4g}" for name, ms in found.items()), *failed])}

    def _options(self, name, batch):
        count = 4 * batch if self.small else max(2 * batch, 256)
        data = made_data(self.folder, name, load_recipe(name).recipe.data.config.model_dump(), self._side, count)
        return [data, f"train.batch_size={batch}", "train.memory_format=contiguous", *QUIET, *self._sizes(name)]

    def _step(self, name, options):
        # The new build races replayed steps against launched ones in its first steps.
        long = (6, 3) if self.small else (44, 20)
        return {
            "do": "train",
            "recipe": name,
            "options": options,
            "device": self.device,
            "steps": long[0],
            "warm": long[1],
            "seconds": ENOUGH,
        }

    def _draw(self, do, name, batch, size=()):
        channels, side, levels = shape_of(name, self._side)
        shape = [channels, side, side, 2 if name.startswith("mnist") else levels]
        options = [*self._sizes(name), *size]
        how = {"batch": batch, "rounds": 1 if self.small else 3, "device": self.device}
        return {"do": do, "recipe": name, "options": options, "shape": shape, **how}

    @property
    def _side(self):
        return 8 if self.small else None

    def _sizes(self, name):
        return CPU_SIZES[name] if self.small else ()

    @staticmethod
    def _part(key):
        return "training" if key == "ms" else "sampling"

    def _judged(self, what, found, key, most, other="old"):
        """This build's figure against the older one's, or another: at most `most` of it."""
        new, old = found["new"], found.get(other, {"error": "no older build was given"})
        figures = {build: answer[key] for build, answer in found.items() if key in answer}
        words = {build: answer.get("error") or answer.get("by") for build, answer in found.items()}
        said = [f"{build}: {text}" for build, text in words.items() if text]
        if key not in new:
            return Row(self._part(key), what, FAILED, "; ".join(said), figures)
        if key in old:
            figures |= {"ratio": new[key] / old[key], "at most": most}
        if self.small:
            return Row(self._part(key), what, OK, "; ".join(["too small to be judged", *said]), figures)
        if key not in old:
            return Row(self._part(key), what, UNCOMPARED, "; ".join([*said, old["error"]]), figures)
        return Row(self._part(key), what, OK if figures["ratio"] <= most else FAILED, "; ".join(said), figures)

"""The digits included in pixkit: 1797 images, 8x8, K = 17, for recipes that run anywhere in minutes."""

from __future__ import annotations

import hashlib
import io
from importlib import resources

import numpy as np
import torch

from pixkit.data.base import DataConfig, DataSource, ImageSet, Progress, SourceImages
from pixkit.distribution import OWN
from pixkit.errors import DataError
from pixkit.randomness import Stream, permutation

SHA256 = "82393b63ff69dea89fa95eeef924870ebc186df1f35d7c46a617cb6112d8f2bc"
TEST_IMAGES = 300


class Digits(DataSource):
    """UCI handwritten digits, 8x8 with 17 levels, built in: 1497 training and 300 test images.

    Optical Recognition of Handwritten Digits, E. Alpaydin and C. Kaynak, 1998, UCI Machine Learning Repository, doi
    10.24432/C50P49, CC BY 4.0: its 1797 test images, as shipped with scikit-learn. The 300 test images are a fixed
    random choice (not stratified) that does not depend on the recipe's seeds.
    """

    class Config(DataConfig):
        """Only the common keys."""

    source_levels = 17
    licence = "CC BY 4.0: E. Alpaydin and C. Kaynak, https://doi.org/10.24432/C50P49"

    def load(self, progress: Progress | None = None) -> SourceImages:
        """Read the embedded file.

        Raises:
            DataError: if the installed file is damaged.
        """
        content = resources.files("pixkit.data").joinpath("digits.npz").read_bytes()
        found = hashlib.sha256(content).hexdigest()
        if found != SHA256:
            raise DataError(
                "the embedded digits are damaged",
                where="pixkit/data/digits.npz",
                found=f"SHA-256 {found}",
                expected=SHA256,
                hint=f"pip install --force-reinstall --no-deps {OWN}",
            )
        with np.load(io.BytesIO(content)) as arrays:
            pixels = torch.from_numpy(arrays["pixels"]).unsqueeze(1)
            labels = torch.from_numpy(arrays["labels"].astype(np.int64))
        order = torch.from_numpy(permutation(0, Stream.DIGITS, len(pixels)))
        test, train = order[:TEST_IMAGES].sort().values, order[TEST_IMAGES:].sort().values
        return SourceImages(
            ImageSet(pixels[train], labels[train]),
            ImageSet(pixels[test], labels[test]),
            levels=self.source_levels,
            classes=10,
        )

"""Set the threshold of a run from held-out images."""

from __future__ import annotations

from pathlib import Path

from pixkit.catalogue.zoo import refuse_zoo
from pixkit.data import Progress as Loading
from pixkit.errors import DataError, UsageError
from pixkit.execution.reference import Progress
from pixkit.runs.load import opened_run
from pixkit.runs.run import Run
from pixkit.samplers.batch import check_batch_size
from pixkit.tasks.beside import Asked
from pixkit.tasks.image_labels import Labels
from pixkit.tasks.scoring.against import Against, Source
from pixkit.tasks.scoring.conditions import ConditionsAsked
from pixkit.tasks.scoring.labels import LabelsAsked, labels_compared
from pixkit.tasks.scoring.rows import Rows
from pixkit.tasks.scoring.score import Images, Loaded, settings_of, stream_of
from pixkit.tasks.scoring.scorer import Scorer
from pixkit.tasks.scoring.threshold import Threshold, check_rate, conformal_limit, save_threshold


def set_threshold(
    run: Run | str | Path,
    images: Images,
    false_alarms: float,
    *,
    labels: Labels | None = None,
    context: Asked | None = None,
    importance: int | None = None,
    complexity: bool = False,
    typicality: bool = False,
    background: Source | None = None,
    local: Source | None = None,
    batch_size: int = 64,
    seed: int = 0,
    device: str = "auto",
    checkpoint: str = "best",
    weights: str = "ema",
    progress: Progress | None = None,
    loading: Loading | None = None,
) -> Threshold:
    """Set a limit that images like these exceed with a probability of at most `false_alarms`, and store it in the run.

        pixkit.tasks.scoring.set_threshold("runs/mnist", "held-out", 0.01, complexity=True)
        flagged = [each.image for each in pixkit.score("runs/mnist", "new", flag=True) if each.flagged]

    See `pixkit.tasks.scoring.threshold.conformal_limit`. It applies to the run's weights and to one score: the
    requested correction, or nats.

    Args:
        run: the run, or its folder, into which threshold.json is written.
        images: held-out images, as `score` takes them, on which the model was not trained.
        false_alarms: the rate.
        labels: as `score`, but by default they are unknown, even for the run's own images.
        context: as `score`; the threshold applies to images that are scored given the same.
        importance: number of samples that estimate the likelihood of a latent model.
        complexity: set a limit of this correction; at most one of the four may be requested.
        typicality: the same.
        background: the same.
        local: the same.
        batch_size: images at a time.
        seed: for the draws of a bound.
        device: where the model is loaded.
        checkpoint: which one.
        weights: which of it.
        progress: called after every batch.
        loading: told of the reading of the run's data.

    Raises:
        UsageError: for several corrections, too few images for the rate, or an invalid rate.
        DataError: if an image cannot be read.
        RunError: if it cannot be written, or the run belongs to the zoo.
    """
    check_rate(false_alarms)
    check_batch_size(batch_size)
    against = Against(complexity, typicality, background, local)
    if len(against.names) > 1:
        raise UsageError(
            "a threshold is of one score",
            where="set_threshold",
            found=", ".join(against.names),
            expected="one correction, or none for nats",
        )
    found = opened_run(run)
    refuse_zoo(found.path)
    loaded = Loaded.of(found, device, checkpoint, weights)
    conditions = ConditionsAsked(loaded.model, found, context, labels, loading)
    scorer, labels = Scorer(loaded.model, seed, importance), labels_compared(loaded.model, conditions.labels)
    corrections = against.corrections(loaded.model, lambda: loaded.mean(scorer, labels), device)
    stream = stream_of(images, loaded.model, found, loading, beside=context is None)
    asked = LabelsAsked(loaded.model, labels)
    rows = list(Rows(stream, scorer, asked, conditions, corrections, batch_size=batch_size, progress=progress))
    for row in rows:
        if row.error is not None:
            raise DataError(
                "an image that a threshold was to be set by cannot be read", where=row.image, found=row.error
            )
    name = corrections[0].name if corrections else "nats"
    limit = conformal_limit([row.score(name) for row in rows], false_alarms)
    return save_threshold(
        found,
        limit,
        score=name,
        false_alarms=false_alarms,
        settings=settings_of(scorer, labels, corrections, context),
        weights=loaded.digest,
        other=against.other,
    )

"""Baselines by name, fitted and evaluated on the task of a run."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from pondera.core.records import Media, Sample
from pondera.data.images import list_media
from pondera.data.picture_hash import picture_hashes
from pondera.errors import ConfigError, DatasetError
from pondera.evaluate.assessing import Progress
from pondera.evaluate.baselines import Baseline, file_size_predictor, mean_predictor, subset_mean_predictor
from pondera.evaluate.leakage import Leak, find_leaks
from pondera.evaluate.natural import brisque_predictor, fit_pristine, niqe_predictor
from pondera.evaluate.origins import bundled_training_photographs
from pondera.evaluate.pyiqa_metrics import check_metric, pyiqa_metric
from pondera.evaluate.run import Evaluation, evaluation_of
from pondera.evaluate.suite import folder_name
from pondera.evaluate.task import Task

PYIQA = "pyiqa:"
_TITLES = {
    "mean": "mean label",
    "subset": "mean label of the subset",
    "size": "file size",
    "brisque": "BRISQUE",
    "niqe": "NIQE",
    "measuring": "measuring teacher",
}
_FITTED: dict[str, Callable[[Sequence[Sample]], Baseline]] = {
    "mean": lambda train: Baseline(_TITLES["mean"], mean_predictor(train)),
    "subset": lambda train: Baseline(_TITLES["subset"], subset_mean_predictor(train)),
    "size": file_size_predictor,
    "brisque": brisque_predictor,
}
_UNFITTED = ("niqe", "measuring")
NAMES = (*_FITTED, *_UNFITTED)


def baseline_names(texts: Sequence[str]) -> list[str]:
    """Read names as the command line has them: separated by commas, "all" for every one of `NAMES`.

    Raises:
        ConfigError: a name is unknown; the message suggests one.
    """
    names = [name.strip() for text in texts for name in text.split(",")]
    found = [known for name in names for known in (NAMES if name == "all" else (name,))]
    for name in found:
        if name not in NAMES and not (name.startswith(PYIQA) and name != PYIQA):
            near = difflib.get_close_matches(name, NAMES, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are all, {', '.join(NAMES)}, {PYIQA}METRIC"
            raise ConfigError(f"no baseline is called {name!r}; {hint}")
    return list(dict.fromkeys(found))


def baseline_title(name: str) -> str:
    """What tables call the baseline of this name, which is known before it is fitted."""
    return _TITLES.get(name, name.replace(PYIQA, "pyiqa "))


def check_baselines(
    task: Task, names: Sequence[str], *, pristine: Sequence[Path] = (), allow_leakage: bool = False
) -> None:
    """Refuse what cannot be fitted or had, before a model scores for hours. Nothing is fitted.

    Args:
        task: the samples.
        names: from `baseline_names`.
        pristine: as in `evaluate_baselines`.
        allow_leakage: go on where a pristine picture is also tested.

    Raises:
        ConfigError: BRISQUE for videos, or a metric of pyiqa that cannot be had.
        DatasetError: nothing is left to fit on, or a pristine picture is also tested, unless that is allowed.
    """
    fitted = [name for name in names if name in _FITTED]
    train = task.to_fit() if fitted else []
    for name in fitted:
        _check_fit(name, task, train)
    if "niqe" in names and not allow_leakage:
        _refuse_tested_pristine(task, pristine)
    for name in names:
        if name.startswith(PYIQA):
            check_metric(name.removeprefix(PYIQA))


def evaluate_baselines(
    task: Task,
    names: Sequence[str],
    *,
    out: Path,
    pristine: Sequence[Path] = (),
    device: str | None = None,
    on_progress: Progress | None = None,
) -> list[Evaluation]:
    """Fit, answer, measure, and save each below OUT/baselines.

    Those that learn from labels (mean, subset, size, brisque) are fitted on the training samples of the manifests that
    share neither file nor content with a tested one. What `check_baselines` says of pristine pictures is marked here.

    Args:
        task: the samples.
        names: from `baseline_names`.
        out: folder of the run.
        pristine: pictures or folders for NIQE; the bundled photographs' training part where none is given.
        device: for metrics of pyiqa.
        on_progress: called with (done, total) after every baseline.

    Raises:
        ConfigError: a metric of pyiqa cannot be had.
        DatasetError: nothing is left to fit on.
        MediaError: a picture to fit on cannot be read.
    """
    evaluations = []
    for done, name in enumerate(names, start=1):
        baseline = _made(name, task, pristine, device)
        protocol = {"model": baseline.title, "baseline": name, **task.facts, **baseline.facts}
        if leaks := _leaks(name, task, pristine):
            protocol["leakage"] = [str(leak) for leak in leaks]
        answers = list(baseline.assess(task.originals))
        evaluation = evaluation_of(task.samples, answers, name=baseline.title, protocol=protocol, views=task.views)
        evaluation.save(baseline_folder(out, name))
        evaluations.append(evaluation)
        if on_progress is not None:
            on_progress(done, len(names))
    return evaluations


def baseline_folder(out: Path, name: str) -> Path:
    """Where the evaluation of a baseline is saved."""
    return out / "baselines" / folder_name(name)


def _made(name: str, task: Task, pristine: Sequence[Path], device: str | None) -> Baseline:
    if name in _FITTED:
        return _fitted(name, task)
    if name == "niqe":
        return niqe_predictor(fit_pristine([Path(sample.path()) for sample in _pristine_samples(pristine)]))
    if name == "measuring":
        return _measuring()
    return pyiqa_metric(name.removeprefix(PYIQA), device=device)


def _fitted(name: str, task: Task) -> Baseline:
    train = task.to_fit()
    _check_fit(name, task, train)
    try:
        made = _FITTED[name](train)
    except ValueError as error:
        raise DatasetError(f"baseline {name!r}, fitted on {len(train)} training samples: {error}") from None
    facts = {"fitted_on": f"{len(train)} training samples of the manifests", **made.facts}
    return Baseline(made.title, made.assess, facts)


def _check_fit(name: str, task: Task, train: Sequence[Sample]) -> None:
    reads_pixels = name == "brisque"
    if reads_pixels and all(sample.kind != "image" for sample in task.samples):
        others = ", ".join(known for known in _FITTED if known != name)
        raise ConfigError(f"baseline {name!r} reads images and the test has videos; choose from: {others}")
    if not any(sample.mos is not None and (sample.kind == "image" or not reads_pixels) for sample in train):
        raise DatasetError(
            f"baseline {name!r} has nothing to learn from: {len(task.train)} samples of the manifests have split "
            f"train, {len(train)} of them are inside the protocol's training sets and show no tested content, and none "
            f"of these {'is an image with' if reads_pixels else 'has'} a label. Give a manifest with labelled samples "
            f"of split train, or choose baselines that need none: {', '.join(_UNFITTED)}"
        )


def _pristine_samples(pristine: Sequence[Path]) -> list[Sample]:
    """What NIQE is fitted on: the user's pictures, or ours."""
    if not pristine:
        return bundled_training_photographs()
    return [Sample(str(path), (Media(str(path)),), dataset="pristine pictures") for path in list_media(pristine)]


def _refuse_tested_pristine(task: Task, pristine: Sequence[Path]) -> None:
    """Stop where NIQE would be fitted on a picture that is tested, or that a tested one was made from."""
    pictures = [replace(sample, dataset="pristine pictures") for sample in _pristine_samples(pristine)]  # no origin
    if leaks := _showing_same(task, pictures):
        raise DatasetError(
            f"NIQE is fitted on pictures that are also tested ({'; '.join(map(str, leaks))}), and would find them "
            "natural by construction. Give others with --pristine, leave niqe out of --baselines, or force it with "
            "--allow-leakage: the report then says so"
        )


def _leaks(name: str, task: Task, pristine: Sequence[Path]) -> list[Leak]:
    """For the report: tested samples that show, or are made from, what a baseline's constants come from."""
    if name not in _UNFITTED:
        return []
    return _showing_same(task, _pristine_samples(pristine if name == "niqe" else ()))


def _showing_same(task: Task, pictures: Sequence[Sample]) -> list[Leak]:
    own = picture_hashes(sample.path() for sample in pictures)
    return find_leaks(task.originals, pictures, pictures=list(own.values()))


def _measuring() -> Baseline:
    from pondera.teach.measuring import MeasuringTeacher

    teacher = MeasuringTeacher()
    return Baseline(
        "measuring teacher",
        lambda samples: teacher.assess([sample.path() for sample in samples]),
        {"fingerprint": teacher.fingerprint},
    )

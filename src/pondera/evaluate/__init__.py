"""Evaluation: runs over manifests, predictions on disk, paired comparisons, baselines, truthfulness of rationales."""

from pondera.evaluate.aspects import aspect_truthfulness
from pondera.evaluate.baselines import mean_predictor
from pondera.evaluate.page import write_report
from pondera.evaluate.predictions import read_predictions, write_predictions
from pondera.evaluate.run import Evaluation, compare_systems, evaluate, load_evaluation, measure

__all__ = [
    "Evaluation",
    "aspect_truthfulness",
    "compare_systems",
    "evaluate",
    "load_evaluation",
    "mean_predictor",
    "measure",
    "read_predictions",
    "write_predictions",
    "write_report",
]

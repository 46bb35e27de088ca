"""Evaluation: runs over manifests that resume and split, protocols, paired comparisons, baselines, reports."""

from pondera.evaluate.aspects import aspect_truthfulness
from pondera.evaluate.baselines import mean_predictor
from pondera.evaluate.document import write_documents
from pondera.evaluate.page import write_report
from pondera.evaluate.percentiles import ReferenceSet, reference_set
from pondera.evaluate.predictions import read_predictions, write_predictions
from pondera.evaluate.protocols import list_protocols, load_protocol
from pondera.evaluate.run import Evaluation, compare_systems, evaluate, load_evaluation, measure
from pondera.evaluate.store import AssessmentStore

__all__ = [
    "AssessmentStore",
    "Evaluation",
    "ReferenceSet",
    "aspect_truthfulness",
    "compare_systems",
    "evaluate",
    "list_protocols",
    "load_evaluation",
    "load_protocol",
    "mean_predictor",
    "measure",
    "read_predictions",
    "reference_set",
    "write_documents",
    "write_predictions",
    "write_report",
]

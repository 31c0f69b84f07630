"""Which way a metric is better, told from its name."""

from __future__ import annotations

import re
from enum import StrEnum

from lifecycle.domain.policy import OfflineRegression


class Direction(StrEnum):
    HIGHER = "higher"
    LOWER = "lower"
    UNKNOWN = "unknown"
    IGNORED = "ignored"


_HIGHER = frozenset(
    [
        "accuracy",
        "acc",
        "balanced_accuracy",
        "top_k_accuracy",
        "f1",
        "f2",
        "fbeta",
        "f_beta",
        "precision",
        "recall",
        "sensitivity",
        "specificity",
        "auc",
        "roc_auc",
        "auroc",
        "pr_auc",
        "auprc",
        "average_precision",
        "map",
        "mrr",
        "ndcg",
        "hit_rate",
        "r2",
        "adjusted_r2",
        "r_squared",
        "explained_variance",
        "d2",
        "mcc",
        "matthews_corrcoef",
        "cohen_kappa",
        "kappa",
        "jaccard",
        "iou",
        "dice",
        "silhouette",
        "bleu",
        "rouge",
        "pearson",
        "spearman",
        "gini",
        "ks",
        "lift",
    ]
)
_LOWER = frozenset(
    [
        "rmse",
        "mse",
        "mae",
        "mape",
        "smape",
        "msle",
        "rmsle",
        "medae",
        "mase",
        "wape",
        "root_mean_squared_error",
        "mean_squared_error",
        "mean_absolute_error",
        "mean_absolute_percentage_error",
        "mean_squared_log_error",
        "root_mean_squared_log_error",
        "median_absolute_error",
        "max_error",
        "log_loss",
        "logloss",
        "loss",
        "cross_entropy",
        "cross_entropy_loss",
        "brier",
        "brier_loss",
        "hinge_loss",
        "hamming_loss",
        "zero_one_loss",
        "pinball_loss",
        "mean_pinball_loss",
        "huber_loss",
        "error",
        "error_rate",
        "misclassification_rate",
        "false_positive_rate",
        "false_negative_rate",
        "fpr",
        "fnr",
        "ece",
        "expected_calibration_error",
        "perplexity",
        "wer",
        "cer",
        "deviance",
        "mean_poisson_deviance",
        "mean_gamma_deviance",
        "davies_bouldin",
    ]
)

_PREFIX = re.compile(r"^(?:test|testing|val|valid|validation|eval|evaluation|holdout|hold_out|oos|cv|best|mean|avg)_")
_SUFFIX = re.compile(
    r"_(?:macro|micro|weighted|binary|samples|score|mean|avg|average|ovr|ovo|test|val|valid|validation|eval|holdout|cv)$"
)


def direction_of(metric: str, rules: OfflineRegression) -> Direction:
    """The policy's lists come first, then the built-in ones, without what says only where or how it was averaged.

    Metrics of the training data (``train_f1``) and of a baseline have no direction: to be better there is no merit.
    """
    name = _spelled(metric)
    for direction, names in (
        (Direction.IGNORED, rules.ignored),
        (Direction.HIGHER, rules.higher_is_better),
        (Direction.LOWER, rules.lower_is_better),
    ):
        if name in map(_spelled, names):
            return direction
    for form in _shorter_and_shorter(name):
        if form in _HIGHER:
            return Direction.HIGHER
        if form in _LOWER:
            return Direction.LOWER
    return Direction.UNKNOWN


def _spelled(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def _shorter_and_shorter(name: str) -> list[str]:
    """The name, then without its prefixes, then without one suffix after the other."""
    forms = [name]
    while (shorter := _PREFIX.sub("", forms[-1])) != forms[-1]:
        forms.append(shorter)
    while (shorter := _SUFFIX.sub("", forms[-1])) != forms[-1]:
        forms.append(shorter)
    return forms

"""Calls the model, for one query or for several joined into one table."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any, Protocol

from mlflow.exceptions import MlflowException

from serving.answers import Told
from serving.errors import RefusedError, shortened
from serving.metrics import Metrics
from serving.payload import FrameBuilder, Query, Rows
from serving.reference import Bins, Labels
from serving.response import Answer, failed, jsonable, predicted, refused

log = logging.getLogger(__name__)


class Model(Protocol):
    """What is asked of a loaded pyfunc model."""

    def predict(self, data: Any, params: dict[str, Any] | None = None) -> Any: ...


class NotRowWiseError(Exception):
    """The model did not answer a joined table with one prediction a row."""


class Scorer:
    """Answers queries with a model. Called from the scoring threads; never raises.

    ``row_wise`` says whether queries may be joined; it turns false when the model proves otherwise. ``prediction`` is
    how the training reference counts predictions.
    """

    def __init__(
        self,
        model: Model,
        frames: FrameBuilder,
        metrics: Metrics,
        *,
        row_wise: bool,
        prediction: Bins | Labels | None = None,
    ) -> None:
        self._model = model
        self._frames = frames
        self._metrics = metrics
        self.row_wise = row_wise
        self._prediction = prediction

    def score(self, queries: Sequence[Query]) -> list[Answer]:
        """An answer to each query. When a joined call fails, halves are tried, until the failing query is alone."""
        if len(queries) == 1:
            return [self._alone(queries[0])]
        try:
            return self._joined(queries)
        except NotRowWiseError as error:
            log.error("requests are scored alone from now on: %s", error)
            self.row_wise = False
            return [self._alone(query) for query in queries]
        except Exception as error:
            log.info("%d joined requests failed (%s), looking for the one", len(queries), type(error).__name__)
            middle = len(queries) // 2
            return [*self.score(queries[:middle]), *self.score(queries[middle:])]

    def _joined(self, queries: Sequence[Query]) -> list[Answer]:
        frame = self._frames.joined([query.data for query in queries])
        predictions = self._model.predict(frame)
        values = jsonable(predictions)
        if not isinstance(values, list) or len(values) != len(frame):
            raise NotRowWiseError(f"{len(frame)} rows together did not get {len(frame)} predictions")
        ends = pairwise(accumulate((query.count for query in queries), initial=0))
        told = Told(predictions, self._prediction)
        answers = [predicted(values[start:end], told.rows(start, end)) for start, end in ends]
        self._metrics.count_rows(frame, told.vector, len(frame))
        return answers

    def _alone(self, query: Query) -> Answer:
        try:
            data = self._frames.alone(query.data) if isinstance(query.data, Rows) else query.data
            predictions = self._model.predict(data, params=query.params)
            told = Told(predictions, self._prediction)
            answer = predicted(jsonable(predictions), told.rows(), unwrapped=query.unwrapped)
        except MlflowException as error:
            return _mlflow_failure(error)
        except Exception as error:
            return _model_failure(error)
        self._metrics.count_rows(data, told.vector, row_count(data))
        return answer


def row_count(data: Any) -> int:
    """Rows in what a model was given: the length of a table, of a dictionary's first column, else one."""
    if isinstance(data, dict):
        data = next(iter(data.values()), None)
    return len(data) if hasattr(data, "__len__") and not isinstance(data, str) else 1


def _mlflow_failure(error: MlflowException) -> Answer:
    """MLflow checks the signature and the params when the model is called: what it refuses there is the caller's."""
    status: int = error.get_http_status_code()  # type: ignore[no-untyped-call]
    if status >= 500:
        return _model_failure(error)
    return refused(RefusedError(shortened(error.message)))


def _model_failure(error: Exception) -> Answer:
    log.error("the model failed on a request\n%s", "".join(traceback.format_exception(error)).rstrip())
    reason = str(error).strip().partition("\n")[0][:200]
    return failed(500, "INTERNAL_ERROR", f"the model failed on this input: {type(error).__name__}: {reason}")

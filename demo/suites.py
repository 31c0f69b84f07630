"""The tests of the demonstration's models, as a company would have them beside its training code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import mlflow
import pandas as pd
from mlflow.pyfunc import PyFuncModel

from demo.catalogue import Entry
from demo.recipes import RECIPES, Trained
from demo.train import signature_of

ROWS = 20


@dataclass(frozen=True, slots=True)
class Subject:
    """A version under test: as its recipe makes it, and as the registry gives it back."""

    trained: Trained
    logged: PyFuncModel

    @property
    def rows(self) -> pd.DataFrame:
        return self.trained.seen.head(ROWS)


def subject(tracking_uri: str, entry: Entry, version: int) -> Subject:
    mlflow.set_tracking_uri(tracking_uri)
    trained = RECIPES[entry.model, entry.semantic_version]()
    return Subject(trained, mlflow.pyfunc.load_model(f"models:/{entry.model}/{version}"))


def table(answers: Any) -> pd.DataFrame:
    return pd.DataFrame(answers).reset_index(drop=True)


def every_row_gets_an_answer(under_test: Subject) -> None:
    answers = table(under_test.trained.answers(under_test.rows))
    assert len(answers) == ROWS
    assert not answers.isna().any(axis=None)


def the_same_row_gets_the_same_answer(under_test: Subject) -> None:
    first, again = (table(under_test.trained.answers(under_test.rows)) for _ in range(2))
    pd.testing.assert_frame_equal(first, again)


def rows_are_answered_one_by_one_as_together(under_test: Subject) -> None:
    one_by_one = [table(under_test.trained.answers(under_test.rows.iloc[[row]])) for row in range(3)]
    together = table(under_test.trained.answers(under_test.rows.head(3)))
    pd.testing.assert_frame_equal(pd.concat(one_by_one, ignore_index=True), together)


def optional_columns_may_be_left_out(under_test: Subject) -> None:
    required = under_test.rows[list(under_test.trained.required)]
    assert len(table(under_test.trained.answers(required))) == ROWS


def a_request_is_left_as_it_was(under_test: Subject) -> None:
    rows = under_test.rows
    before = rows.copy(deep=True)
    under_test.trained.answers(rows)
    pd.testing.assert_frame_equal(rows, before)


def the_registered_model_loads_and_answers(under_test: Subject) -> None:
    assert len(table(under_test.logged.predict(under_test.rows))) == ROWS


def the_registered_model_answers_as_the_code_does(under_test: Subject) -> None:
    found, wanted = (
        table(answer(under_test.rows)) for answer in (under_test.logged.predict, under_test.trained.answers)
    )
    pd.testing.assert_frame_equal(found, wanted, check_dtype=False)


def the_registered_signature_is_that_of_the_code(under_test: Subject) -> None:
    assert under_test.logged.metadata.signature == signature_of(under_test.trained)


UNIT = (
    every_row_gets_an_answer,
    the_same_row_gets_the_same_answer,
    rows_are_answered_one_by_one_as_together,
    optional_columns_may_be_left_out,
    a_request_is_left_as_it_was,
)
INTEGRATION = (
    the_registered_model_loads_and_answers,
    the_registered_model_answers_as_the_code_does,
    the_registered_signature_is_that_of_the_code,
)

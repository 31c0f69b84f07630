import pytest

from lifecycle.domain.stages import (
    Stage,
    StageChangeRefusedError,
    check_change,
    from_mlflow,
    possible_changes,
    to_mlflow,
)

ALLOWED = {
    ("Development", "Staging"),
    ("Staging", "Production"),
    ("Staging", "Archived"),
    ("Production", "Archived"),
    ("Archived", "Staging"),
}


@pytest.mark.parametrize("current", Stage)
@pytest.mark.parametrize("wanted", Stage)
def test_every_pair_of_stages_is_allowed_or_refused_with_a_reason(current, wanted):
    if (current, wanted) in ALLOWED:
        check_change(current, wanted)
        assert wanted in possible_changes(current)
        return
    with pytest.raises(StageChangeRefusedError, match=r"\w+.*\."):
        check_change(current, wanted)
    assert wanted not in possible_changes(current)


def test_skipping_staging_says_what_to_do():
    with pytest.raises(StageChangeRefusedError, match="Staging first"):
        check_change(Stage.DEVELOPMENT, Stage.PRODUCTION)


@pytest.mark.parametrize("stage", Stage)
def test_mlflow_words_go_both_ways(stage):
    assert from_mlflow(to_mlflow(stage)) == stage


def test_an_unknown_mlflow_word_is_an_error():
    with pytest.raises(ValueError, match="Canary"):
        from_mlflow("Canary")

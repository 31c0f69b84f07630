"""Which files explain a model, and what they are called."""

import pytest

from lifecycle.domain.pictures import LONGEST_TITLE, explains, title_of


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("explainability/permutation_importance.png", True),
        ("explainability/anything.JPG", True),
        ("Explainability/deep/er/a.webp", True),
        ("shap_summary.png", True),
        ("plots/LIME-3.jpeg", True),
        ("model_explanations_shap/force.gif", True),
        ("confusion_matrix.png", False),
        ("explainability/report.svg", False),
        ("explainability/report.html", False),
        ("explainability/values.csv", False),
        ("shap.pkl", False),
        ("png", False),
        ("", False),
    ],
)
def test_what_explains(path, expected):
    assert explains(path) is expected


@pytest.mark.parametrize(
    ("path", "title"),
    [
        ("explainability/shap_summary.png", "SHAP summary"),
        ("permutation_importance.png", "Permutation importance"),
        ("a/b/lime - row  3.png", "LIME row 3"),
        ("x/.png", ".png"),
        ("<img src=x>.png", "<img src=x>"),
    ],
)
def test_titles(path, title):
    assert title_of(path) == title


def test_a_title_is_bounded():
    assert len(title_of(f"{'a' * 5000}.png")) == LONGEST_TITLE

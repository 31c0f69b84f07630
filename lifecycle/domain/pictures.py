"""Which of the files that were logged with a version are pictures that explain it, and what they are called."""

from __future__ import annotations

import re

FOLDER = "explainability"
"""Where pictures are looked for first; every picture in a folder of this name counts."""
_ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".gif")
_METHODS = re.compile(r"shap|lime|importance|expla[in]|saliency|attribution|partial.?dependence", re.IGNORECASE)
_WELL_KNOWN = {"shap": "SHAP", "lime": "LIME", "pdp": "PDP", "ice": "ICE"}
LONGEST_TITLE = 80


def explains(path: str) -> bool:
    """Whether a file is a picture that explains the model: by its folder, or by its own name."""
    *folders, name = path.split("/")
    if not name.lower().endswith(_ENDINGS):
        return False
    return any(map(is_explaining, folders)) or _METHODS.search(name) is not None


def is_explaining(folder: str) -> bool:
    """Whether a folder's name says that what is in it explains the model."""
    return folder.lower() == FOLDER or _METHODS.search(folder) is not None


def title_of(path: str) -> str:
    """A file's name as people write it: "explainability/shap_summary.png" is "SHAP summary"."""
    file = path.rpartition("/")[2]
    name = file.rpartition(".")[0] or file
    words = re.sub(r"[\s_-]+", " ", name).strip() or name
    spelled = " ".join(_WELL_KNOWN.get(word.lower(), word) for word in words.split(" "))
    spelled = spelled[:1].upper() + spelled[1:]
    return spelled if len(spelled) <= LONGEST_TITLE else f"{spelled[: LONGEST_TITLE - 1]}…"

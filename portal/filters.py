"""Filters that pages and API share."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import forms
from django.http import QueryDict

from lifecycle.domain.exporting import ExportFormat
from lifecycle.domain.stages import Stage
from lifecycle.queries import RecordFilter
from lifecycle.queries_models import ModelFilter, Sort

LONGEST_WORDS = 600
"""Of what is searched for or filtered by: more than a tag has."""
MOST_TAGS = 10


def stage_named(word: str | None) -> Stage | None:
    """The stage with this name; None for any other word, which does not restrict."""
    return next((stage for stage in Stage if stage.value == word), None)


def position(word: str | None) -> int | None:
    """The number of an entry in an address; None for any other word, which leads to the newest entries."""
    return int(word) if word and word.isascii() and word.isdecimal() and len(word) < 16 else None


def model_filter(asked: QueryDict) -> ModelFilter:
    """What an address asks of the list of models; what is no value of a filter does not restrict.

    ``add_tag`` is a tag that is still in its field, beside those that were chosen before.
    """
    tags = [_words(each) for each in (*asked.getlist("tag"), *asked.getlist("add_tag"))]
    return ModelFilter(
        search=_words(asked.get("search")),
        stage=stage_named(asked.get("stage")),
        tags=tuple(dict.fromkeys(tag for tag in tags if tag))[:MOST_TAGS],
        team=_words(asked.get("team")),
        framework=_words(asked.get("framework")),
        under_way=asked.get("under_way") == "yes",
        unhealthy=asked.get("unhealthy") == "yes",
    )


def _words(given: str | None) -> str:
    return (given or "").strip()[:LONGEST_WORDS]


def sort_named(word: str | None) -> Sort:
    """The order with this name; by name for any other word."""
    return next((sort for sort in Sort if sort.value == word), Sort.NAME)


YEARS = range(1970, 2201)


class Moment(forms.DateTimeField):
    """A time that stays one in every time zone: years 1 and 9999 end within some zone's offset."""

    def to_python(self, value: Any) -> datetime | None:
        found: datetime | None = super().to_python(value)
        if found is not None and found.year not in YEARS:
            raise forms.ValidationError(f"Choose a time in the years from {YEARS[0]} to {YEARS[-1]}.", code="year")
        return found


REFUSED_CHOICES = [("true", "refused"), ("false", "carried out")]


class RecordForm(forms.Form):
    """The filter of the record."""

    model = forms.CharField(required=False, max_length=500)
    version = forms.IntegerField(required=False, min_value=1)
    actor = forms.CharField(required=False, max_length=200)
    action = forms.CharField(required=False, max_length=60)
    refused = forms.TypedChoiceField(
        required=False, choices=REFUSED_CHOICES, coerce=lambda word: word == "true", empty_value=None
    )
    since = Moment(required=False)
    until = Moment(required=False)
    transition = forms.IntegerField(required=False, min_value=1)

    def wanted(self) -> RecordFilter:
        """What the valid fields ask for; a field that is not valid does not restrict."""
        given = {name: value for name, value in self.cleaned_data.items() if value not in ("", None)}
        return RecordFilter(**given)


class ExportForm(forms.Form):
    """As what the record is exported, and why; a missing or overlong reason is left to the operation."""

    format = forms.ChoiceField(choices=[(each.value, each.label) for each in ExportFormat])
    reason = forms.CharField(required=False)

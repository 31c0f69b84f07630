"""Filters that pages and API share."""

from __future__ import annotations

from django import forms

from lifecycle.domain.stages import Stage
from lifecycle.queries import RecordFilter


def stage_named(word: str | None) -> Stage | None:
    """The stage with this name; None for any other word, which does not restrict."""
    return next((stage for stage in Stage if stage.value == word), None)


class RecordForm(forms.Form):
    """The filter of the record."""

    model = forms.CharField(required=False)
    version = forms.IntegerField(required=False, min_value=1)
    actor = forms.CharField(required=False)
    action = forms.CharField(required=False)
    since = forms.DateTimeField(required=False)
    until = forms.DateTimeField(required=False)
    transition = forms.IntegerField(required=False, min_value=1)

    def wanted(self) -> RecordFilter:
        """What the valid fields ask for; a field that is not valid does not restrict."""
        given = {name: value for name, value in self.cleaned_data.items() if value not in ("", None)}
        return RecordFilter(**given)

"""The forms behind the pages' buttons: each asks for little more than a reason."""

from __future__ import annotations

from django import forms

from lifecycle.domain.stages import Stage
from lifecycle.queries import RecordFilter


class ReasonForm(forms.Form):
    reason = forms.CharField(
        max_length=2000,
        strip=True,
        widget=forms.Textarea(attrs={"rows": 2}),
        error_messages={"required": "Say why: a reason is part of the record."},
    )


class RequestForm(ReasonForm):
    to_stage = forms.ChoiceField(choices=[(stage.value, stage.value) for stage in Stage])


class RollbackForm(ReasonForm):
    kind = forms.ChoiceField(choices=[("emergency", "emergency"), ("graceful", "graceful")], required=False)


class RecordForm(forms.Form):
    """The filter of the record's page."""

    model = forms.CharField(required=False)
    version = forms.IntegerField(required=False, min_value=1)
    actor = forms.CharField(required=False)
    action = forms.CharField(required=False)
    since = forms.DateTimeField(required=False)
    until = forms.DateTimeField(required=False)

    def wanted(self) -> RecordFilter:
        """What the valid fields ask for; a field that is not valid does not restrict."""
        given = {name: value for name, value in self.cleaned_data.items() if value not in ("", None)}
        return RecordFilter(**given)

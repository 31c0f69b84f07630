"""The forms behind the pages' buttons: each asks for little more than a reason."""

from __future__ import annotations

from django import forms

from lifecycle.domain.stages import Stage


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

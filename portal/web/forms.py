"""The forms behind the pages' buttons: each asks for little more than a reason."""

from __future__ import annotations

from django import forms

from lifecycle.domain.stages import Stage


class ReasonForm(forms.Form):
    """A missing or overlong reason is left to the operation, which refuses it and records the attempt."""

    reason = forms.CharField(required=False)


class RequestForm(ReasonForm):
    to_stage = forms.ChoiceField(choices=[(stage.value, stage.value) for stage in Stage])


class RollbackForm(ReasonForm):
    kind = forms.ChoiceField(choices=[("emergency", "emergency"), ("graceful", "graceful")], required=False)

"""The forms behind the pages' buttons: each asks for little more than a reason."""

from __future__ import annotations

from django import forms
from django.utils.functional import cached_property

from lifecycle.domain.criteria import Criterion
from lifecycle.domain.permissions import TOKEN_SCOPES, Action
from lifecycle.domain.stages import Stage
from lifecycle.domain.strategies import Strategy
from lifecycle.policy_files import LONGEST_FILE


class ReasonForm(forms.Form):
    """A missing or overlong reason is left to the operation, which refuses it and records the attempt."""

    reason = forms.CharField(required=False)


class DecisionForm(ReasonForm):
    """``seen`` is the digest of what was shown beside the button, ``missing`` how many approvals were said to be
    missing there, and ``back`` where the button was."""

    seen = forms.CharField(required=False, max_length=64)
    missing = forms.IntegerField(required=False, min_value=0)
    back = forms.ChoiceField(choices=[("inbox", "inbox")], required=False)


class RequestForm(ReasonForm):
    to_stage = forms.ChoiceField(choices=[(stage.value, stage.value) for stage in Stage])
    strategy = forms.TypedChoiceField(
        choices=[(each.value, each.label) for each in Strategy], coerce=Strategy, required=False, empty_value=None
    )


class SteerForm(ReasonForm):
    """``step`` is the step of the rollout that the person saw, counted from 0."""

    step = forms.IntegerField(min_value=0)


class CheckForm(forms.Form):
    criterion = forms.TypedChoiceField(choices=[(each.value, each.label) for each in Criterion], coerce=Criterion)


class EvidenceForm(CheckForm):
    """How long the texts may be is left to the operation, as with reasons."""

    outcome = forms.ChoiceField(choices=[("passed", "passed"), ("failed", "failed")])
    url = forms.CharField(required=False)
    detail = forms.CharField(required=False)


class WaiverForm(CheckForm, ReasonForm):
    days = forms.IntegerField(min_value=1, max_value=3650)


class TokenForm(ReasonForm):
    """``scopes`` are those that the owner's roles allow; the operation refuses what they do not."""

    name = forms.CharField(required=False)
    scopes = forms.TypedMultipleChoiceField(
        choices=[(each.value, each.label) for each in TOKEN_SCOPES], coerce=Action, required=False
    )
    days = forms.IntegerField(min_value=1, max_value=365)


class ServiceTokenForm(TokenForm):
    account = forms.CharField(required=False)


class SemanticVersionForm(forms.Form):
    """What was proposed when the page was made; the operation refuses what is not proposed any more."""

    semantic_version = forms.CharField(max_length=100)


class WithdrawForm(ReasonForm):
    model = forms.CharField()
    base = forms.IntegerField(min_value=1)


class PolicyForm(forms.Form):
    """A policy as text or as a file; a file goes first. ``checked`` is the digest of the text that was checked.

    What is wrong in the text is told by line, so it comes here as it was typed.
    """

    policy = forms.Field(required=False)
    file = forms.FileField(required=False, allow_empty_file=True)
    base = forms.IntegerField(required=False, min_value=1)
    checked = forms.CharField(required=False)
    step = forms.ChoiceField(choices=[("check", "check"), ("confirm", "confirm")])
    reason = forms.Field(required=False)

    def clean_reason(self) -> str:
        return str(self.cleaned_data["reason"] or "")

    @cached_property
    def source(self) -> str | bytes:
        """What was sent, to be read: a file as it is, though never more of it than a policy may have."""
        uploaded = self.cleaned_data["file"]
        return bytes(uploaded.read(LONGEST_FILE + 1)) if uploaded else str(self.cleaned_data["policy"] or "")

    @cached_property
    def text(self) -> str:
        """What was sent, to be shown."""
        source = self.source
        text = source if isinstance(source, str) else source.decode("utf-8-sig", "replace")
        return text.replace("\r\n", "\n")


class RollbackForm(ReasonForm):
    """``to_version`` is who comes back, as the person saw it. To ``stop`` serving takes a word more than a reason."""

    kind = forms.ChoiceField(choices=[("emergency", "emergency"), ("graceful", "graceful")], required=False)
    to_version = forms.IntegerField(min_value=1, required=False)
    stop = forms.BooleanField(required=False)
    confirmed = forms.BooleanField(required=False)

    def clean(self) -> None:
        super().clean()
        if self.cleaned_data.get("stop") and not self.cleaned_data.get("confirmed"):
            raise forms.ValidationError("Nothing was stopped: tick that you know what happens to the requests.")

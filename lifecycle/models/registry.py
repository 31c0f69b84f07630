"""The mirror: what the registry holds, as tables. ``lifecycle.mirror`` is their only writer."""

from __future__ import annotations

from django.db import models

from lifecycle.domain.stages import Stage, from_mlflow


class Team(models.Model):
    """People who own models together: a role given for a team is a role for its models alone."""

    name = models.CharField(max_length=100, unique=True)
    slug = models.SlugField(max_length=63, unique=True)

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class RegisteredModel(models.Model):
    """A registered model.

    ``slug`` names it in addresses, files and the gateway; ``exact_name`` is False when the registry's name holds
    characters that a database cannot, so that such a model can be seen but not acted on. ``fence`` grows with
    every claim by the engine: the gateway refuses a write that carries an older one. ``compared_at`` is when the
    registry was last compared with what serves, ``suspicions`` what did not agree then, as ``what:version``: both are
    written by ``lifecycle.disagreements``. ``team`` owns the model; nobody does where it is None, and roles given for
    all models are what counts.
    """

    name = models.TextField()
    slug = models.CharField(max_length=63, unique=True)
    exact_name = models.BooleanField(default=True)
    description = models.TextField(blank=True, default="")
    tags = models.JSONField(default=dict)
    aliases = models.JSONField(default=dict)
    created_at = models.DateTimeField(null=True)
    updated_at = models.DateTimeField(null=True)
    removed_at = models.DateTimeField(null=True, db_index=True)
    seen_pass = models.BigIntegerField(default=0, db_index=True)
    digest = models.CharField(max_length=64, default="")
    fence = models.BigIntegerField(default=0)
    team = models.ForeignKey(Team, null=True, on_delete=models.PROTECT, related_name="models")
    compared_at = models.DateTimeField(null=True)
    suspicions = models.JSONField(default=list)

    class Meta:
        ordering = ("slug",)
        indexes = (
            models.Index(fields=("name",), name="models_by_name"),
            models.Index(fields=("team", "removed_at", "slug"), name="models_of_a_team"),
        )

    def __str__(self) -> str:
        return self.name


class ModelIndex(models.Model):
    """What the list of models is searched, filtered and sorted by: one narrow row for each model that MLflow still has,
    so that a search reads a fraction of what the mirror holds. ``lifecycle.model_index`` is its only writer.

    ``text`` is what is searched, in lower case. ``framework`` is that of the newest version. The stages are those in
    which the model has a version.
    """

    model = models.OneToOneField(RegisteredModel, on_delete=models.CASCADE, primary_key=True, related_name="index")
    slug = models.CharField(max_length=63, unique=True)
    text = models.TextField()
    framework = models.CharField(max_length=64, blank=True, default="")
    newest_version_at = models.DateTimeField(null=True)
    version_count = models.PositiveIntegerField(default=0)
    in_development = models.BooleanField(default=False)
    in_staging = models.BooleanField(default=False)
    in_production = models.BooleanField(default=False)
    in_archived = models.BooleanField(default=False)

    class Meta:
        ordering = ("slug",)
        indexes = (
            models.Index(fields=("framework",), name="models_by_framework"),
            models.Index(fields=("-newest_version_at",), name="models_by_newest_version"),
            models.Index(fields=("-version_count",), name="models_by_version_count"),
        )

    def __str__(self) -> str:
        return self.slug


class ModelTag(models.Model):
    """A tag of a registered model, for the list's filter: key and value cut to what an index takes."""

    KEY_LENGTH = 250
    VALUE_LENGTH = 250

    model = models.ForeignKey(RegisteredModel, on_delete=models.CASCADE, related_name="tag_rows")
    key = models.CharField(max_length=KEY_LENGTH)
    value = models.CharField(max_length=VALUE_LENGTH)

    class Meta:
        constraints = (models.UniqueConstraint(fields=("model", "key"), name="one_value_a_tag"),)
        indexes = (models.Index(fields=("key", "value"), name="tags_by_key_and_value"),)

    def __str__(self) -> str:
        return f"{self.key}: {self.value}"


class ModelVersion(models.Model):
    """A model version. ``stage`` is MLflow's word; ``details_at`` is when its run and signature were read.

    ``artifact_digest`` is the SHA-256 of the manifest of its files, "" before they were first read, as of
    ``artifact_read_at``; ``artifact_listing`` is the digest of their names and sizes at that time, which is cheap to
    compare.
    """

    model = models.ForeignKey(RegisteredModel, on_delete=models.CASCADE, related_name="versions")
    version = models.PositiveIntegerField()
    stage = models.CharField(max_length=16, default="None")
    stage_since = models.DateTimeField(null=True)
    description = models.TextField(blank=True, default="")
    tags = models.JSONField(default=dict)
    status = models.CharField(max_length=32, default="READY")
    source = models.TextField(blank=True, default="")
    run_id = models.CharField(max_length=64, blank=True, default="")
    created_at = models.DateTimeField(null=True)
    updated_at = models.DateTimeField(null=True)
    removed_at = models.DateTimeField(null=True, db_index=True)
    seen_pass = models.BigIntegerField(default=0, db_index=True)
    digest = models.CharField(max_length=64, default="")

    metrics = models.JSONField(default=dict)
    params = models.JSONField(default=dict)
    run_tags = models.JSONField(default=dict)
    run_name = models.TextField(blank=True, default="")
    experiment_id = models.CharField(max_length=64, blank=True, default="")
    signature = models.JSONField(null=True)
    flavors = models.JSONField(default=list)
    details_at = models.DateTimeField(null=True)
    details_tried_at = models.DateTimeField(null=True)
    details_error = models.TextField(blank=True, default="")
    artifact_digest = models.CharField(max_length=64, blank=True, default="")
    artifact_listing = models.CharField(max_length=64, blank=True, default="")
    artifact_read_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("model", "-version")
        constraints = (models.UniqueConstraint(fields=("model", "version"), name="one_row_a_model_version"),)
        indexes = (
            models.Index(fields=("details_at", "-created_at"), name="versions_without_details"),
            models.Index(fields=("removed_at", "model", "-version"), name="versions_by_model"),
            models.Index(fields=("removed_at", "stage", "model", "-version"), name="versions_by_stage"),
            models.Index(fields=("run_id",), name="versions_of_a_run"),
        )

    def __str__(self) -> str:
        return f"{self.model.name} {self.label}"

    @property
    def semantic_version(self) -> str:
        return str(self.tags.get("semantic_version", ""))

    @property
    def label(self) -> str:
        """What people call it: the semantic version when it has one, else MLflow's number."""
        return self.semantic_version or f"version {self.version}"

    @property
    def domain_stage(self) -> Stage:
        return from_mlflow(self.stage)


class MirrorState(models.Model):
    """Where the rolling sweep stands: one row. ``phase`` is ``models``, ``versions`` or ``gone``."""

    pass_number = models.BigIntegerField(default=1)
    phase = models.CharField(max_length=16, default="models")
    page_token = models.TextField(null=True)
    pass_started_at = models.DateTimeField(null=True)
    last_full_pass_at = models.DateTimeField(null=True)
    last_success_at = models.DateTimeField(null=True)
    last_error = models.TextField(blank=True, default="")
    last_error_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"pass {self.pass_number}, {self.phase}"


class WebhookDelivery(models.Model):
    """Deliveries already taken, so that a replayed one is refused."""

    delivery_id = models.CharField(max_length=200, unique=True)
    received_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return self.delivery_id

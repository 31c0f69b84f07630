"""The way back from MLflow: a tag on a version with the address of its page here."""

from __future__ import annotations

import logging
from urllib.parse import quote

from django.conf import settings

from lifecycle import adapters
from lifecycle.models import ModelVersion
from lifecycle.ports import PortError, VersionRef

logger = logging.getLogger(__name__)

TAG = "stagegate_url"


def address_of(version: ModelVersion) -> str:
    """Where people find the version's page, "" when nobody has said by which address they reach the portal."""
    if not settings.PUBLIC_URL_IS_SET:
        return ""
    return f"{settings.PUBLIC_URL}/models/{quote(version.model.slug)}/versions/{version.version}/"


def point_back(version_id: int) -> None:
    """Write the tag, unless it is there. What fails is left until somebody asks for the version's next stage: nothing
    depends on it."""
    version = ModelVersion.objects.select_related("model").filter(pk=version_id, removed_at=None).first()
    if version is None or not version.model.exact_name:
        return
    address = address_of(version)
    if not address or version.tags.get(TAG) == address:
        return
    try:
        adapters.registry().set_tags(VersionRef(version.model.name, version.version), {TAG: address})
    except PortError as error:
        logger.warning("%r has no address of ours in MLflow: %s", version, error)

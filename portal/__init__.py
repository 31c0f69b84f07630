"""The Django project and everything a person or client touches."""

from portal.celery import app as celery_app

__all__ = ["celery_app"]

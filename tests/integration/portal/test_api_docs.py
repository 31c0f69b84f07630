"""The documentation of the API: complete, valid, and a page of its own."""

import json

import jsonschema
import yaml
from django.urls import URLPattern
from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.validation import validate_schema

from portal.api.base import Idempotent, Limited
from portal.api.docs import groups
from portal.api.schema import document
from portal.api.schema_operations import OPERATIONS, TAGS
from portal.api.urls import urlpatterns
from portal.permissions import API

FUNCTIONS = {"hook-mlflow"}
"""It checks a signature of its own, and is no view of the framework's."""


def views():
    return {each.name: each.callback.cls for each in urlpatterns if each.name not in FUNCTIONS}


def test_every_address_and_method_is_documented():
    served = {(name, method) for name, methods in API.items() for method in methods if name not in FUNCTIONS}
    assert set(OPERATIONS) == served
    assert all(isinstance(each, URLPattern) for each in urlpatterns)
    documented = {operation["operationId"] for item in document()["paths"].values() for operation in item.values()}
    assert documented == {each.id for each in OPERATIONS.values()} | {"takeWebhook"}


def test_every_view_has_limits_and_idempotency_keys():
    assert [
        name for name, view in views().items() if not issubclass(view, Limited) or not issubclass(view, Idempotent)
    ] == []


def test_the_document_is_valid_and_made_without_a_warning():
    GENERATOR_STATS.reset()
    SchemaGenerator().get_schema(request=None, public=True)
    assert not GENERATOR_STATS
    validate_schema(document())
    assert document()["openapi"].startswith("3.1.")
    assert {tag["name"] for tag in document()["tags"]} == set(TAGS)


def test_every_operation_says_what_can_go_wrong():
    for path, item in document()["paths"].items():
        for method, operation in item.items():
            told = set(operation["responses"])
            assert {"429"} <= told, path
            if method != "get" and "hooks" not in path:
                assert {"400", "401", "403", "404", "409", "413", "415", "422"} <= told, path


def examples():
    for path, item in document()["paths"].items():
        for method, operation in item.items():
            for what, holder in [("sent", operation.get("requestBody", {})), *operation["responses"].items()]:
                for content in holder.get("content", {}).values():
                    for example in content.get("examples", {}).values():
                        yield f"{method} {path} {what}", content["schema"], example["value"]


def test_every_example_fits_its_schema():
    wrong = []
    for where, schema, value in examples():
        whole = {**schema, "components": document()["components"]}
        found = jsonschema.Draft202012Validator(whole).iter_errors(value)
        wrong += [f"{where}: {error.json_path} {error.message}" for error in found]
    assert wrong == []


def test_the_document_is_served_as_json_and_as_yaml(world, signed_in):
    aron = signed_in("aron")
    as_json = aron.get("/api/v1/schema/")
    assert as_json["Content-Type"] == "application/json"
    assert as_json.json() == json.loads(json.dumps(document()))
    as_yaml = aron.get("/api/v1/schema/?format=yaml")
    assert as_yaml["Content-Type"].startswith("application/yaml")
    assert set(yaml.load(as_yaml.content, yaml.CSafeLoader)["paths"]) == set(document()["paths"])


def test_who_is_not_signed_in_sees_neither(world, client):
    assert client.get("/api/v1/schema/").status_code == 401
    assert client.get("/api/docs/")["Location"] == "/sign-in/?next=/api/docs/"


def test_the_page_has_every_operation(world, signed_in):
    html = signed_in("aron").get("/api/docs/").content.decode()
    for operation in OPERATIONS.values():
        assert f'id="{operation.id}"' in html
    assert [group.name for group in groups()] == list(TAGS)
    assert "Authorization: Bearer $STAGEGATE_TOKEN" in html
    assert "<script>" not in html
    assert " style=" not in html


def test_links_to_objects_lead_somewhere(world, signed_in):
    html = signed_in("aron").get("/api/docs/").content.decode()
    leads = {part.partition('"')[0] for part in html.split('href="#')[1:]}
    assert [each for each in leads if f'id="{each}"' not in html] == []

"""MlflowRegistry keeps the Registry contract against a real MLflow."""

from collections.abc import Callable
from pathlib import Path

import pytest

from lifecycle.adapters.mlflow_registry import MlflowRegistry
from lifecycle.ports import Registry
from tests.contract.registry import CHECKS, World, downloads_put_the_files_at_the_top, new_name
from tests.integration.registry.server import MlflowWorld

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_contract(check: Callable[[Registry, World], None], registry: MlflowRegistry, world: MlflowWorld) -> None:
    check(registry, world)


def test_downloads(registry: MlflowRegistry, world: MlflowWorld, tmp_path: Path) -> None:
    downloads_put_the_files_at_the_top(registry, world, tmp_path)


def test_a_version_whose_run_was_deleted_for_good_still_has_a_signature(
    registry: MlflowRegistry, world: MlflowWorld
) -> None:
    name = new_name()
    world.create_model(name)
    version = registry.version(world.create_version(name, metrics={"f1": 1.0}, files={}))
    world.delete_run(version.run_id)
    assert registry.details(version).flavors == ("python_function",)

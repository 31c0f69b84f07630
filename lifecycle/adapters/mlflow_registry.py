"""The model registry, as an MLflow server offers it.

Registry calls go to MLflow's REST API (``/api/2.0/mlflow``) and not through ``MlflowClient``: the client takes
its time-outs and retries from process-wide environment variables (120 s and 7 by default), gives a dripping
server no deadline at all, and costs every web and worker process 1.3 s and 135 MB to import. Model files are
fetched by the SDK, in a process of its own that can be stopped.

Servers without stages: MLflow has announced that stages will go. When the server has no such endpoint, or
answers NOT_IMPLEMENTED, the stage is kept in the version's tag ``lifecycle.stage``, and the aliases say the rest.

What MLflow does, measured with 3.17:

- Searching versions gives tags and stage, never aliases; searching models gives tags and aliases. A search has
  at most 200,000 versions or 1,000 models on a page. Prompts, which share the tables, are left out.
- A page token is an offset. A row deleted behind the reader moves the rest up, so one row is skipped: whoever
  misses a version must ask for it by name before believing that it is gone.
- Deleting an alias that is not there is answered with success; deleting a version deletes its aliases.
- Deleting a version leaves its files, and MLflow forgets where they are. A copied version has the source
  ``models:/<name>/<version>``, and outlives the version that it was copied from.
- Listing what is not there gives an empty list, and so does listing a file; deleting it is answered with success.
- A logged model that was deleted is still shown to who asks for it with ``allow_deleted``; its files stay.
- A metric that is not a number comes as the string "NaN"; infinity comes as the largest double.
- Webhook names are not unique, and the list never shows secrets. Secrets are encrypted with
  MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY; without it every server process makes its own key and can't read the
  others'. The server reads its list of webhooks again after MLFLOW_WEBHOOK_CACHE_TTL (60) seconds.
"""

from __future__ import annotations

import base64
import itertools
import json
import logging
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import requests
import yaml
from requests.auth import AuthBase

from lifecycle.adapters.artifact_places import FETCHABLE_SCHEMES, STORE, Place, below, need_one_model, parse
from lifecycle.adapters.deadline import deadline_session
from lifecycle.domain.locations import original_of
from lifecycle.ports import (
    ArtifactEntry,
    ArtifactFile,
    Dataset,
    Keeper,
    NotFoundError,
    Page,
    PermanentError,
    RegistryModel,
    RegistryVersion,
    RunOrigin,
    TemporaryError,
    VersionDetails,
    VersionRef,
)

logger = logging.getLogger(__name__)

STAGE_TAG = "lifecycle.stage"
STAGES = frozenset({"None", "Staging", "Production", "Archived"})
WEBHOOK_NAME = "stagegate"
WEBHOOK_EVENTS = (
    ("REGISTERED_MODEL", "CREATED"),
    ("MODEL_VERSION", "CREATED"),
    ("MODEL_VERSION_TAG", "SET"),
    ("MODEL_VERSION_TAG", "DELETED"),
    ("MODEL_VERSION_ALIAS", "CREATED"),
    ("MODEL_VERSION_ALIAS", "DELETED"),
)
MAX_ANSWER_BYTES = 512 * 1024 * 1024
MAX_MODEL_FILE_BYTES = 8 * 1024 * 1024
MAX_ENTRIES = 2_000
"""Entries of one folder that are read for somebody who waits; of a folder with more, the first ones."""
MAX_FILES = 100_000
"""Files and folders that a model may have before its listing is given up."""
DELETION_SECONDS = 60.0
"""How long MLflow may take to delete one directory: it asks the store behind it for every file."""
STORE_PROGRAM = Path(__file__).with_name("artifact_store.py")
TOO_MANY = 3
"""The exit code of STORE_PROGRAM when a place has more files than MAX_FILES."""
_NOT_ALLOWED = re.compile(r"\b(401|403)\b|AccessDenied|Forbidden|PermissionDenied|Unauthorized|InvalidAccessKeyId")
FETCH_PROGRAM = (
    "import sys; from mlflow.artifacts import download_artifacts; "
    "download_artifacts(artifact_uri=sys.argv[1], dst_path=sys.argv[2])"
)


class _MissingEndpointError(PermanentError):
    """The server does not know this kind of request (any more)."""


class _ServerFaultError(TemporaryError):
    """The server answered 500: it failed on this one request, and may well answer others."""


class _BasicAuth(AuthBase):
    """Name and password in UTF-8: the one of ``requests`` knows Latin-1 only."""

    def __init__(self, user: str, password: str) -> None:
        self._value = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = self._value
        return request


class MlflowRegistry:
    """The ``Registry`` port on an MLflow server.

    ``timeout_seconds`` bounds connecting, and again the whole answer; ``retries`` is how often a request that
    failed in a temporary way is sent again at once. Every write is idempotent. Credentials come from MLflow's
    own variables: MLFLOW_TRACKING_USERNAME and _PASSWORD, _TOKEN, _INSECURE_TLS, _SERVER_CERT_PATH, _CLIENT_CERT_PATH.
    """

    def __init__(
        self,
        tracking_uri: str,
        *,
        timeout_seconds: float = 5,
        retries: int = 1,
        download_seconds: float = 600,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._base = tracking_uri.rstrip("/")
        self._timeout_seconds = timeout_seconds
        self._retries = retries
        self._download_seconds = download_seconds
        self._environment = dict(os.environ if environment is None else environment)
        self._sessions: dict[int, tuple[int, requests.Session]] = {}

    def close(self) -> None:
        """Close the kept connections; the next call opens new ones."""
        for _, session in self._sessions.values():
            session.close()
        self._sessions.clear()

    # ------------------------------------------------------------ reading

    def models(self, *, limit: int, page_token: str | None = None) -> Page[RegistryModel]:
        query = _query(max_results=min(limit, 1000), order_by="name ASC", page_token=page_token)
        answer = self._api("GET", "registered-models/search", query=query)
        with _understanding():
            items = tuple(map(_model, answer.get("registered_models", ())))
        return Page(items, answer.get("next_page_token") or None)

    def versions(
        self, *, limit: int, page_token: str | None = None, newest_first: bool = False
    ) -> Page[RegistryVersion]:
        order = ["last_updated_timestamp DESC"] if newest_first else ["name ASC", "version_number ASC"]
        query = _query(max_results=min(limit, 200_000), order_by=order, page_token=page_token)
        answer = self._api("GET", "model-versions/search", query=query)
        with _understanding():
            items = tuple(map(_version, answer.get("model_versions", ())))
        return Page(items, answer.get("next_page_token") or None)

    def model(self, name: str) -> RegistryModel:
        answer = self._api("GET", "registered-models/get", query={"name": name})
        with _understanding():
            return _model(answer["registered_model"])

    def version(self, ref: VersionRef) -> RegistryVersion:
        answer = self._api("GET", "model-versions/get", query=_names(ref))
        with _understanding():
            return _version(answer["model_version"])

    def details(self, version: RegistryVersion) -> VersionDetails:
        """The run's metrics, parameters and tags, and the model's signature; whatever of it exists."""
        run = self._run(version.run_id)
        model_file = self._model_file(version.ref)
        with _understanding():
            return _details(run, model_file)

    def _run(self, run_id: str) -> dict[str, Any]:
        if not run_id:
            return {}
        try:
            return self._api("GET", "runs/get", query={"run_id": run_id})
        except NotFoundError:
            return {}

    def _model_file(self, ref: VersionRef) -> dict[str, Any]:
        """The model's description file, ``MLmodel``; empty when there is none or the server can't read it."""
        try:
            text = self._read(
                "GET",
                "/model-versions/get-artifact",
                query={**_names(ref), "path": "MLmodel"},
                limit=MAX_MODEL_FILE_BYTES,
            )
        except (PermanentError, _ServerFaultError) as error:
            logger.info("no model description for %r: %s", ref, error)
            return {}
        return _yaml_mapping(text)

    # ------------------------------------------------------------ writing

    def set_stage(self, ref: VersionRef, stage: str) -> None:
        self._ensure(
            lambda: self.version(ref).stage == stage,
            lambda: self._write_stage(ref, stage),
            f"{ref} to stage {stage}",
        )

    def _write_stage(self, ref: VersionRef, stage: str) -> None:
        body = {**_names(ref), "stage": stage, "archive_existing_versions": False}
        try:
            self._api("POST", "model-versions/transition-stage", body=body)
        except _MissingEndpointError:
            logger.info("this MLflow has no stages; %r gets tag %s=%s", ref, STAGE_TAG, stage)
            self._write_tags(ref, {STAGE_TAG: stage})

    def set_alias(self, model: str, alias: str, version: int) -> None:
        body = {"name": model, "alias": alias, "version": str(version)}
        self._ensure(
            lambda: self.model(model).aliases.get(alias) == version,
            lambda: self._api("POST", "registered-models/alias", body=body),
            f"alias {alias} of {model} to version {version}",
        )

    def delete_alias(self, model: str, alias: str) -> None:
        self._ensure(
            lambda: alias not in self.model(model).aliases,
            lambda: self._api("DELETE", "registered-models/alias", body={"name": model, "alias": alias}),
            f"no alias {alias} of {model}",
        )

    def set_tags(self, ref: VersionRef, tags: Mapping[str, str]) -> None:
        self._ensure(
            lambda: tags.items() <= self.version(ref).tags.items(),
            lambda: self._write_tags(ref, tags),
            f"tags {', '.join(tags)} of {ref}",
        )

    def _write_tags(self, ref: VersionRef, tags: Mapping[str, str]) -> None:
        for key, value in tags.items():
            self._api("POST", "model-versions/set-tag", body={**_names(ref), "key": key, "value": value})

    def _ensure(self, holds: Callable[[], bool], write: Callable[[], object], what: str) -> None:
        """Bring about a state: look, write if it is not so, and look again.

        A write whose reply was lost has often been applied, so the second look decides, not the reply.
        """
        if holds():
            return
        failure: TemporaryError | None = None
        try:
            write()
        except TemporaryError as error:
            failure = error
        if not holds():
            raise failure or TemporaryError(f"MLflow accepted {what} but does not show it.")

    def delete_version(self, ref: VersionRef) -> None:
        self._ensure(
            lambda: not self._has_version(ref),
            lambda: self._api("DELETE", "model-versions/delete", body=_names(ref)),
            f"the deletion of {ref}",
        )

    def _has_version(self, ref: VersionRef) -> bool:
        try:
            self.version(ref)
        except NotFoundError:
            return False
        return True

    # ------------------------------------------------------------ files

    def location(self, ref: VersionRef) -> str:
        answer = self._api("GET", "model-versions/get-download-uri", query=_names(ref))
        return str(answer.get("artifact_uri", ""))

    def files(self, source: str, run_id: str) -> tuple[ArtifactFile, ...]:
        """Raises PermanentError for a source that is no address in a store, or that has more than MAX_FILES files."""
        place = self._place(source)
        return () if place is None else self._list(place)

    def delete_files(self, source: str, run_id: str) -> None:
        """Delete the files, make sure that they are gone, and mark the logged model that they were as deleted."""
        place = self._place(source)
        if place is None:
            return
        if original_of(source) is not None:
            raise PermanentError(f"{source[:200]!r} names the files of another version.")
        need_one_model(place, run_id)
        self._delete(place)
        if self._list(place):
            raise TemporaryError(f"The store accepted the deletion of {place.address} but still shows files there.")
        if place.model_id:
            self._delete_logged_model(place.model_id)

    def _place(self, source: str) -> Place | None:
        """Where the source leads; None when it was a logged model that MLflow has forgotten, files and all."""
        parts = urllib.parse.urlsplit(source)
        if parts.scheme == "runs":
            run_id, _, path = parts.path.lstrip("/").partition("/")
            answer = self._api("GET", "runs/get", query={"run_id": run_id})
            with _understanding():
                return below(parse(answer["run"]["info"]["artifact_uri"]), path)
        original = original_of(source)
        if original is not None:
            return parse(self.location(VersionRef(*original)))
        if parts.scheme == "models":
            return self._place_of_logged_model(parts.path.lstrip("/"))
        return parse(source)

    def _place_of_logged_model(self, model_id: str) -> Place | None:
        path = f"logged-models/{urllib.parse.quote(model_id, safe='')}"
        try:
            answer = self._api("GET", path, query={"allow_deleted": "true"})
        except NotFoundError:
            return None
        with _understanding():
            return parse(answer["model"]["info"]["artifact_uri"])

    def _delete_logged_model(self, model_id: str) -> None:
        with suppress(NotFoundError):
            self._api("DELETE", f"logged-models/{model_id}")

    def _list(self, place: Place) -> tuple[ArtifactFile, ...]:
        if place.scheme != STORE:
            return self._list_by_sdk(place)
        self._need_own_store(place)
        found = self._walk(place)
        if not found and place.parts:
            # A source can be a single file, whose own listing is empty.
            beside = self._entries(place.parent)
            found = [each for each, is_folder in beside if each.path == place.parts[-1] and not is_folder]
        return tuple(sorted(found, key=_by_path))

    def _walk(self, place: Place) -> list[ArtifactFile]:
        deadline = time.monotonic() + self._download_seconds
        folders, found, seen = [""], [], 0
        while folders:
            folder = folders.pop()
            for each, is_folder in self._entries(below(place, folder) if folder else place):
                seen += 1
                path = f"{folder}/{each.path}" if folder else each.path
                if is_folder:
                    folders.append(path)
                else:
                    found.append(ArtifactFile(path, each.size))
            if seen > MAX_FILES:
                raise PermanentError(f"{place.address} has more than {MAX_FILES:,} files.")
            if time.monotonic() > deadline:
                raise TemporaryError(f"Listing {place.address} took longer than {self._download_seconds:g} seconds.")
        return found

    def _entries(self, place: Place) -> list[tuple[ArtifactFile, bool]]:
        """What is directly in a folder of MLflow's own store, and whether it is a folder again."""
        content = self._read("GET", "/api/2.0/mlflow-artifacts/artifacts", query={"path": place.path})
        with _understanding():
            entries = [
                (ArtifactFile(item["path"], int(item.get("file_size", 0))), bool(item["is_dir"]))
                for item in json.loads(content).get("files", ())
            ]
        for entry, _ in entries:
            if entry.path in {"", ".", ".."} or "/" in entry.path:
                raise PermanentError(f"{place.address} holds {entry.path[:100]!r}, which is not a plain name.")
        return entries

    def _delete(self, place: Place) -> None:
        if place.scheme != STORE:
            self._store_program("delete", place)
            return
        self._need_own_store(place)
        path = f"/api/2.0/mlflow-artifacts/artifacts/{urllib.parse.quote(place.path)}"
        self._read("DELETE", path, seconds=max(self._timeout_seconds, DELETION_SECONDS))

    def _need_own_store(self, place: Place) -> None:
        if place.authority not in {"", urllib.parse.urlsplit(self._base).netloc}:
            raise PermanentError(f"{place.address} is the store of another MLflow server.")

    def _list_by_sdk(self, place: Place) -> tuple[ArtifactFile, ...]:
        output = self._store_program("list", place, str(MAX_FILES))
        with _understanding():
            return tuple(sorted((ArtifactFile(path, size) for path, size in json.loads(output)), key=_by_path))

    def _store_program(self, command: str, place: Place, *arguments: str) -> str:
        """What the SDK's program prints. Raises PermanentError when the store does not let us."""
        code, output, errors = _run_for(
            [sys.executable, "-P", str(STORE_PROGRAM), command, place.address, *arguments],
            self._sdk_environment(),
            self._download_seconds,
        )
        if code == 0:
            return output
        if code is None:
            raise TemporaryError(f"{place.address} did not answer within {self._download_seconds:g} seconds.")
        if code == TOO_MANY:
            raise PermanentError(f"{place.address} has more than {MAX_FILES:,} files.")
        said = f"{place.address} could not be read or emptied: {_last_line(errors)}"
        raise PermanentError(said) if _NOT_ALLOWED.search(errors) else TemporaryError(said)

    def download(self, ref: VersionRef, destination: Path) -> None:
        """Copy the version's files below ``destination``; at most ``download_seconds``.

        Raises PermanentError when the version's files are where only MLflow's own machine can read them, or when
        a file would lie outside of ``destination`` or is not a plain file.
        """
        source = self.location(ref)
        scheme = urllib.parse.urlsplit(source).scheme
        if scheme not in FETCHABLE_SCHEMES:
            raise PermanentError(
                f"The files of {ref} can't be fetched from {source or 'nowhere'!r}: "
                f"only {', '.join(sorted(FETCHABLE_SCHEMES))} addresses are read."
            )
        staging = destination / ".fetching"
        staging.mkdir()
        self._fetch(ref, source, staging)
        _check_files(ref, staging)
        _move_up(staging, destination)

    def _fetch(self, ref: VersionRef, source: str, destination: Path) -> None:
        code, _, errors = _run_for(
            [sys.executable, "-c", FETCH_PROGRAM, source, str(destination)],
            self._sdk_environment(),
            self._download_seconds,
        )
        if code is None:
            raise TemporaryError(f"The files of {ref} took longer than {self._download_seconds:g} seconds.")
        if code != 0:
            raise TemporaryError(f"The files of {ref} could not be fetched: {_last_line(errors)}")

    def _sdk_environment(self) -> dict[str, str]:
        return {
            **self._environment,
            "MLFLOW_TRACKING_URI": self._base,
            "MLFLOW_HTTP_REQUEST_TIMEOUT": str(max(1, math.ceil(self._timeout_seconds))),
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": str(self._retries),
            "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        }

    # ------------------------------------------------------------ what somebody waits for: one try, and a short time

    def folder(
        self, version: RegistryVersion, keeper: Keeper, path: str = "", *, seconds: float
    ) -> tuple[ArtifactEntry, ...]:
        """By MLflow's own listing, which knows every store; the files of a model that was logged by itself are not
        among its run's."""
        if keeper == Keeper.RUN:
            where, query = "artifacts/list", {"run_id": version.run_id, **({"path": path} if path else {})}
        else:
            model_id = self._model_id(version, seconds)
            where = f"logged-models/{urllib.parse.quote(model_id, safe='')}/artifacts/directories" if model_id else ""
            query = {"artifact_directory_path": path} if path else {}
        if not where or (keeper == Keeper.RUN and not version.run_id):
            return ()
        try:
            answer = self._api("GET", where, query=query, seconds=seconds)
        except NotFoundError:
            return ()
        with _understanding():
            return tuple(sorted(_entries_below(path, answer.get("files", ())), key=_by_path))

    def _model_id(self, version: RegistryVersion, seconds: float) -> str:
        """The logged model that the version is, "" when its files are not those of one."""
        source = version.source
        if original_of(source) is not None:
            answer = self._api("GET", "model-versions/get-download-uri", query=_names(version.ref), seconds=seconds)
            source = str(answer.get("artifact_uri", ""))
        if source.startswith("models:/"):
            return source.removeprefix("models:/")
        try:
            return parse(source).model_id
        except PermanentError:
            return ""

    def content(self, version: RegistryVersion, keeper: Keeper, path: str, *, most: int, seconds: float) -> bytes:
        if keeper == Keeper.RUN:
            where, query = "/get-artifact", {"run_id": version.run_id, "path": path}
        else:
            where, query = "/model-versions/get-artifact", {**_names(version.ref), "path": path}
        return self._read("GET", where, query=query, limit=most, seconds=seconds, retries=0)

    def run_origin(self, run_id: str, *, seconds: float) -> RunOrigin:
        answer = self._api("GET", "runs/get", query={"run_id": run_id}, seconds=seconds)
        with _understanding():
            return _origin(answer["run"])

    # ------------------------------------------------------------ webhooks

    def ensure_webhook(self, url: str, secret: str) -> None:
        """Have MLflow tell ``url`` about every change it knows how to tell, signed with ``secret``.

        The secret can't be read back, so it is written each time. Extra webhooks of our name, left by a create
        whose reply was lost, are deleted. Raises PermanentError when the server refuses the address: http and
        private addresses need MLFLOW_WEBHOOK_ALLOWED_SCHEMES and MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS on the server.
        """
        wanted = {
            "url": url,
            "secret": secret,
            "status": "ACTIVE",
            "events": [{"entity": entity, "action": action} for entity, action in WEBHOOK_EVENTS],
        }
        ours = sorted(self._our_webhooks())
        if not ours:
            self._api("POST", "webhooks", body={"name": WEBHOOK_NAME, **wanted})
            return
        self._api("PATCH", f"webhooks/{ours[0]}", body=wanted)
        for extra in ours[1:]:
            self._api("DELETE", f"webhooks/{extra}")

    def _our_webhooks(self) -> Iterable[str]:
        page_token = None
        while True:
            answer = self._api("GET", "webhooks", query=_query(max_results=100, page_token=page_token))
            for webhook in answer.get("webhooks", ()):
                if webhook.get("name") == WEBHOOK_NAME:
                    yield urllib.parse.quote(webhook["webhook_id"], safe="")
            page_token = answer.get("next_page_token")
            if not page_token:
                return

    # ------------------------------------------------------------ the wire

    def _api(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        seconds: float | None = None,
    ) -> dict[str, Any]:
        """``seconds``: somebody waits, so it is tried once, and for no longer."""
        retries = self._retries if seconds is None else 0
        content = self._read(
            method, f"/api/2.0/mlflow/{path}", query=query, body=body, seconds=seconds, retries=retries
        )
        try:
            answer = json.loads(content or b"{}")
        except ValueError as error:
            raise TemporaryError(f"MLflow's answer to {path} is not JSON.") from error
        if not isinstance(answer, dict):
            raise TemporaryError(f"MLflow's answer to {path} is not an object.")
        return answer

    def _read(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        limit: int = MAX_ANSWER_BYTES,
        seconds: float | None = None,
        retries: int | None = None,
    ) -> bytes:
        seconds = self._timeout_seconds if seconds is None else seconds
        try:
            with self._session(retries).request(
                method,
                self._base + path,
                params=query,
                json=body,
                timeout=seconds,
                allow_redirects=False,
                stream=True,
            ) as response:
                content = _content(response, limit)
        except UnicodeEncodeError as error:
            raise PermanentError("MLflow can't be asked for a name that is not valid text.") from error
        except (
            requests.exceptions.InvalidURL,
            requests.exceptions.InvalidSchema,
            requests.exceptions.MissingSchema,
        ) as error:
            raise PermanentError(f"MLflow's address is not valid: {self._base!r}.") from error
        except requests.exceptions.Timeout as error:
            raise TemporaryError(f"MLflow did not answer within {seconds:g} seconds.") from error
        except requests.exceptions.RequestException as error:
            raise TemporaryError(f"MLflow can't be reached or broke off ({type(error).__name__}).") from error
        _raise_for(response.status_code, content, path)
        return content

    def _session(self, retries: int | None = None) -> requests.Session:
        """This process's session: a forked worker must not share its parent's connections."""
        retries = self._retries if retries is None else retries
        known = self._sessions.get(retries)
        if known is None or known[0] != os.getpid():
            known = self._sessions[retries] = (os.getpid(), self._new_session(retries))
        return known[1]

    def _new_session(self, retries: int) -> requests.Session:
        session = deadline_session(retries=retries)
        get = self._environment.get
        user, token = get("MLFLOW_TRACKING_USERNAME"), get("MLFLOW_TRACKING_TOKEN")
        if user:
            session.auth = _BasicAuth(user, get("MLFLOW_TRACKING_PASSWORD", ""))
        elif token:
            session.headers["Authorization"] = f"Bearer {token}"
        session.verify = get("MLFLOW_TRACKING_SERVER_CERT_PATH") or True
        if get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in {"true", "1"}:
            session.verify = False
        session.cert = get("MLFLOW_TRACKING_CLIENT_CERT_PATH")
        return session


@contextmanager
def _understanding() -> Iterator[None]:
    """What is not of MLflow's form is an error of the server's, not a crash of ours."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise PermanentError(f"MLflow's answer is not of the form it should have ({error!r:.100}).") from error


def _content(response: requests.Response, limit: int) -> bytes:
    """The body, at most ``limit`` bytes of it."""
    content = bytearray()
    for chunk in response.iter_content(1 << 20):
        content += chunk
        if len(content) > limit:
            raise PermanentError(f"MLflow's answer is longer than {limit} bytes.")
    return bytes(content)


def _raise_for(status: int, content: bytes, path: str) -> None:
    if status == 200:
        return
    code, message = _error(content)
    said = f"MLflow answered {status}" + (f": {message[:300]}" if message else ".")
    if code == "RESOURCE_DOES_NOT_EXIST":
        raise NotFoundError(said)
    if status == 501 or code in {"NOT_IMPLEMENTED", "ENDPOINT_NOT_FOUND"} or (status in {404, 405} and not code):
        raise _MissingEndpointError(f"MLflow does not offer {path}.")
    if status == 500:
        raise _ServerFaultError(said)
    if status in {408, 429} or status > 500:
        raise TemporaryError(said)
    raise PermanentError(said)


def _error(content: bytes) -> tuple[str, str]:
    """MLflow's error code and message, empty when something else answered."""
    try:
        answer = json.loads(content)
    except ValueError:
        return "", ""
    if not isinstance(answer, dict):
        return "", ""
    return str(answer.get("error_code", "")), str(answer.get("message", ""))


def _query(**values: Any) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def _names(ref: VersionRef) -> dict[str, str]:
    return {"name": ref.model, "version": str(ref.version)}


def _model(item: Mapping[str, Any]) -> RegistryModel:
    return RegistryModel(
        name=item["name"],
        description=item.get("description", ""),
        created_at=_time(item.get("creation_timestamp")),
        updated_at=_time(item.get("last_updated_timestamp")),
        tags=_pairs(item.get("tags", ())),
        aliases={alias["alias"]: int(alias["version"]) for alias in item.get("aliases", ())},
    )


def _version(item: Mapping[str, Any]) -> RegistryVersion:
    tags = _pairs(item.get("tags", ()))
    return RegistryVersion(
        ref=VersionRef(item["name"], int(item["version"])),
        stage=_stage(item.get("current_stage") or tags.get(STAGE_TAG, "")),
        description=item.get("description", ""),
        created_at=_time(item.get("creation_timestamp")),
        updated_at=_time(item.get("last_updated_timestamp")),
        source=item.get("source", ""),
        run_id=item.get("run_id", ""),
        status=item.get("status", "READY"),
        tags=tags,
    )


def _details(answer: Mapping[str, Any], model_file: Mapping[str, Any]) -> VersionDetails:
    run = answer.get("run", {})
    info, data = run.get("info", {}), run.get("data", {})
    return VersionDetails(
        metrics={item["key"]: float(item.get("value", math.nan)) for item in data.get("metrics", ())},
        params=_pairs(data.get("params", ())),
        run_tags=_pairs(data.get("tags", ())),
        run_name=info.get("run_name", ""),
        experiment_id=info.get("experiment_id", ""),
        signature=_signature(model_file.get("signature")),
        flavors=_flavors(model_file.get("flavors")),
    )


def _origin(run: Mapping[str, Any]) -> RunOrigin:
    tags = _pairs(run.get("data", {}).get("tags", ()))
    given = run.get("inputs", {}).get("dataset_inputs", ())
    return RunOrigin(
        parent_id=tags.get("mlflow.parentRunId", ""),
        datasets=tuple(map(_dataset, given)),
    )


def _dataset(given: Mapping[str, Any]) -> Dataset:
    about = given["dataset"]
    return Dataset(
        name=str(about.get("name", "")),
        digest=str(about.get("digest", "")),
        source_type=str(about.get("source_type", "")),
        context=_pairs(given.get("tags", ())).get("mlflow.data.context", ""),
    )


def _entries_below(folder: str, files: Iterable[Mapping[str, Any]]) -> Iterator[ArtifactEntry]:
    """What is truly in the folder: a listing that leads elsewhere is not followed."""
    above = f"{folder}/" if folder else ""
    for item in itertools.islice(files, MAX_ENTRIES):
        path = str(item["path"])
        name = path.removeprefix(above)
        if path == f"{above}{name}" and "/" not in name and name not in {"", ".", ".."}:
            yield ArtifactEntry(path, int(item.get("file_size", 0)), bool(item.get("is_dir", False)))


def _stage(word: str) -> str:
    """A tag can be anything; what is not a stage counts as none."""
    return word if word in STAGES else "None"


def _time(milliseconds: int | str | None) -> datetime | None:
    return None if milliseconds is None else datetime.fromtimestamp(int(milliseconds) / 1000, UTC)


def _pairs(items: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    return {item["key"]: item.get("value", "") for item in items}


def _yaml_mapping(content: bytes) -> dict[str, Any]:
    try:
        loaded = yaml.load(content, Loader=yaml.CSafeLoader)
    except (yaml.YAMLError, ValueError, RecursionError):
        return {}
    return loaded if isinstance(loaded, dict) else {}


def _signature(written: object) -> dict[str, Any] | None:
    """MLflow writes each part of a signature as a string of JSON inside of the YAML."""
    if not isinstance(written, dict):
        return None
    try:
        return {
            part: json.loads(written[part]) if isinstance(written.get(part), str) else None
            for part in ("inputs", "outputs", "params")
        }
    except (ValueError, RecursionError):
        return None


def _flavors(written: object) -> tuple[str, ...]:
    return tuple(sorted(map(str, written))) if isinstance(written, dict) else ()


def _by_path(file: ArtifactFile | ArtifactEntry) -> str:
    return file.path


def _last_line(errors: str) -> str:
    return (errors.strip().splitlines() or ["no reason given"])[-1][:300]


def _run_for(command: list[str], environment: Mapping[str, str], seconds: float) -> tuple[int | None, str, str]:
    """Exit code, output and errors of a command; code None when it was stopped, with all its children, for time."""
    with subprocess.Popen(  # noqa: S603 - our own program; the address is an argument, no shell reads it
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            output, errors = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            return None, "", ""
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    return process.returncode, output, errors


def _move_up(staging: Path, destination: Path) -> None:
    """Put the files at the top of ``destination``: the SDK keeps the last part of some addresses as a folder."""
    inside = list(staging.iterdir())
    top = inside[0] if len(inside) == 1 and inside[0].is_dir() else staging
    for path in list(top.iterdir()):
        path.rename(destination / path.name)
    shutil.rmtree(staging)


def _check_files(ref: VersionRef, destination: Path) -> None:
    """Refuse links and special files: nothing that was fetched may lead out of ``destination``."""
    root = destination.resolve(strict=True)
    for path in destination.rglob("*"):
        plain = (path.is_file() or path.is_dir()) and not path.is_symlink()
        if not plain or not path.resolve().is_relative_to(root):
            raise PermanentError(f"The files of {ref} hold {path.name!r}, which is not a plain file.")

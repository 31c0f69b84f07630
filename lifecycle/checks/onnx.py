"""The few messages of the ONNX format that say where a model's tensors are stored."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory

from lifecycle.checks.names import UnfitError

_MESSAGES: dict[str, dict[str, tuple[int, str]]] = {
    "Model": {"graph": (7, "Graph"), "training": (20, "Training"), "functions": (25, "Function")},
    "Graph": {"nodes": (1, "Node"), "tensors": (5, "Tensor"), "sparse": (15, "Sparse")},
    "Training": {"initialization": (1, "Graph"), "algorithm": (2, "Graph")},
    "Function": {"nodes": (7, "Node")},
    "Node": {"attributes": (5, "Attribute")},
    "Attribute": {
        "tensor": (5, "Tensor"),
        "graph": (6, "Graph"),
        "tensors": (10, "Tensor"),
        "graphs": (11, "Graph"),
        "sparse": (22, "Sparse"),
        "sparses": (23, "Sparse"),
    },
    "Sparse": {"values": (1, "Tensor"), "indices": (2, "Tensor")},
    "Tensor": {"external": (13, "Entry")},
    "Entry": {"key": (1, ""), "value": (2, "")},
}
"""Field numbers of onnx.proto by message; fields that are left out are passed over. "" is a text. Every field is taken
as repeated, which reads single ones as well."""


def _model_class() -> type[message.Message]:
    file = descriptor_pb2.FileDescriptorProto(name="stagegate_onnx.proto", package="stagegate.onnx", syntax="proto2")
    for name, fields in _MESSAGES.items():
        described = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            described.field.add(
                name=field,
                number=number,
                label=descriptor_pb2.FieldDescriptorProto.LABEL_REPEATED,
                type=descriptor_pb2.FieldDescriptorProto.TYPE_MESSAGE
                if kind
                else descriptor_pb2.FieldDescriptorProto.TYPE_BYTES,
                type_name=f".stagegate.onnx.{kind}" if kind else None,
            )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("stagegate.onnx.Model"))


_MODEL = _model_class()


def external_files(content: bytes) -> Iterator[str]:
    """The paths of the files that an ONNX model takes tensors from. Raises UnfitError for what is no ONNX model."""
    model: Any = _MODEL()
    try:
        model.ParseFromString(content)
    except message.DecodeError as error:
        raise UnfitError("is no ONNX model") from error
    if not model.graph:
        raise UnfitError("is no ONNX model: it has no graph")
    return _locations(model)


def _locations(part: Any) -> Iterator[str]:
    for field, values in part.ListFields():
        if field.message_type is None:
            continue
        for value in values:
            if field.message_type.name != "Entry":
                yield from _locations(value)
            elif b"location" in value.key:
                yield from (location.decode("utf-8", "replace") for location in value.value)

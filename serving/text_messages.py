"""Reads TF Serving's configuration files in protobuf text.

The Python package tensorflow-serving-api lacks some of the messages that
tensorflow_model_server reads; they are described here field by field.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf
from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
)

from serving.config_error import ConfigError

_Field = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "int64": _Field.TYPE_INT64,
    "bool": _Field.TYPE_BOOL,
    "string": _Field.TYPE_STRING,
}
# Message name -> field name -> type; a * marks a repeated field.
Messages = Mapping[str, Mapping[str, str]]


def read(path: str, flag: str, messages: Messages) -> Any:
    """The message in a file, of the first type in `messages`.

    Args:
        path: local or remote file of protobuf text.
        flag: the command line's name of the file, for errors.
        messages: types by name; a field's type is int64, bool, string or one
            of them.

    Raises:
        ConfigError: the file cannot be read or has other fields.
    """
    message = _message_class(messages)()
    try:
        with tf.io.gfile.GFile(path) as file:
            text_format.Parse(file.read(), message)
    except (
        tf.errors.OpError,
        UnicodeDecodeError,
        text_format.ParseError,
    ) as error:
        raise ConfigError(f"{path} (--{flag}): {error}") from error
    return message


def _message_class(messages: Messages) -> Any:
    file = descriptor_pb2.FileDescriptorProto(
        name="config.proto", package="config", syntax="proto3"
    )
    for name, fields in messages.items():
        message = file.message_type.add(name=name)
        for number, (field, kind) in enumerate(fields.items(), start=1):
            added = message.field.add(
                name=field,
                number=number,
                label=_Field.LABEL_REPEATED
                if kind.endswith("*")
                else _Field.LABEL_OPTIONAL,
            )
            kind = kind.rstrip("*")
            if kind in _SCALARS:
                added.type = _SCALARS[kind]
            else:
                added.type, added.type_name = _Field.TYPE_MESSAGE, kind
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    descriptor = pool.FindMessageTypeByName(f"config.{next(iter(messages))}")
    return message_factory.MessageFactory(pool).GetPrototype(descriptor)

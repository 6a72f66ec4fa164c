"""Reflection by the official client, which knows v1alpha alone, and by the newer name."""

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from protocol import FILES, MODULES
from services import REFLECTION_V1, described


@pytest.fixture
def database(client):
    """What the official client reads."""
    return ProtoReflectionDescriptorDatabase(client.channel)


def test_services_are_those_of_the_protocol(database):
    own = {service for service in database.get_services() if service.startswith("lapel.")}
    assert own == {s.full_name for module in MODULES for s in module.DESCRIPTOR.services_by_name.values()}


@pytest.mark.parametrize("file", FILES, ids=str)
def test_files_are_those_of_this_build(database, file):
    told = database.FindFileByName(str(file))
    module = next(module for module in MODULES if module.DESCRIPTOR.name == str(file))
    compiled = descriptor_pb2.FileDescriptorProto()
    module.DESCRIPTOR.CopyToProto(compiled)
    assert _bare(told) == _bare(compiled)


def _bare(file):
    """A file without what compilers may add or leave out: names in JSON, comments."""
    bare = descriptor_pb2.FileDescriptorProto()
    bare.CopyFrom(file)
    bare.ClearField("source_code_info")
    messages = list(bare.message_type)
    while messages:
        message = messages.pop()
        messages += message.nested_type
        for field in message.field:
            field.ClearField("json_name")
    return bare


def test_a_method_is_called_by_what_reflection_tells_alone(client, database, items):
    pool = descriptor_pool.DescriptorPool(database)
    method = pool.FindServiceByName("lapel.v1.CatalogService").FindMethodByName("GetItem")
    asked, answered = map(message_factory.GetMessageClass, (method.input_type, method.output_type))
    get_item = client.channel.unary_unary(
        f"/{method.containing_service.full_name}/{method.name}",
        request_serializer=asked.SerializeToString,
        response_deserializer=answered.FromString,
    )
    assert get_item(asked(id=items[0].id)).item.id == items[0].id


def test_both_names_tell_the_same_services(client, database):
    assert set(described(client.channel, REFLECTION_V1)) == set(database.get_services()) ^ {
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    }


def test_an_unknown_symbol_is_told_as_such(database):
    with pytest.raises(grpc.RpcError) as raised:
        database.FindFileContainingSymbol("lapel.v1.Nothing")
    assert raised.value.code() == grpc.StatusCode.NOT_FOUND

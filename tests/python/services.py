"""Which services and methods the server says that it has."""

from google.protobuf import descriptor_pb2
from grpc_reflection.v1alpha import reflection_pb2

#: The newer name; the messages are the same on the wire, and the official client does not know it yet.
REFLECTION_V1 = "grpc.reflection.v1.ServerReflection"
REFLECTION_V1ALPHA = "grpc.reflection.v1alpha.ServerReflection"


def _ask(channel, service, **question):
    ask = channel.stream_stream(
        f"/{service}/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    # To its end, so that the call is one that was answered.
    return list(ask(iter([reflection_pb2.ServerReflectionRequest(**question)])))[0]


def described(channel, reflection):
    """The methods of every service, by the service's name, as reflection of this name tells them."""
    listed = _ask(channel, reflection, list_services="*").list_services_response.service
    return {one.name: _methods(channel, reflection, one.name) for one in listed}


def _methods(channel, reflection, service):
    answer = _ask(channel, reflection, file_containing_symbol=service)
    for serialized in answer.file_descriptor_response.file_descriptor_proto:
        file = descriptor_pb2.FileDescriptorProto.FromString(serialized)
        for one in file.service:
            if f"{file.package}.{one.name}" == service:
                return [method.name for method in one.method]
    raise AssertionError(f"reflection lists {service} and does not describe it")


def methods(channel):
    """Every method that the server has, as `service/method`. Each reflection lists itself and not the other."""
    services = described(channel, REFLECTION_V1) | described(channel, REFLECTION_V1ALPHA)
    return {f"{service}/{method}" for service, names in services.items() for method in names}

"""The line to Triton: to one server, or to several that gRPC calls in turn, leaving out those that do not answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

_OPTIONS = [
    ("grpc.max_send_message_length", 2**31 - 1),
    ("grpc.max_receive_message_length", 2**31 - 1),
    ("grpc.keepalive_time_ms", 15_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # By gRPC's own pauses, which double up to two minutes, a Triton that is back would be noticed long after.
    ("grpc.initial_reconnect_backoff_ms", 250),
    ("grpc.min_reconnect_backoff_ms", 2_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.service_config", '{"loadBalancingConfig": [{"round_robin": {}}]}'),
]
_INFER = "/inference.GRPCInferenceService/ModelInfer"


@dataclass(frozen=True, slots=True)
class Line:
    """`send` takes an inference as bytes: it is put together from parts that are known already, and copied once."""

    addresses: frozenset[str]
    channel: Any
    stub: Any
    send: Any


def open_line(addresses: Sequence[str]) -> Line:
    """Connects when it is first used. Several addresses are numbers, of one family."""
    channel = grpc.aio.insecure_channel(_target(addresses), options=_OPTIONS)
    stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
    send = channel.unary_unary(_INFER, response_deserializer=service_pb2.ModelInferResponse.FromString)
    return Line(frozenset(addresses), channel, stub, send)


def _target(addresses: Sequence[str]) -> str:
    if len(addresses) == 1:
        return addresses[0]
    version = ip_address(addresses[0].rpartition(":")[0].strip("[]")).version
    return f"ipv{version}:{','.join(sorted(addresses))}"

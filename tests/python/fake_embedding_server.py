"""An EmbeddingService on a real socket that answers as the test says."""

import concurrent.futures
import dataclasses
import threading

import grpc
import numpy as np
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from tome_client.v1 import embedding_pb2 as pb

SERVICE = "tome.v1.EmbeddingService"


@dataclasses.dataclass
class Call:
    request: pb.EmbedRequest
    metadata: dict


class Failure(Exception):
    """A reply that is an error; `pushback` is its grpc-retry-pushback-ms. Of a stream or batch it ends all of it, unless
    it is `of_image`."""

    def __init__(self, code, message, pushback=None, of_image=False):
        super().__init__(message)
        self.code, self.message, self.pushback, self.of_image = code, message, pushback, of_image


def full(pushback):
    return Failure(grpc.StatusCode.RESOURCE_EXHAUSTED, "the queue is full", pushback)


def answer(*vector):
    """An embedding of these float32."""
    values = np.array(vector, "<f4")
    return pb.Embedding(
        vector=pb.Vector(type=pb.ELEMENT_TYPE_FLOAT32, dimensions=len(values), data=values.tobytes(), scale=1)
    )


class FakeServer:
    """`script(request, call)` gives the Embedding of an image, or raises a Failure, or returns None: never answered. The
    first image has `call` 0, whether it came by Embed, EmbedBatch or EmbedStream."""

    model = pb.ModelRef(name="vit", weights_digest="d1")

    def __init__(self, script):
        self.script = script
        self.calls = []
        self.batches = []
        self.streams = 0
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._server = grpc.server(concurrent.futures.ThreadPoolExecutor(32))
        handlers = {
            "Embed": grpc.unary_unary_rpc_method_handler(
                self._embed, pb.EmbedRequest.FromString, pb.EmbedResponse.SerializeToString
            ),
            "EmbedBatch": grpc.unary_unary_rpc_method_handler(
                self._embed_batch, pb.EmbedBatchRequest.FromString, pb.EmbedBatchResponse.SerializeToString
            ),
            "EmbedStream": grpc.stream_stream_rpc_method_handler(
                self._embed_stream, pb.EmbedStreamRequest.FromString, pb.EmbedStreamResponse.SerializeToString
            ),
            "GetModel": grpc.unary_unary_rpc_method_handler(
                self._get_model, pb.GetModelRequest.FromString, pb.GetModelResponse.SerializeToString
            ),
        }
        self._server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, handlers)])
        self.health = health.HealthServicer()
        self.health.set(SERVICE, health_pb2.HealthCheckResponse.SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(self.health, self._server)
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def stop(self):
        self._stopped.set()
        self._server.stop(None).wait()

    def _reply(self, request, context):
        with self._lock:
            call = len(self.calls)
            self.calls.append(Call(request, dict(context.invocation_metadata())))
        return self.script(request, call)

    def _abort(self, context, failure):
        if failure.pushback is not None:
            context.set_trailing_metadata([("grpc-retry-pushback-ms", failure.pushback)])
        context.abort(failure.code, failure.message)

    def _embed(self, request, context):
        try:
            embedding = self._reply(request, context)
        except Failure as failure:
            self._abort(context, failure)
        while embedding is None and context.is_active() and not self._stopped.wait(0.02):
            pass
        return pb.EmbedResponse(model=self.model, embedding=embedding)

    def _result(self, request, context):
        try:
            return pb.Result(embedding=self._reply(request, context))
        except Failure as failure:
            ends_all = failure.code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED)
            if ends_all and not failure.of_image:
                raise
            return pb.Result(error={"code": failure.code.value[0], "message": failure.message})

    def _embed_batch(self, request, context):
        self.batches.append(len(request.items))
        results = []
        for item in request.items:
            merge = item.merge if item.HasField("merge") else request.merge
            image = pb.EmbedRequest(model=request.model, input=item.input, merge=merge, output=request.output)
            try:
                results.append(self._result(image, context))
            except Failure as failure:
                self._abort(context, failure)
        return pb.EmbedBatchResponse(model=self.model, results=results)

    def _embed_stream(self, requests, context):
        self.streams += 1
        for request in requests:
            try:
                result = self._result(request.request, context)
            except Failure as failure:
                self._abort(context, failure)
            if result.embedding.ByteSize() or result.HasField("error"):
                yield pb.EmbedStreamResponse(id=request.id, model=self.model, result=result)

    def _get_model(self, request, context):
        return pb.GetModelResponse(
            model=pb.Model(name="vit", weights_digest="d1"), limits=pb.Limits(images_per_call=12, message_bytes=1 << 20)
        )

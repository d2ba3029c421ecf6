"""Many clients at once: every call ends exactly once, with a status that its story allows, and is counted."""

import collections
import concurrent.futures
import random

import grpc

CLIENTS = 64
CALLS = 12


def one_client(stub, pb, photos, seed):
    """Plain calls, hopeless deadlines, cancellations and bad requests, mixed; (story, code) of each."""
    choose = random.Random(seed)
    ended = []
    for _ in range(CALLS):
        story = choose.choice(["plain", "plain", "plain", "deadline", "cancel", "bad"])
        request = pb.EmbedRequest(
            input=pb.Input(encoded=b"not a picture" if story == "bad" else choose.choice(list(photos.values()))),
            merge=pb.MergeSpec(constant=choose.choice([0, 1, 4, 8, 30])),
        )
        call = stub.Embed.future(request, timeout=choose.choice([0.0005, 0.01]) if story == "deadline" else 60)
        if story == "cancel":
            call.cancel()
        try:
            call.result()
            ended.append((story, grpc.StatusCode.OK))
        except grpc.RpcError as error:
            ended.append((story, error.code()))
        except grpc.FutureCancelledError:
            ended.append((story, grpc.StatusCode.CANCELLED))
    return ended


def test_each_of_many_mixed_calls_ends_once_with_its_status_and_is_counted(start_server, checkpoint, photos):
    from tome.v1 import embedding_pb2 as pb

    server = start_server("--model", f"plain={checkpoint}", "--max-admitted-images", "48", "--drain-delay", "0s")

    with server.stub() as stub, concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        clients = [pool.submit(one_client, stub, pb, photos, seed) for seed in range(CLIENTS)]
        ended = collections.Counter(outcome for client in clients for outcome in client.result(timeout=120))

    code = grpc.StatusCode
    allowed = {
        "plain": {code.OK, code.RESOURCE_EXHAUSTED},
        "deadline": {code.OK, code.DEADLINE_EXCEEDED, code.RESOURCE_EXHAUSTED},
        "cancel": {code.CANCELLED},
        "bad": {code.INVALID_ARGUMENT, code.RESOURCE_EXHAUSTED},
    }
    assert sum(ended.values()) == CLIENTS * CALLS
    assert not {outcome for outcome in ended if outcome[1] not in allowed[outcome[0]]}, ended
    assert ended["plain", code.OK] > 0 and ended["bad", code.INVALID_ARGUMENT] > 0, ended

    # The server may still be dropping what clients have given up: after the drain nothing is left over.
    before = server.metrics()
    assert before['tome_requests_started_total{method="Embed"}'] <= CLIENTS * CALLS
    with server.stub() as stub:
        stub.Embed(pb.EmbedRequest(input=pb.Input(encoded=next(iter(photos.values())))), timeout=60)
    counted = settled(server)
    finished = {name: value for name, value in counted.items() if name.startswith("tome_requests_total{")}
    started = sum(value for name, value in counted.items() if name.startswith("tome_requests_started_total{"))
    assert started == sum(finished.values()), counted
    assert counted["tome_inflight_images"] == 0
    assert counted["tome_queue_images"] == 0


def settled(server):
    """The metrics once no call is under way; gives up, and lets the caller's assertions speak, after many looks."""
    for _ in range(1000):
        counted = server.metrics()
        started = sum(value for name, value in counted.items() if name.startswith("tome_requests_started_total{"))
        finished = sum(value for name, value in counted.items() if name.startswith("tome_requests_total{"))
        if started == finished:
            break
    return counted


def test_overload_is_refused_with_a_hint_and_the_hint_works(start_server, checkpoint, photos):
    from tome.v1 import embedding_pb2 as pb

    server = start_server(
        "--model", f"plain={checkpoint}", "--max-admitted-images", "1", "--max-batch-images", "1", "--drain-delay", "0s"
    )
    request = pb.EmbedRequest(input=pb.Input(encoded=photos["temple.jpg"]))

    with server.stub() as stub:
        calls = [stub.Embed.future(request, timeout=60) for _ in range(50)]
        codes = [call.code() for call in calls]
        refused = [call for call in calls if call.code() == grpc.StatusCode.RESOURCE_EXHAUSTED]

        assert set(codes) == {grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED}
        for call in refused:
            trailer = dict(call.trailing_metadata())
            assert int(trailer["grpc-retry-pushback-ms"]) > 0
        assert stub.Embed(request, timeout=60).embedding.vector.dimensions == 96
    assert server.metrics()['tome_dropped_images_total{reason="full"}'] == len(refused)


def test_batch_mates_change_neither_map_nor_bits(start_server, checkpoint, photos):
    from tome.v1 import embedding_pb2 as pb

    server = start_server(
        "--model", f"plain={checkpoint}", "--max-batch-delay", "50ms", "--max-batch-images", "16", "--drain-delay", "0s"
    )
    schedules = [pb.MergeSpec(constant=r) for r in (0, 2, 5, 30)]
    schedules.append(pb.MergeSpec(linear=pb.MergeSpec.Linear(mean_r=3, inflection=-1.0)))
    schedules.append(pb.MergeSpec(per_block=pb.MergeSpec.PerBlock(r=[4, 0, 7, 1])))
    requests = [
        pb.EmbedRequest(
            input=pb.Input(encoded=photo), merge=merge, output=pb.OutputSpec(merge_map=True, tokens=True)
        )
        for photo in photos.values()
        for merge in schedules
    ]

    def parts(answer):
        embedding = answer.embedding
        return embedding.vector, embedding.applied, embedding.merge_map, embedding.tokens

    with server.stub() as stub:
        alone = [stub.Embed(request, timeout=60) for request in requests]
        together = [stub.Embed.future(request, timeout=60) for request in requests]
        together = [call.result() for call in together]
        backwards = [stub.Embed.future(request, timeout=60) for request in reversed(requests)]
        backwards = [call.result() for call in backwards][::-1]

    assert {answer.embedding.timing.batch_images for answer in alone} == {1}
    assert max(answer.embedding.timing.batch_images for answer in together) >= 8
    for mine, mixed, reverse in zip(alone, together, backwards):
        assert parts(mine) == parts(mixed) == parts(reverse)

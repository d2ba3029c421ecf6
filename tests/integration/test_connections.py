"""What a connection may do, and when the server gives it up."""

import pytest
from raw_http2 import MAX_CONCURRENT_STREAMS, RawCall

STREAM = "/tome.v1.EmbeddingService/EmbedStream"


@pytest.fixture
def call(request, start_server, checkpoint):
    """call(flag..., answers_pings) -> a stream on which its client says nothing."""

    def begin(*flags, answers_pings=True):
        server = start_server("--model", f"plain={checkpoint}", "--drain-delay", "0s", "--drain-grace", "1s", *flags)
        begun = RawCall(server.address, STREAM, b"\0", answers_pings)
        request.addfinalizer(begun.close)
        return begun

    return begin


def test_a_client_is_told_how_many_calls_it_may_have_at_once(call):
    told = call("--max-connection-calls", "7")
    while MAX_CONCURRENT_STREAMS not in told.settings:
        told.receive()

    assert told.settings[MAX_CONCURRENT_STREAMS] == 7


def test_a_client_that_is_gone_without_a_word_is_pinged_and_given_up(call):
    gone = call("--keepalive-time", "1s", "--keepalive-timeout", "1s", answers_pings=False)
    while not gone.over:
        gone.receive()

    assert gone.pings > 0


def test_a_client_that_answers_pings_is_kept(call):
    silent = call("--keepalive-time", "1s", "--keepalive-timeout", "1s")
    while silent.pings < 3:
        assert not silent.over
        silent.receive()

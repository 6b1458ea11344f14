# SPDX-License-Identifier: Apache-2.0
"""The sixteen faults that every gateway meets, and what must come of each: a table and nothing else.

test_scorecard.py drives it; tools/scorecard makes docs/faults.md and a line of README.md from it and from what the tests
said. Two providers: `first` has the fault, `second` is well, unless a line says otherwise. Who answered can be told by the
words, and by the tokens that each counts.
"""
from typing import NamedTuple

# What the caller got.
FIRST, SECOND, EITHER = "the first one's answer", "the second one's answer", "one whole answer"
CUT = "what had been said, and an error"
DEADLINE = 20       # seconds for one request; ten times the longest limit below, and no request may need more


class Ask(NamedTuple):
    """One request. knobs: what is wrong with the first provider (test/standin); times: how often, -1 for ever."""
    knobs: str
    stream: bool = True
    got: str = SECOND           # or the code of an error
    attempts: str = ""          # as the ledger tells them; "" when chance decides
    asked: tuple = ((1,), (1,))     # how many calls each provider may have had
    times: int = -1
    status: int = 200
    finish: str = "stop"
    door: str = "openai"
    kind: str = "openai"
    second: str = ""            # what is wrong with the second one


class Scene(NamedTuple):
    name: str
    happens: str
    gets: str
    booked: str
    asks: list
    options: dict = {}          # of the first provider
    loop: list = None           # the first provider's faults in turn, (times, knobs); in place of the asks' own


def both(*args, **more):
    """The same twice, streamed and whole."""
    return [Ask(*args, stream=stream, **more) for stream in (True, False)]


ONLY_FIRST, NOT_FIRST = ((1,), (0,)), ((0,), (1,))
AGAIN = {"retries": 1, "retry_backoff": "1ms"}
STREAMED = "Streamed: one call, the second provider is not asked. The ledger has the cause, `upstream_cut`, and the tokens so " \
    "far as an estimate, which cost."
WHOLE = " Whole: both attempts, the second one's tokens and cost; of the first one's broken reply nothing could be counted."
ITS_OWN = "One row with both attempts; tokens and cost are the second one's."

# From the most to the least orderly; the names are those of the list everybody uses.
SCENES = [
    Scene("429 with Retry-After", "429, with a Retry-After that is longer than anybody wants to wait",
          "The second provider's answer, at once. While the time lasts nobody asks the first one.",
          ITS_OWN + " The first one got one call for two requests.",
          [Ask("status=429+retry_after=600", attempts="first:http_429 second:ok"),
           Ask("status=429+retry_after=600", False, attempts="first:breaker_open second:ok", asked=NOT_FIRST)]),
    Scene("429 without Retry-After", "429, once, and no word how long",
          "The first provider's answer, after a short pause.", "One row, two attempts, the tokens of one answer.",
          both("status=429", got=FIRST, attempts="first:http_429 first:ok", asked=((2,), (0,)), times=1), AGAIN),
    Scene("one 500", "500, once", "The first provider's answer, after a short pause.",
          "One row, two attempts, the tokens of one answer.",
          both("status=500", got=FIRST, attempts="first:http_5xx first:ok", asked=((2,), (0,)), times=1), AGAIN),
    Scene("persistent 503", "503, each time",
          "The second provider's answer, always. After `breaker_failures` the first one is asked no more.",
          ITS_OWN + " Four requests, two calls to the first one.",
          both("status=503", attempts="first:http_overloaded second:ok")
          + both("status=503", attempts="first:breaker_open second:ok", asked=NOT_FIRST),
          {"breaker_failures": 2, "breaker_open": "5m"}),
    Scene("reset", "the connection is reset, before the head or right behind it",
          "The second provider's answer.", ITS_OWN,
          # A kept connection that ends without a byte is replaced by a fresh one, once (src/http/client.h).
          both("reset_head", attempts="first:reset second:ok", asked=((1, 2), (1,)))
          + both("reset=0", attempts="first:cut second:ok")),
    Scene("no answer", "the request is taken, nothing comes",
          "The second provider's answer, when `total` (two seconds here) is over.", ITS_OWN,
          both("hang_head", attempts="first:total_timeout second:ok"), {"total": "2s"}),
    Scene("slow first token", "a head, then a minute until the first word",
          "The second provider's answer, when `first_token` (one second here) is over.", ITS_OWN,
          [Ask("first_ms=60000", attempts="first:first_token_timeout second:ok")],
          {"first_token": "1s", "cold_first_token": "1s"}),
    Scene("cut in mid-stream", "the connection ends after three words",
          "Streamed: the three words, then an error, and a transfer that does not look whole. Whole: the second one's answer.",
          STREAMED + WHOLE,
          [Ask("cut=3", got=CUT, attempts="first:cut", asked=ONLY_FIRST),
           Ask("reset=3", got=CUT, attempts="first:cut", asked=ONLY_FIRST),
           Ask("cut=3", False, attempts="first:cut second:ok")]),
    Scene("stall", "silence after three words",
          "The three words, then an error when `idle` (two seconds here) is over, and a transfer that does not look whole.",
          STREAMED, [Ask("stall=3", got=CUT, attempts="first:idle_timeout", asked=ONLY_FIRST)], {"idle": "2s"}),
    Scene("malformed event", "after three words an event that is no JSON",
          "Streamed: the three words, then an error, and a transfer that does not look whole. Whole: the second one's answer.",
          STREAMED + WHOLE,
          [Ask("malformed=3", got=CUT, attempts="first:malformed", asked=ONLY_FIRST),
           Ask("malformed=3", False, attempts="first:malformed second:ok")]),
    Scene("missing terminator", "the stream ends properly, but without its last event",
          "With a finish reason, where OpenAI's `[DONE]` says nothing more: the answer, and its `[DONE]`. Without one, or "
          "without Anthropic's `message_stop`: what came, then an error.",
          "What was whole is booked as `ok`, what was not as `upstream_cut`.",
          [Ask("no_done", got=FIRST, attempts="first:ok", asked=ONLY_FIRST),
           Ask("cut_clean=3", got=CUT, attempts="first:cut", asked=ONLY_FIRST),
           Ask("no_done", got=CUT, attempts="first:cut", asked=ONLY_FIRST, kind="anthropic")]),
    Scene("context too long", "400: the prompt does not fit the model",
          "The second provider's answer: its model may have a larger window. If that is too small as well, "
          "`context_length_exceeded`.",
          ITS_OWN + " It does not count against the first one's breaker.",
          both("context", attempts="first:context_too_long second:ok")
          + [Ask("context", got="context_length_exceeded", status=400, second="context",
                 attempts="first:context_too_long second:context_too_long")], {"breaker_failures": 1}),
    Scene("content filter", "the answer ends because the provider's filter says so",
          "That answer and that reason, in the words of the caller's dialect. Nobody else is asked to say it after all.",
          "An answer like others: `ok`, its tokens, its cost.",
          both("finish=filter", got=FIRST, attempts="first:ok", asked=ONLY_FIRST, finish="content_filter")
          + both("finish=filter", got=FIRST, attempts="first:ok", asked=ONLY_FIRST, finish="refusal", door="anthropic")),
    Scene("fallback that refuses the request", "500 at the first provider, 400 at the second",
          "The 400, with the provider's reason, in the form of the caller's dialect: to try again would not help.",
          "One row, two attempts, no provider, no tokens, no cost; each was asked once.",
          both("status=500", got="upstream_rejected", status=400, second="status=400",
               attempts="first:http_5xx second:rejected")
          + both("status=500", got="upstream_rejected", status=400, second="status=400", door="anthropic",
                 attempts="first:http_5xx second:rejected")),
    Scene("flapping provider", "500, well, cut, well, well, reset, and so on",
          "One whole answer each time, whoever gives it.",
          "A row for each request; whom the headers named has the tokens.",
          [Ask("", stream=i % 2 == 0, got=EITHER) for i in range(24)], {"breaker_failures": 2, "breaker_open": "50ms"},
          [(1, "status=500"), (1, ""), (1, "cut=0"), (2, ""), (1, "reset_head")]),
    Scene("accounting", "all of it in turn: well, failed once, failed for good, cut, filtered, refused",
          "What the lines above say.",
          "As many rows as requests. Ledger, `/router/usage`, `/router/stats` and the metrics tell the same requests, answers, "
          "tokens and cost; a retry or another provider makes no second request of one.",
          [*both("", got=FIRST, attempts="first:ok", asked=ONLY_FIRST),
           *both("status=500", got=FIRST, attempts="first:http_5xx first:ok", asked=((2,), (0,)), times=1),
           *both("status=401", attempts="first:auth second:ok"),
           Ask("cut=3", got=CUT, attempts="first:cut", asked=ONLY_FIRST),
           *both("finish=filter", got=FIRST, attempts="first:ok", asked=ONLY_FIRST, finish="content_filter"),
           *both("status=400", got="upstream_rejected", status=400, attempts="first:rejected", asked=ONLY_FIRST)],
          AGAIN),
]

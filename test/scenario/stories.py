#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""stories.py KIND SEED N - writes N random scenarios for `scenario --judge`.

    life     a few requests at once over four providers; each story begins as one that goes well and is then
             damaged: steps are lost, repeated or replaced by faults, time, callers who leave, reloads
    privacy  random configurations (zones, roles in roles, aliases, routes, modes) and random ways of saying
             that a request is private; private ones hold PRIVATE-WORD. Providers in the cloud are named x...,
             and the model "far" is one that an Ollama here only passes on

The same seed gives the same text.
"""
import random
import sys

DOORS = [("/v1/chat/completions", '"messages":[{"role":"user","content":"%s"}]'),
         ("/v1/messages", '"max_tokens":9,"messages":[{"role":"user","content":"%s"}]'),
         ("/api/chat", '"messages":[{"role":"user","content":"%s"}]'),
         ("/api/generate", '"prompt":"%s"'),
         ("/router/generate", '"prompt":"%s"')]

OPENAI_WHOLE = '{"id":"u1","choices":[{"index":0,"message":{"role":"assistant","content":"A"},"finish_reason":"stop"}]}'
OLLAMA_WHOLE = '{"model":"m","message":{"role":"assistant","content":"A"},"done":true,"done_reason":"stop"}'
ANTHROPIC_WHOLE = ('{"id":"m","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"A"}],'
                   '"stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":1}}')
WHOLE = {"openai": OPENAI_WHOLE, "ollama": OLLAMA_WHOLE, "anthropic": ANTHROPIC_WHOLE}


def openai_delta(delta, finish="null", index=0):
    return '{"id":"u1","choices":[{"index":%d,"delta":{%s},"finish_reason":%s}]}' % (index, delta, finish)


def anthropic_event(kind, rest=""):
    return 'event: %s\\ndata: {"type":"%s"%s}' % (kind, kind, rest)


OPENAI = [openai_delta('"content":"Hel"')]
OPENAI_END = [openai_delta('"content":"lo"', '"stop"'),
              '{"id":"u1","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":1}}', "[DONE]"]
OPENAI_ODD = [openai_delta('"role":"assistant"'), openai_delta('"reasoning_content":"hm"'), openai_delta("", '"length"'),
              openai_delta('"content":"two"', "null", 1), '{"error":{"message":"boom","code":429}}', '{"error":"x"}', '{"cho']
ANTHROPIC_BEGIN = [anthropic_event("message_start", ',"message":{"id":"m","type":"message","role":"assistant",'
                                   '"model":"m","content":[],"usage":{"input_tokens":3,"output_tokens":1}}'),
                   anthropic_event("content_block_start", ',"index":0,"content_block":{"type":"text","text":""}')]
ANTHROPIC = [anthropic_event("content_block_delta", ',"index":0,"delta":{"type":"text_delta","text":"Hi"}')]
ANTHROPIC_END = [anthropic_event("content_block_stop", ',"index":0'),
                 anthropic_event("message_delta", ',"delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":2}'),
                 anthropic_event("message_stop")]
ANTHROPIC_ODD = [anthropic_event("ping"), anthropic_event("error", ',"error":{"type":"overloaded_error","message":"x"}')]
OLLAMA = ['{"model":"m","message":{"role":"assistant","content":"Hi"},"done":false}']
OLLAMA_END = ['{"model":"m","message":{"role":"assistant","content":""},"done":true,"done_reason":"stop","eval_count":3}']
GENERATE = ['{"model":"m","response":"Hi","done":false}']
GENERATE_END = ['{"model":"m","response":"","done":true,"done_reason":"stop"}']
OLLAMA_ODD = ['{"error":"x"}', '{"mod', '{"model":"m","message":{"role":"assistant","content":""},"done":false}']

LIFE = """config
deadline: 40s
attempts_max: %d
max_exchanges: 6
stream_buffer: 4KiB
stream_keepalive: 3s
providers:
  one:   { kind: openai, url: "http://127.0.0.1:9001", concurrency: 2, queue_max: 2, retries: 1, breaker_open_max: 12s, %s }
  two:   { kind: ollama, url: "http://127.0.0.1:9002", concurrency: 1, %s }
  three: { kind: anthropic, url: "http://127.0.0.1:9003", zone: local, retries: 2, %s }
  four:  { kind: openai, url: "http://127.0.0.1:9004", stream_always: true, concurrency: 1, retries: 1, %s }
roles: { general: [ %s ] }
end"""
LIMITS = ("queue: 5s, head: 5s, first_token: 5s, cold_first_token: 8s, idle: 4s, total: 15s, event_max: 1KiB, "
          "reply_max: 4KiB, breaker_failures: 2, breaker_open: 6s")
KINDS = {"one": "openai", "two": "ollama", "three": "anthropic", "four": "openai"}


def stream_of(rng, provider, path):
    kind = KINDS[provider]
    some = rng.randint(1, 4)
    if kind == "anthropic":
        return [("event", e) for e in ANTHROPIC_BEGIN + ANTHROPIC * some + ANTHROPIC_END]
    if kind == "openai":
        return [("event", e) for e in OPENAI * some + OPENAI_END]
    if path == "/api/generate":
        return [("line", e) for e in GENERATE * some + GENERATE_END]
    return [("line", e) for e in OLLAMA * some + OLLAMA_END]


def damage(rng, client, provider):
    """One step that does not belong into a good story."""
    odd = {"openai": OPENAI_ODD, "ollama": OLLAMA_ODD, "anthropic": ANTHROPIC_ODD}[KINDS[provider]]
    word = "line" if provider == "two" else "event"
    steps = [(30, lambda: "time +" + rng.choice(["1ms", "300ms", "900ms", "2s", "3500ms", "4500ms", "6s", "9s", "15s"])),
             (12, lambda: "client %s %s" % (client, rng.choice(["leave", "reset"]))),
             (10, lambda: "client %s window %s" % (client, rng.choice(["0", "10", "200", "all"]))),
             (8, lambda: "provider %s %s" % (provider, rng.choice(["eof", "reset", "last"]))),
             (6, lambda: "provider %s giant %d" % (provider, rng.choice([10, 900, 5000]))),
             (6, lambda: "provider %s big %d" % (provider, rng.choice([10, 700, 900, 9000]))),
             (8, lambda: "provider %s %s %s" % (provider, word, rng.choice(odd))),
             (6, lambda: "reload " + rng.choice(["airgap=true", "mode=local", "providers.one.concurrency=1",
                                                 "providers.one.concurrency=3", "providers.three.zone=cloud"])),
             (4, lambda: "provider %s %s" % (provider, rng.choice(["refuse 1", "hang 1", "dns 1", "accept", "refuse 3"]))),
             (4, lambda: "provider %s reply %s json %s" % (provider, rng.choice("404 400 429 500 503 529 401".split()),
                                                           rng.choice(list(WHOLE.values()) + ["{}", "x", '{"error":"x"}']))),
             (4, lambda: "provider %s %s" % (provider, rng.choice(["raw xyz", "bytes data: ", "bytes \\n\\n",
                                                                   "raw 0\\r\\n\\r\\n"]))),
             (1, lambda: "drain")]
    return rng.choices([make for _, make in steps], [weight for weight, _ in steps])[0]()


def life_story(rng, q):
    client, provider = "c%d" % q, rng.choice(list(KINDS))
    path, rest = rng.choice(DOORS)
    stream = rng.random() < 0.67
    if path == "/router/generate" and stream:
        path = "/router/stream"
    model = "general" if rng.random() < 0.4 else "%s/m" % provider
    header = rng.choice(["", "", "", " X-LLM-Sensitivity: private", " Connection: close"])
    steps = ['client %s POST %s {"model":"%s","stream":%s,%s}%s' % (client, path, model, str(stream).lower(), rest % "hi",
                                                                   header),
             "provider %s expect POST /x" % provider]
    if stream or provider == "four":
        steps.append("provider %s head 200 %s" % (provider, "ndjson" if provider == "two" else "sse"))
        steps += ["provider %s %s %s" % (provider, word, text) for word, text in stream_of(rng, provider, path)]
        steps.append("provider %s last" % provider)
    else:
        steps.append("provider %s reply 200 json %s" % (provider, WHOLE[KINDS[provider]]))
    for _ in range(rng.choice([0, 1, 1, 2, 3, 4])):
        what = rng.random()
        if what < 0.65 or len(steps) < 3:
            steps.insert(rng.randrange(1, len(steps) + 1), damage(rng, client, provider))
        elif what < 0.85:
            del steps[rng.randrange(1, len(steps))]
        else:
            steps[rng.randrange(1, len(steps))] = damage(rng, client, provider)
    return steps


def life(rng):
    targets = ["%s/m" % name for name in KINDS]
    rng.shuffle(targets)
    yield LIFE % (rng.randint(1, 5), LIMITS, LIMITS, LIMITS, LIMITS, ", ".join(targets[:rng.randint(1, 4)]))
    stories = [life_story(rng, q) for q in range(rng.randint(1, 6))]
    if rng.random() < 0.15:
        yield "cut %d" % rng.choice([1, 3, 7, 50])
    one_by_one = rng.random() < 0.4
    while any(stories):
        left = [s for s in stories if s]
        yield (left[0] if one_by_one else rng.choice(left)).pop(0)


def listing(entries):
    return "[ %s ]" % ", ".join('"%s"' % e for e in entries)


def say_private(rng, native):
    """(header, metadata): one of the ways."""
    ways = [("X-LLM-Sensitivity: " + rng.choice(["private", "PRIVATE", "phi", "?"]), ""), ("X-LLM-Mode: local", ""),
            ("X-LLM-Task: privacy_sensitive", ""),
            ("X-LLM-Sensitivity: public\\r\\nX-LLM-Mode: cloud\\r\\nx-llm-sensitivity: yes", "")]
    if native:
        ways += [("", ',"metadata":{"sensitivity":%s}' % rng.choice(['"private"', '"x"', "true", "{}"])),
                 ("", ',"metadata":{"task":"privacy_sensitive"}')]
    return rng.choice(ways)


def privacy(rng):
    providers = []
    for i in range(rng.randint(1, 5)):
        away = i > 0 and rng.random() < 0.6
        kind = rng.choice(["openai", "ollama"] if away else ["openai", "ollama", "anthropic"])
        providers.append(("%s%s%d" % ("x" if away else "h", kind[0:2], i), kind, away))
    names = [p[0] for p in providers]
    entries = ["%s/%s" % (n, m) for n in names for m in ("m", "far", "")] + ["m", "far", "general", "fast"]
    mode, airgap = rng.choice(["hybrid", "hybrid", "cloud", "cloud", "local"]), rng.random() < 0.15
    confined = airgap or mode == "local"
    yield "config\nmode: %s\nairgap: %s\nexplicit_fallback: %s\ndeadline: 40s\nproviders:" % (
        mode, str(airgap).lower(), rng.choice(["true", "false"]))
    for i, (name, kind, away) in enumerate(providers):
        more = "".join(o for o in (", default_model: m", ", models: [m, far]", ", concurrency: 1, queue: 5s")
                       if rng.random() < 0.3)
        yield ('  %s: { kind: %s, url: "http://127.0.0.1:%d", zone: %s, retries: %d, breaker_failures: 2, head: 5s, '
               'first_token: 5s, cold_first_token: 5s, total: 9s%s }'
               % (name, kind, 9001 + i, "cloud" if away else "local", rng.randint(0, 1), more))
    yield "roles: { %s }" % ", ".join("%s: %s" % (r, listing(rng.sample(entries, rng.randint(1, min(4, len(entries))))))
                                      for r in ("general", "fast", "reasoning"))
    yield "routes: { %s }" % ", ".join("%s: %s" % (r, listing(rng.sample(entries, 2))) for r in ("multi_step", "explanation"))
    yield 'aliases: { "gpt-*": "%s", "*": "%s" }\nend' % (rng.choice(entries), rng.choice(entries))
    here = [p for p in providers if not (confined and p[2])]
    for name, kind, _ in here:
        if rng.random() < 0.8:
            yield ("provider %s models " % name) + (
                '{"models":[{"name":"m:latest"%s},{"name":"far:latest","remote_host":"h"}]}'
                % rng.choice(["", "", ',"remote_model":"z"']) if kind == "ollama" else '{"data":[{"id":"m"},{"id":"far"}]}')
    for q in range(rng.randint(1, 5)):
        path, rest = rng.choice(DOORS)
        native = path.startswith("/router")
        private, header, metadata = confined or rng.random() < 0.5, "", ""
        if private and not confined:
            header, metadata = say_private(rng, native)
        elif rng.random() < 0.4:
            header = "X-LLM-Mode: " + rng.choice(["cloud", "hybrid"])
        if rng.random() < 0.3 and "Task" not in header:
            header += ("\\r\\n" if header else "") + "X-LLM-Task: " + rng.choice(["multi_step", "explanation", "tool_calling"])
        if native and rng.random() < 0.4:
            metadata += ',"provider":"%s"' % rng.choice(names)
        model = rng.choice(["general", "auto", "", "fast", "m", "far", "gpt-4", "nope", "reasoning", "tools"] + entries)
        text = rest % ("PRIVATE-WORD" if private else "anything")
        yield 'client c%d POST %s {"model":"%s","stream":false,%s%s} %s' % (q, path, model, text, metadata, header)
        for _ in range(rng.randint(0, 4)):
            name, kind, _ = rng.choice(here)
            what = rng.random()
            if what < 0.5:
                yield "provider %s expect POST /x" % name
                yield "provider %s reply %s json %s" % (name, rng.choice("200 500 404 429 503 401".split()), WHOLE[kind])
            elif what < 0.6:
                yield "provider %s refuse 1" % name
            elif what < 0.75:
                yield "time +" + rng.choice(["400ms", "3s", "10s"])
            elif what < 0.85:
                yield "provider %s models %s" % (name, '{"models":[{"name":"m:latest","remote_host":"h"}]}'
                                                 if kind == "ollama" else '{"data":[{"id":"m"}]}')
            elif what < 0.9 and not confined:
                yield "reload " + rng.choice(["airgap=true", "mode=local"])
                confined = True


def main():
    kind, seed, n = {"life": life, "privacy": privacy}[sys.argv[1]], int(sys.argv[2]), int(sys.argv[3])
    for k in range(n):
        print('scenario "%s %d/%d"' % (sys.argv[1], seed, k))
        for line in kind(random.Random("%d/%d" % (seed, k))):
            print(line)


main()

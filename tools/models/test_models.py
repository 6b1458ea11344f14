#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Write the models that the tests and `./dev run` serve: real GGUF files for the real llama-server,
made here, so nothing is downloaded and every machine has the same bytes.

    tiny-random   115 kB of random weights: a whole small llama, its words are noise
    tiny-<name>   6.5 MB each, says the same whatever it is asked (see SCRIPTS)

How a script becomes a model: with one-hot embeddings and all attention and feed-forward weights
zero, the logits depend on the last token only, and the output matrix is a table "token -> next
token". The chain starts after the newline that ends the generation prompt and ends with
<|im_end|>. One token has one successor, so no piece may appear twice. Where there are two scripts,
the template ends with a tab instead of the newline when the last message is a tool's result, and the
second script follows that.

usage: test_models.py OUTDIR [NAME...]      a file that exists already is left alone
"""
import array
import os
import random
import sys

import gguf

SCRIPTS = {
    # a text with a letter of two bytes in it
    "text": ["Hello", " from", " the", " tiny", " model", ".", " Caf\u00e9", " ok"],
    # never ends: for stalls, stops and callers who leave
    "loop": ["la", " li", " lo"],
    # reasoning, then the answer
    "think": ["<think>", "\nI am", " thinking\n", "</think>", "\n\nThe", " answer", " is", " 42"],
    "tool": ["<tool_call>", '\n{"name": "get_weather"', ', "arguments": {"city"', ': "Par', 'is"}',
             "}\n", "</tool_call>"],
    # text, then two calls in one answer
    "2tool": ["Let me", " check.", "\n\n", "<tool_call>", '\n{"name": "get_weather"',
              ', "arguments": {"city"', ': "Par', 'is"}', "}\n", "</tool_call>", "\n<tool",
              '_call>\n{"name":', ' "get_weather", "arg', 'uments": {"city":',
              ' "Rome"}}\n</tool', "_call>"],
    "json": ['{"answer"', ": 4", "2}"],
    # one call; and once the conversation ends with a tool's result, an answer
    "agent": (["<tool_call>", '\n{"name": "scheduler__validate', '_schedule_tool"', ', "arguments": {"start_date"',
               ': "2026-11-30", ', '"end_date": "2026', '-12-06"}', "}\n", "</tool_call>"],
              ["Yes", ": PGY2", "-01 works", " 84 hours", " in that", " week", "."]),
    # begins a call, and then picks by chance whatever the engine's grammar of the offered tools allows (see FREE)
    "picker": (["<tool_call>", '\n{"name": "'], ["That", " is", " all", "."]),
}
# Of this model the first script leads nowhere: what follows is drawn evenly, with a liking for what ends a thing (by the token
# before it), so that texts stay short and calls come to their end.
FREE = "picker"
LIKINGS = {'"': ("}", 0.2), "]": ("}", 0.3), "}": ("</tool_call>", 0.4), "</tool_call>": ("<|im_end|>", 0.5)}

# llama-server learns how a model writes tool calls and reasoning by rendering its template with
# and without them, so both templates have to show them, whether or not the model is any good at it.
SCRIPTED_TEMPLATE = """\
{%- if tools -%}
{{- '<|im_start|>system\\nTools:\\n' ~ (tools | tojson) ~ '<|im_end|>\\n' -}}
{%- endif -%}
{%- for m in messages -%}
{{- '<|im_start|>' ~ m.role ~ '\\n' -}}
{%- if m.reasoning_content -%}{{- '<think>\\n' ~ m.reasoning_content ~ '\\n</think>\\n\\n' -}}{%- endif -%}
{{- m.content or '' -}}
{%- for c in m.tool_calls or [] -%}
{{- '\\n<tool_call>\\n{"name": "' ~ c.function.name ~ '", "arguments": ' -}}
{%- if c.function.arguments is string -%}{{- c.function.arguments -}}
{%- else -%}{{- c.function.arguments | tojson -}}{%- endif -%}
{{- '}\\n</tool_call>' -}}
{%- endfor -%}
{{- '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}
"""
# Of a model with two scripts: what stands in the place of the last newline.
PROMPT_END, BY_LAST_MESSAGE = "assistant\\n' -}}", "assistant' ~ ('\\t' if messages[-1].role == 'tool' else '\\n') -}}"

RANDOM_TEMPLATE = """\
{%- if tools -%}
{{- '<|im_start|>system\\nTools:\\n<tools>' -}}
{%- for tool in tools -%}{{- '\\n' + (tool | tojson) -}}{%- endfor -%}
{{- '\\n</tools>\\nTo call one, write <tool_call>{"name": NAME, "arguments": OBJECT}</tool_call><|im_end|>\\n' -}}
{%- endif -%}
{%- for m in messages -%}
{%- if m['role'] == 'tool' -%}
{{- '<|im_start|>user\\n<tool_response>\\n' + m['content'] + '\\n</tool_response><|im_end|>\\n' -}}
{%- elif m['role'] == 'assistant' and m['tool_calls'] -%}
{{- '<|im_start|>assistant' -}}{%- if m['content'] -%}{{- '\\n' + m['content'] -}}{%- endif -%}
{%- for call in m['tool_calls'] -%}
{{- '\\n<tool_call>{"name": "' + call['function']['name'] + '", "arguments": ' + (call['function']['arguments'] | tojson) + '}</tool_call>' -}}
{%- endfor -%}
{{- '<|im_end|>\\n' -}}
{%- else -%}
{{- '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>\\n' -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}
"""

NORMAL, CONTROL, USER, UNUSED = 1, 3, 4, 5      # llama.cpp's kinds of token


def head(model, name, dim, layers, heads, feed, context, vocab, file_type):
    for key, kind, value in [
            ("general.architecture", gguf.STRING, "llama"),
            ("general.name", gguf.STRING, name),
            ("general.file_type", gguf.U32, file_type),
            ("llama.context_length", gguf.U32, context),
            ("llama.embedding_length", gguf.U32, dim),
            ("llama.block_count", gguf.U32, layers),
            ("llama.feed_forward_length", gguf.U32, feed),
            ("llama.attention.head_count", gguf.U32, heads),
            ("llama.attention.head_count_kv", gguf.U32, heads),
            ("llama.attention.layer_norm_rms_epsilon", gguf.F32, 1e-5),
            ("llama.rope.dimension_count", gguf.U32, dim // heads),
            ("llama.vocab_size", gguf.U32, vocab)]:
        model.key(key, kind, value)


def vocabulary(model, tokens, kinds, merges, bos, eos, template):
    model.key("tokenizer.ggml.model", gguf.STRING, "gpt2")
    model.key("tokenizer.ggml.pre", gguf.STRING, "gpt-2")
    model.key_array("tokenizer.ggml.tokens", gguf.STRING, tokens)
    model.key_array("tokenizer.ggml.token_type", gguf.I32, kinds)
    model.key_array("tokenizer.ggml.merges", gguf.STRING, merges)
    model.key("tokenizer.ggml.bos_token_id", gguf.U32, tokens.index(bos))
    model.key("tokenizer.ggml.eos_token_id", gguf.U32, tokens.index(eos))
    model.key("tokenizer.ggml.add_bos_token", gguf.BOOL, False)
    model.key("tokenizer.chat_template", gguf.STRING, template)


def write_scripted(path, name, script):
    dim, feed = 512, 32                         # one embedding row per token, hence dim tokens
    context = 32768 if isinstance(script, tuple) else 4096      # tools are long when each byte is a token
    control = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    marks = ["<think>", "</think>", "<tool_call>", "</tool_call>"]
    letters = gguf.byte_alphabet()
    tokens = letters + control + marks
    kinds = [NORMAL] * 256 + [CONTROL] * len(control) + [USER] * len(marks)

    def token_id(piece):
        spelt = piece if piece in marks else "".join(letters[b] for b in piece.encode())
        if spelt not in tokens:
            tokens.append(spelt)
            kinds.append(NORMAL)
        return tokens.index(spelt)

    scripts = script if isinstance(script, tuple) else (script,)
    chains = [[token_id(piece) for piece in one] for one in scripts]
    every = sum(chains, [])
    assert len(set(every)) == len(every), "a script may not repeat a piece"
    while len(tokens) < dim:
        tokens.append("[unused%d]" % len(tokens))
        kinds.append(UNUSED)

    end = tokens.index("<|im_end|>")
    follow = {}
    for begin, chain in zip("\n\t", chains):
        last = [chain[0] if name == "loop" else end]
        follow.update(zip([token_id(begin)] + chain, chain + ([] if name == FREE and begin == "\n" else last)))

    def zeros(count):
        return array.array("f", bytes(4 * count))

    ones = array.array("f", [1.0]) * dim
    embedding, output = zeros(dim * dim), zeros(dim * dim)
    for token in range(dim):
        embedding[token * dim + token] = 1.0
        if name == FREE and token not in follow:
            output[tokens.index('"') * dim + token] = 0.2
            piece, liking = LIKINGS.get(tokens[token], ('"', 0.2))
            output[tokens.index(piece) * dim + token] = liking
        else:
            output[follow.get(token, end) * dim + token] = 3.0

    model = gguf.Gguf()
    head(model, "tiny " + name, dim, 1, 8, feed, context, dim, 0)
    template = SCRIPTED_TEMPLATE
    if len(chains) > 1:
        template = template.replace(PROMPT_END, BY_LAST_MESSAGE)
    vocabulary(model, tokens, kinds, [], "<|endoftext|>", "<|im_end|>", template)
    model.tensor("token_embd.weight", (dim, dim), embedding)
    model.tensor("output_norm.weight", (dim,), ones)
    model.tensor("output.weight", (dim, dim), output)
    model.tensor("blk.0.attn_norm.weight", (dim,), ones)
    for part in ("q", "k", "v", "output"):
        model.tensor("blk.0.attn_%s.weight" % part, (dim, dim), zeros(dim * dim))
    model.tensor("blk.0.ffn_norm.weight", (dim,), ones)
    model.tensor("blk.0.ffn_gate.weight", (feed, dim), zeros(dim * feed))
    model.tensor("blk.0.ffn_up.weight", (feed, dim), zeros(dim * feed))
    model.tensor("blk.0.ffn_down.weight", (dim, feed), zeros(dim * feed))
    model.write(path)


def write_random(path):
    dim, layers, heads, feed, context = 64, 2, 2, 128, 2048
    # "\u0120" spells the blank; pairs that grow into " that", " is", " world" and the like.
    merges = [pair.replace("_", "\u0120") for pair in (
        "_ t", "_ i", "_t h", "_ a", "_th e", "_th a", "_tha t", "_t o", "_i t", "_i s", "_i n",
        "_a n", "_an d", "_ w", "_w o", "_wo r", "_wor l", "_worl d", "_ o", "_o f")]
    control = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    marks = ["<tool_call>", "</tool_call>"]
    tokens = gguf.byte_alphabet() + [m.replace(" ", "") for m in merges] + control + marks
    kinds = [NORMAL] * (256 + len(merges)) + [CONTROL] * len(control) + [USER] * len(marks)

    dice = random.Random(42)
    model = gguf.Gguf()
    head(model, "tiny random", dim, layers, heads, feed, context, len(tokens), 7)
    vocabulary(model, tokens, kinds, merges, "<|endoftext|>", "<|im_end|>", RANDOM_TEMPLATE)

    def matrix(name, rows, columns):
        model.tensor(name, (rows, columns), [dice.gauss(0, 0.08) for _ in range(rows * columns)],
                     gguf.TENSOR_Q8_0)

    matrix("token_embd.weight", len(tokens), dim)
    for layer in range(layers):
        block = "blk.%d." % layer
        model.tensor(block + "attn_norm.weight", (dim,), [1.0] * dim)
        for part in ("q", "k", "v", "output"):
            matrix(block + "attn_%s.weight" % part, dim, dim)
        model.tensor(block + "ffn_norm.weight", (dim,), [1.0] * dim)
        matrix(block + "ffn_gate.weight", feed, dim)
        matrix(block + "ffn_up.weight", feed, dim)
        matrix(block + "ffn_down.weight", dim, feed)
    model.tensor("output_norm.weight", (dim,), [1.0] * dim)
    model.write(path)


def main(argv):
    if len(argv) < 2 or argv[1].startswith("-"):
        sys.exit(__doc__.strip())
    names = argv[2:] or ["random", *SCRIPTS]
    os.makedirs(argv[1], exist_ok=True)
    for name in names:
        path = os.path.join(argv[1], "tiny-%s.gguf" % name)
        if os.path.exists(path):
            continue
        if name == "random":
            write_random(path)
        elif name in SCRIPTS:
            write_scripted(path, name, SCRIPTS[name])
        else:
            sys.exit("test_models: no model %r; there are: random %s" % (name, " ".join(SCRIPTS)))


main(sys.argv)

# SPDX-License-Identifier: Apache-2.0
"""export - the trained weights as a GGUF file: llama architecture, matrices as Q8_0. Standard library only."""
import bpe          # finds tools/models
import gguf

EPSILON, ROPE_BASE = 1e-5, 10000.0
NORMAL, CONTROL, USER = 1, 3, 4                 # llama.cpp's kinds of token

# The model knows single questions. So its template shows it the last message and the names of the tools, and leaves
# out the rest, which it could only be confused by. (A system prompt is at least looked at: the engine writes it before the
# question for templates that do not.) How calls are written stands here because the engine reads it here.
TEMPLATE = """\
{%- if tools -%}
{{- '<|im_start|>system\\n' -}}
{%- for tool in tools -%}{{- tool.function.name ~ ('' if loop.last else ' ') -}}{%- endfor -%}
{{- '<|im_end|>\\n' -}}
{%- endif -%}
{%- for m in messages -%}
{%- if m.role == 'assistant' -%}
{%- set answered = not loop.last and messages[loop.index].role == 'tool' -%}
{%- if not add_generation_prompt or (m.tool_calls and not answered) -%}
{{- '<|im_start|>assistant\\n' ~ (m.content or '') -}}
{%- for call in m.tool_calls or [] -%}
{{- '<tool_call>{"name": "' ~ call.function.name ~ '", "arguments": ' -}}
{%- if call.function.arguments is string -%}{{- call.function.arguments -}}
{%- else -%}{{- call.function.arguments | tojson -}}{%- endif -%}
{{- '}</tool_call>' -}}
{%- endfor -%}
{{- '<|im_end|>\\n' -}}
{%- endif -%}
{%- elif m.role == 'system' -%}{%- set left_out = m.content ~ '' -%}
{%- elif loop.last or not add_generation_prompt -%}
{{- '<|im_start|>' ~ m.role ~ '\\n' ~ (m.content or '') ~ '<|im_end|>\\n' -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}
"""


def write(path, weights, tokenizer, size):
    """weights: {name: (shape, values)}, named as the modules of train.py, which are named as llama's tensors."""
    model = gguf.Gguf()
    for key, kind, value in [
            ("general.architecture", gguf.STRING, "llama"),
            ("general.name", gguf.STRING, "llm-router demo"),
            ("general.description", gguf.STRING, "a demonstration: knows a few dozen facts about llm-router and nothing else"),
            ("general.license", gguf.STRING, "apache-2.0"),
            ("general.file_type", gguf.U32, 7),
            ("llama.context_length", gguf.U32, size["context"]),
            ("llama.embedding_length", gguf.U32, size["dim"]),
            ("llama.block_count", gguf.U32, size["layers"]),
            ("llama.feed_forward_length", gguf.U32, size["feed"]),
            ("llama.attention.head_count", gguf.U32, size["heads"]),
            ("llama.attention.head_count_kv", gguf.U32, size["heads"]),
            ("llama.attention.layer_norm_rms_epsilon", gguf.F32, EPSILON),
            ("llama.rope.dimension_count", gguf.U32, size["dim"] // size["heads"]),
            ("llama.rope.freq_base", gguf.F32, ROPE_BASE),
            ("llama.vocab_size", gguf.U32, size["vocabulary"])]:
        model.key(key, kind, value)
    kinds = [NORMAL] * (len(tokenizer.tokens) - len(bpe.CONTROL) - len(bpe.MARKS)) + [CONTROL] * len(bpe.CONTROL) + [USER] * len(bpe.MARKS)
    model.key("tokenizer.ggml.model", gguf.STRING, "gpt2")
    model.key("tokenizer.ggml.pre", gguf.STRING, "gpt-2")
    model.key_array("tokenizer.ggml.tokens", gguf.STRING, tokenizer.tokens)
    model.key_array("tokenizer.ggml.token_type", gguf.I32, kinds)
    model.key_array("tokenizer.ggml.merges", gguf.STRING, [a + " " + b for a, b in tokenizer.merges])
    model.key("tokenizer.ggml.bos_token_id", gguf.U32, tokenizer.id["<|endoftext|>"])
    model.key("tokenizer.ggml.eos_token_id", gguf.U32, tokenizer.id["<|im_end|>"])
    model.key("tokenizer.ggml.add_bos_token", gguf.BOOL, False)
    model.key("tokenizer.chat_template", gguf.STRING, TEMPLATE)
    for name, (shape, values) in weights.items():
        model.tensor(name if name.endswith(".weight") else name + ".weight", shape, values,
                     gguf.TENSOR_Q8_0 if len(shape) > 1 else gguf.TENSOR_F32)
    model.write(path)

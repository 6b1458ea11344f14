#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Train the demo model and write it as GGUF. Needs PyTorch (Debian: python3-torch); takes a GPU if there is one.

usage: train.py OUTDIR [--steps N] [--time | --resume | --export]

    --time      measure ten steps, say how long all would take, and end
    --export    write the model as the checkpoint has it, and end
    --resume    go on from OUTDIR/checkpoint.pt, which is written every 200 steps
    A file OUTDIR/finish made while it runs: the last quarter begins now, in which the rate falls.

The questions are made anew for every batch (data.py). Most answers are cut after the words that decide what they
are: the rest of an answer is learnt soon, telling the questions apart is not, and is what the time should go into.
"""
import argparse
import math
import os
import random
import time

os.environ.setdefault("OMP_WAIT_POLICY", "passive")     # threads that wait do not burn a shared machine's time
import torch  # noqa: E402
from torch.nn import functional as F  # noqa: E402

import bpe  # noqa: E402
import data  # noqa: E402
import export  # noqa: E402

SIZE = {"dim": 192, "layers": 4, "heads": 4, "feed": 512, "context": 2048, "vocabulary": 2048}
SEED, STEPS, BATCH, RATE, WARM, DROPOUT = 10, 2400, 3072, 2e-3, 150, 0.08
CUT, WHOLE = 9, 0.2            # tokens kept of an answer that is cut; share of answers that are not
PROMPT_WEIGHT = 0.05            # of a question's tokens beside an answer's
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


class Norm(torch.nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(dim))

    def forward(self, x):
        x = x.float()
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + export.EPSILON) * self.weight


class Block(torch.nn.Module):
    def __init__(self, dim, layers, heads, feed):
        super().__init__()
        self.heads = heads
        self.attn_norm, self.ffn_norm = Norm(dim), Norm(dim)
        sizes = {"attn_q": (dim, dim), "attn_k": (dim, dim), "attn_v": (dim, dim), "attn_output": (dim, dim),
                 "ffn_gate": (dim, feed), "ffn_up": (dim, feed), "ffn_down": (feed, dim)}
        for name, (inward, outward) in sizes.items():
            linear = torch.nn.Linear(inward, outward, bias=False)
            last = name in ("attn_output", "ffn_down")
            torch.nn.init.normal_(linear.weight, std=0.02 / math.sqrt(2 * layers) if last else 0.02)
            setattr(self, name, linear)

    def forward(self, x, turn, mask, dropout):
        count, length, dim = x.shape
        h = self.attn_norm(x)
        q, k, v = (f(h).view(count, length, self.heads, -1).transpose(1, 2) for f in (self.attn_q, self.attn_k, self.attn_v))
        q, k = rotate(q, turn), rotate(k, turn)
        # Written out: on a CPU several times faster to train than the fused form.
        near = (q @ k.transpose(-1, -2)) / math.sqrt(dim // self.heads) + mask[:length, :length]
        h = (near.float().softmax(-1).to(v.dtype) @ v).transpose(1, 2).reshape(count, length, dim)
        x = x + F.dropout(self.attn_output(h), dropout, self.training)
        h = self.ffn_norm(x)
        return x + F.dropout(self.ffn_down(F.silu(self.ffn_gate(h)) * self.ffn_up(h)), dropout, self.training)


def rotate(x, turn):
    """Pairs (0,1), (2,3) ... as the engine's llama architecture turns them, so that export permutes nothing."""
    cos, sin = (t[:x.shape[2]] for t in turn)
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.stack((a * cos - b * sin, a * sin + b * cos), -1).flatten(-2)


class Model(torch.nn.Module):
    def __init__(self, dim, layers, heads, feed, context, vocabulary):
        super().__init__()
        self.token_embd = torch.nn.Embedding(vocabulary, dim)
        torch.nn.init.normal_(self.token_embd.weight, std=0.02)
        self.blk = torch.nn.ModuleList(Block(dim, layers, heads, feed) for _ in range(layers))
        self.output_norm = Norm(dim)
        half = torch.arange(0, dim // heads, 2).float() / (dim // heads)
        angle = torch.outer(torch.arange(512).float(), export.ROPE_BASE ** -half)
        self.register_buffer("cos", angle.cos(), persistent=False)
        self.register_buffer("sin", angle.sin(), persistent=False)
        self.register_buffer("mask", torch.full((512, 512), float("-inf")).triu(1), persistent=False)

    def forward(self, ids, dropout=0.0):
        x = F.dropout(self.token_embd(ids), dropout, self.training)
        for block in self.blk:
            x = block(x, (self.cos, self.sin), self.mask, dropout)
        return F.linear(self.output_norm(x), self.token_embd.weight)        # embedding and output are one


def example(material, tokenizer, dice):
    asked, answer = material.turn(dice)
    asked, answer = tokenizer.encode(asked), tokenizer.encode(answer + "<|im_end|>")
    if dice.random() > WHOLE:
        answer = answer[:CUT]
    return asked + answer, [PROMPT_WEIGHT] * len(asked) + [1.0] * len(answer)


def batches(material, tokenizer, dice):
    """Turns of like length together, about BATCH tokens each."""
    while True:
        pool = sorted((example(material, tokenizer, dice) for _ in range(2048)), key=lambda e: len(e[0]))
        groups, group = [], []
        for e in pool:
            if group and (len(group) + 1) * len(e[0]) > BATCH:
                groups.append(group)
                group = []
            group.append(e)
        groups.append(group)
        dice.shuffle(groups)
        for group in groups:
            longest = max(len(ids) for ids, _ in group)
            ids = torch.tensor([i + [0] * (longest - len(i)) for i, _ in group])
            weights = torch.tensor([w + [0.0] * (longest - len(w)) for _, w in group])
            yield ids[:, :-1].to(DEVICE), ids[:, 1:].to(DEVICE), weights[:, 1:].to(DEVICE)


class Training:
    def __init__(self, model, steps):
        self.model, self.steps, self.source = model, steps, None
        matrices = [p for p in model.parameters() if p.dim() > 1]
        vectors = [p for p in model.parameters() if p.dim() == 1]
        self.optimizer = torch.optim.AdamW([{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}],
                                           lr=RATE, betas=(0.9, 0.98))

    def step(self, number):
        asked, wanted, weights = next(self.source)
        for group in self.optimizer.param_groups:
            group["lr"] = RATE * min(1.0, (number + 1) / WARM, 4 * (self.steps - number) / self.steps)  # falls in the last quarter
        with torch.autocast(DEVICE, torch.bfloat16):
            logits = self.model(asked, DROPOUT)
        loss = (F.cross_entropy(logits.float().flatten(0, 1), wanted.flatten(), reduction="none") * weights.flatten()).sum() / weights.sum()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        return loss.item(), asked.numel()

    def save(self, path, number, merges):
        torch.save({"merges": merges, "model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(), "number": number}, path + ".part")
        os.replace(path + ".part", path)

    def load(self, state):
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        return state["number"]


def tokenizer_of(material):
    dice = random.Random(SEED)
    texts = ["".join(material.turn(dice)) for _ in range(20000)]
    return bpe.Tokenizer(bpe.learn(texts, SIZE["vocabulary"] - 256 - len(bpe.CONTROL) - len(bpe.MARKS)))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--time", action="store_true")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--export", action="store_true")
    args = parser.parse_args()
    os.makedirs(args.out, exist_ok=True)
    log = open(os.path.join(args.out, "training.log"), "a" if args.resume or args.export else "w", encoding="utf-8")

    def say(text):
        print(text, flush=True)
        print(text, file=log, flush=True)

    torch.manual_seed(SEED)
    material = data.Data()
    saved, finish = os.path.join(args.out, "checkpoint.pt"), os.path.join(args.out, "finish")
    if os.path.exists(finish):          # of an earlier run
        os.remove(finish)
    state = torch.load(saved, map_location=DEVICE) if args.resume or args.export else None
    tokenizer = bpe.Tokenizer(state["merges"]) if state else tokenizer_of(material)
    model = Model(**SIZE).to(DEVICE).train()
    say("seed %d, material %s, %d weights, PyTorch %s on %s" % (SEED, data.digest(), sum(p.numel() for p in model.parameters()), torch.__version__, DEVICE))
    training = Training(model, args.steps)
    first = training.load(state) if state else 0
    training.source = batches(material, tokenizer, random.Random(SEED + 1 + first))
    if args.export:
        export_to(os.path.join(args.out, "llm-router-demo.gguf"), model, tokenizer)
        return
    began, tokens, mean, number = time.time(), 0, None, first
    while number < (10 if args.time else training.steps):
        loss, n = training.step(number)
        number += 1
        mean = loss if mean is None else 0.98 * mean + 0.02 * loss
        tokens += n
        if number % 100 == 0 or number == training.steps:
            say("step %5d  loss %.4f  %4.0f s  %.0f tokens/s" % (number, mean, time.time() - began, tokens / (time.time() - began)))
        if number % 200 == 0:
            training.save(saved, number, tokenizer.merges)
        if os.path.exists(finish) and number < training.steps * 3 // 4:
            training.steps = number * 4 // 3
            say("the last quarter begins: %d steps in all" % training.steps)
    if args.time:
        say("%d steps would take %.0f minutes" % (args.steps, (time.time() - began) / 10 * args.steps / 60))
        return
    export_to(os.path.join(args.out, "llm-router-demo.gguf"), model, tokenizer)
    say("done after %.0f s" % (time.time() - began))


def export_to(path, model, tokenizer):
    weights = {name: (tuple(p.shape), p.detach().float().cpu().flatten().tolist()) for name, p in model.named_parameters()}
    export.write(path, weights, tokenizer, SIZE)


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: Apache-2.0
"""bpe - a byte-level tokenizer as GPT-2 has it: learn the merges from texts, and encode with them.

The engine splits a text by the pattern of its pre-tokenizer "gpt-2" and then merges pairs by rank; the same is done here,
so that the model is trained on what it will be given. Standard library only.
"""
import collections
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "models"))
import gguf  # noqa: E402

WORD = re.compile(r"'s|'t|'re|'ve|'m|'ll|'d| ?[^\W\d_]+| ?\d+| ?(?:[^\s\w]|_)+|\s+(?!\S)|\s+")
LETTERS = gguf.byte_alphabet()
CONTROL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
MARKS = ["<tool_call>", "</tool_call>"]
SPECIAL = re.compile("(" + "|".join(map(re.escape, CONTROL + MARKS)) + ")")


def spell(word):
    return [LETTERS[byte] for byte in word.encode()]


def merged(pieces, pair):
    out, i = [], 0
    while i < len(pieces):
        if i + 1 < len(pieces) and pieces[i] == pair[0] and pieces[i + 1] == pair[1]:
            out.append(pair[0] + pair[1])
            i += 2
        else:
            out.append(pieces[i])
            i += 1
    return out


def learn(texts, count):
    """The count most useful merges, ties broken by spelling: the same texts give the same merges everywhere."""
    seen = collections.Counter(w for t in texts for part in SPECIAL.split(t) if not SPECIAL.fullmatch(part) for w in WORD.findall(part))
    words = [(spell(w), n) for w, n in sorted(seen.items())]
    pairs, where = collections.Counter(), collections.defaultdict(set)
    for i, (pieces, n) in enumerate(words):
        for pair in zip(pieces, pieces[1:]):
            pairs[pair] += n
            where[pair].add(i)
    merges = []
    while len(merges) < count and pairs:
        best = max(pairs, key=lambda p: (pairs[p], p))
        merges.append(best)
        for i in where.pop(best):
            pieces, n = words[i]
            for pair in zip(pieces, pieces[1:]):
                pairs[pair] -= n
            pieces = merged(pieces, best)
            words[i] = pieces, n
            for pair in zip(pieces, pieces[1:]):
                pairs[pair] += n
                where[pair].add(i)
        del pairs[best]
    return merges


class Tokenizer:
    def __init__(self, merges):
        self.merges = [tuple(m) for m in merges]
        self.rank = {m: i for i, m in enumerate(self.merges)}
        self.tokens = LETTERS + [a + b for a, b in self.merges] + CONTROL + MARKS
        self.id = {t: i for i, t in enumerate(self.tokens)}
        self.known = {}

    def word(self, word):
        found = self.known.get(word)
        if found is None:
            pieces = spell(word)
            while len(pieces) > 1:
                best = min(zip(pieces, pieces[1:]), key=lambda p: self.rank.get(p, len(self.rank)))
                if best not in self.rank:
                    break
                pieces = merged(pieces, best)
            found = self.known[word] = [self.id[p] for p in pieces]
        return found

    def encode(self, text):
        ids = []
        for part in SPECIAL.split(text):
            if SPECIAL.fullmatch(part):
                ids.append(self.id[part])
            else:
                for word in WORD.findall(part):
                    ids += self.word(word)
        return ids

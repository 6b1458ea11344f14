# SPDX-License-Identifier: Apache-2.0
"""gguf - write a GGUF file (version 3), standard library only.

    "GGUF" version tensors keys | key, kind, value ... | tensor names and shapes ... | pad | data

Every tensor's data starts at a multiple of 32. A file is written whole beside its final name and
then renamed, so a reader (the engine) never sees half a model.
"""
import array
import os
import struct
import sys

U32, I32, F32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9
TENSOR_F32, TENSOR_Q8_0 = 0, 8
ALIGN = 32


def string(text):
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def scalar(kind, value):
    if kind == STRING:
        return string(value)
    return struct.pack({U32: "<I", I32: "<i", F32: "<f", BOOL: "<?"}[kind], value)


def f32(values):
    data = array.array("f", values)
    if sys.byteorder == "big":
        data.byteswap()
    return data.tobytes()


def q8_0(values):
    """Per 32 values: the scale max|x|/127 as a half float, then 32 bytes. Rounds half away from 0."""
    out = bytearray()
    for i in range(0, len(values), 32):
        block = values[i:i + 32]
        scale = max(abs(x) for x in block) / 127.0
        inverse = 1.0 / scale if scale else 0.0
        out += struct.pack("<e", scale)
        out += struct.pack("<32b", *(int(x * inverse + (0.5 if x >= 0 else -0.5)) for x in block))
    return bytes(out)


class Gguf:
    def __init__(self):
        self.keys, self.tensors = [], []

    def key(self, name, kind, value):
        self.keys.append(string(name) + struct.pack("<I", kind) + scalar(kind, value))

    def key_array(self, name, kind, values):
        body = b"".join(scalar(kind, v) for v in values)
        self.keys.append(string(name) + struct.pack("<IIQ", ARRAY, kind, len(values)) + body)

    def tensor(self, name, shape, values, kind=TENSOR_F32):
        """shape: rows first, as one says it; the file wants the innermost size first."""
        self.tensors.append((name, shape, kind, f32(values) if kind == TENSOR_F32 else q8_0(values)))

    def write(self, path):
        head = bytearray(b"GGUF" + struct.pack("<IQQ", 3, len(self.tensors), len(self.keys)))
        head += b"".join(self.keys)
        offset = 0
        for name, shape, kind, data in self.tensors:
            head += string(name) + struct.pack("<I", len(shape))
            head += struct.pack("<%dQ" % len(shape), *reversed(shape))
            head += struct.pack("<IQ", kind, offset)
            offset += len(data) + -len(data) % ALIGN
        part = path + ".part"
        with open(part, "wb") as out:
            out.write(head + bytes(-len(head) % ALIGN))
            for _, _, _, data in self.tensors:
                out.write(data + bytes(-len(data) % ALIGN))
        os.replace(part, path)


def byte_alphabet():
    """The printable letters by which GPT-2 style tokenizers spell the 256 bytes."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    spare = iter(range(256, 512))
    return [chr(b) if b in plain else chr(next(spare)) for b in range(256)]

# SPDX-License-Identifier: Apache-2.0
"""samples - what the clients are given to send, the same for all of them (js/features.mjs gets it with its jobs)."""
import base64
import struct
import zlib


def png():
    """One red dot."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(b"\0\xff\0\0")) + chunk(b"IEND", b""))


PNG_BYTES = png()
PNG = base64.b64encode(PNG_BYTES).decode()
PDF_BYTES = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
PDF = base64.b64encode(PDF_BYTES).decode()
PAGE = "What stands on the page."

TOOLS = [{"name": "get_weather", "description": "Current weather",
          "schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}},
         {"name": "get_time", "description": "The time", "schema": {"type": "object", "properties": {}}}]
RESULTS = {"get_weather": "18 C", "get_time": "noon"}
CALL = "+call=2"        # the stand-in's knob: both tools are called at once

# the features in the order of the table, and what the stand-in is told to do in each
FEATURES = {
    "text": "",
    "tools": "+call=2+call_fragments=3+call_text=before",
    "tool loop": CALL,
    "tool choice": "+call=1",
    "json": "+call=1",      # for a client that wraps the schema in a tool; others bring no tools
    "images": "",
    "thinking": "+reasoning=2",
    "documents": "",
    "embeddings": "",
    "completions": "",
    "responses": "",
    "count tokens": "",
    "models": "",
}
MODEL = {"images": "demo-vision", "thinking": "demo-think", "embeddings": "demo-embed"}


def for_node():
    return {"png": PNG, "pdf": PDF, "page": PAGE, "tools": TOOLS, "results": RESULTS, "call": CALL}

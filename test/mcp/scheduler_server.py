#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A stand-in for the Residency Scheduler's MCP server: its tools by name and schema, answers by script.

Built with the library and the version the real one uses (FastMCP 2.14), so that the wire is theirs: legacy era, stateless
Streamable HTTP, answers as events, output schemas, errors as "Error calling tool ...". What it answers:

  validate_schedule_tool                 issues found, honestly
  validate_schedule_by_id_tool           its fail-open form: all is well, from a placeholder
  detect_conflicts_tool                  isError
  get_task_status_tool                   success:false without isError
  run_contingency_analysis_resilience_tool   a result with a person's name
  list_backups_tool                      200 kB
  benchmark_solvers_tool                 slow: SLOW seconds, with progress
  every other                            {"ok": true, "tool": name, "arguments": {...}}

POST /test/tools {"n": 62|81|112} changes how many there are, GET /test/calls tells which were made, GET /health as there.
Prints its port as the first line. Environment: MCP_API_KEY (empty: none is asked for), SLOW.
"""
import asyncio
import json
import os
import socket
import sys

import uvicorn
from fastmcp import FastMCP
from fastmcp.exceptions import ToolError
from fastmcp.server.dependencies import get_context
from fastmcp.tools.tool import Tool, ToolResult
from starlette.responses import JSONResponse

HERE = os.path.dirname(os.path.abspath(__file__))
CATALOGUE = os.path.join(HERE, "..", "data", "tools", "scheduler.json")
SLOW = float(os.environ.get("SLOW", "3"))

calls = []


def scripted(name, arguments):
    if name == "validate_schedule_tool":
        return {"is_valid": False, "overall_compliance_rate": 0.97, "total_issues": 2, "critical_issues": 1,
                "warning_issues": 1, "info_issues": 0, "validated_at": "2026-11-23T08:00:00",
                "date_range": {"start": arguments.get("start_date"), "end": arguments.get("end_date")},
                "issues": [{"severity": "critical", "rule_type": "work_hours",
                            "message": "PGY2-01 works 84 hours in the week of 2026-11-30"},
                           {"severity": "warning", "rule_type": "rest",
                            "message": "PGY1-03 has 9 hours between shifts on 2026-12-02"}]}
    if name == "validate_schedule_by_id_tool":
        return {"is_valid": True, "compliance_rate": 1.0, "total_issues": 1, "critical_count": 0,
                "issues": [{"severity": "info", "rule_type": "system", "constraint_name": "connectivity",
                            "message": "Backend unavailable, returning placeholder validation"}],
                "metadata": {"reason": "backend_unavailable"}}
    if name == "get_task_status_tool":
        return {"success": False, "status": "error", "error": "no such task"}
    if name == "run_contingency_analysis_resilience_tool":
        return {"n1_pass": False, "most_critical_faculty": "Dr. Miriam Oyelaran", "coverage": 0.71}
    if name == "list_backups_tool":
        return {"backups": [{"id": f"b{i:05}", "size": 1000 + i, "made": "2026-11-20T02:00:00"}
                            for i in range(3000)]}
    return {"ok": True, "tool": name, "arguments": arguments}


class Scripted(Tool):
    async def run(self, arguments):
        calls.append({"tool": self.name, "arguments": arguments})
        if self.name == "detect_conflicts_tool":
            raise ToolError("Error calling tool 'detect_conflicts_tool': the backend refused the login")
        if self.name == "benchmark_solvers_tool":
            context = get_context()
            for step in range(10):
                await asyncio.sleep(SLOW / 10)
                await context.report_progress(step + 1, 10)
        answer = scripted(self.name, arguments)
        return ToolResult(content=json.dumps(answer), structured_content=answer)


def is_there(facts, n):
    """62: the core alone; 81: those of the plan; 112: all."""
    return n == 112 or (n == 62 and facts["armory"] is None) or (n == 81 and facts["plan"])


def make(n):
    server = FastMCP("Residency Scheduler", version="0.1.0",
                     instructions="Tools about schedules, rules and people of a residency programme.")
    with open(CATALOGUE) as f:
        tools = json.load(f)["tools"]
    for tool in tools:
        if not is_there(tool["_test"], n):
            continue
        server.add_tool(Scripted(name=tool["name"], description=tool["description"], parameters=tool["inputSchema"],
                                 output_schema=tool.get("outputSchema")))
    return server


class Guarded:
    """The key, as the real one asks for it: 401 without WWW-Authenticate."""

    def __init__(self, app, key):
        self.app, self.key = app, key

    async def __call__(self, scope, receive, send):
        if scope["type"] == "http" and scope["path"] == "/mcp" and self.key:
            given = dict(scope["headers"]).get(b"authorization", b"").decode()
            if given not in (self.key, "Bearer " + self.key):
                answer = JSONResponse({"error": "unauthorized", "message": "invalid key"}, 401)
                await answer(scope, receive, send)
                return
        await self.app(scope, receive, send)


def main():
    server = make(int(sys.argv[1]) if len(sys.argv) > 1 else 112)

    @server.custom_route("/health", methods=["GET"])
    async def health(request):
        return JSONResponse({"status": "healthy", "service": "mcp", "version": "0.1.0"})

    @server.custom_route("/test/calls", methods=["GET"])
    async def told(request):
        return JSONResponse(calls)

    @server.custom_route("/test/tools", methods=["POST"])
    async def change(request):
        wanted = make((await request.json())["n"])
        server._tool_manager = wanted._tool_manager
        return JSONResponse({"ok": True})

    app = Guarded(server.http_app(path="/mcp", stateless_http=True), os.environ.get("MCP_API_KEY", ""))
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", int(os.environ.get("PORT", "0"))))
    print(listener.getsockname()[1], flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="error")).run(sockets=[listener])


if __name__ == "__main__":
    main()

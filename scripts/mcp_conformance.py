"""The official conformance suite of MCP against `sale mcp`'s server: the parts that apply to a server with one tool.

    python scripts/mcp_conformance.py            # installs the suite with npm where it is not yet, then runs it
    python scripts/mcp_conformance.py --offline  # ends with code 3 where it is not installed

Most of the suite calls tools, resources and prompts that a server made for the suite has; ours has `delegate` alone.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from sale import FunctionAgent, Market, Price, Task
from sale.server.mcp import serve_address

VERSION = "0.1.13"
PACKAGE = f"@modelcontextprotocol/conformance@{VERSION}"
PLACE = Path(__file__).parents[1] / ".make" / "mcp-conformance" / VERSION
PROGRAM = PLACE / "node_modules" / "@modelcontextprotocol" / "conformance" / "dist" / "index.js"
SCENARIOS = ("server-initialize", "ping", "tools-list", "server-sse-multiple-streams", "dns-rebinding-protection")
MISSING = 3
SECONDS = 60.0


async def plan(task: Task) -> str:
    """A plan for anything."""
    return f"1. Answer in capitals, {len(task.text)} letters. 2. Check."


async def work(task: Task, strategy: str | None) -> str:
    """The work."""
    return task.text.upper() if strategy else ""


def install() -> None:
    """Have npm put the suite beside the environment."""
    PLACE.mkdir(parents=True, exist_ok=True)
    command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(PLACE), PACKAGE]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)  # noqa: S603  our own command


async def run(scenarios: list[str]) -> int:
    """Every scenario against one server; how many failed."""
    agent = FunctionAgent("shout", price=Price(input=0.1, output=0.1, blended=0.1), bid=plan, execute=work)
    address: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    async with Market([agent]) as market:
        server = asyncio.create_task(serve_address(market, port=0, ready=address.set_result))
        try:
            url = await address
            return sum([await failed(scenario, url) for scenario in scenarios])
        finally:
            server.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await server


async def failed(scenario: str, url: str) -> bool:
    """Run one; whether it failed. What the suite says goes to standard output."""
    with tempfile.TemporaryDirectory() as scratch:
        process = await asyncio.create_subprocess_exec(
            *("node", str(PROGRAM), "server", "--url", url, "--scenario", scenario),
            cwd=scratch,  # it writes its results wherever it is
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        try:
            said, _ = await asyncio.wait_for(process.communicate(), SECONDS)
        except TimeoutError:
            process.kill()
            said = b"no end"
    code = process.returncode
    sys.stdout.write(f"{'failed' if code else 'passed'}: {scenario}\n")
    if code:
        sys.stdout.write(said.decode(errors="replace") + "\n")
    return bool(code)


def main() -> int:
    """Install if need be, and run."""
    parser = argparse.ArgumentParser(description="MCP conformance of `sale mcp`.")
    parser.add_argument("--offline", action="store_true")
    parser.add_argument("--scenario", action="append")
    given = parser.parse_args()
    if shutil.which("node") is None or shutil.which("npm") is None:
        sys.stderr.write("node and npm are needed\n")
        return MISSING
    if not PROGRAM.exists():
        if given.offline:
            sys.stderr.write("the suite is not installed: python scripts/mcp_conformance.py\n")
            return MISSING
        install()
    return int(asyncio.run(run(given.scenario or list(SCENARIOS))) > 0)


if __name__ == "__main__":
    sys.exit(main())

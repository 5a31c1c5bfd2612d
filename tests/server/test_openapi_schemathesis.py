"""Whatever the published description allows, and much it does not: never a 5xx, never a hang, never an odd shape."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from pathlib import Path

import pytest

from benchmarks.gateway.environments import found
from tests.support.faulty_server import FaultWall
from tests.support.gateway_process import gateway
from tests.support.hang import HANG

CHECKS = "not_a_server_error,content_type_conformance,response_schema_conformance,status_code_conformance"


@pytest.mark.release
def test_schemathesis_finds_no_server_error_and_no_hang(tmp_path: Path) -> None:
    programs = found("schemathesis")
    if programs is None:
        pytest.skip("Schemathesis is not installed: python -m benchmarks.gateway.environments schemathesis")
    with FaultWall() as wall:
        agents = [{"name": "only", "endpoint": wall.base_url, "model": "always", "price": 1.0, "logprobs": 0}]
        with gateway(tmp_path / "gateway", agents) as served:
            done = subprocess.run(
                [
                    *(str(programs / "schemathesis"), "run", f"{served.origin}/openapi.json"),
                    *("--checks", CHECKS, "--max-examples", "25", "--phases", "examples,coverage,fuzzing"),
                    *("--request-timeout", str(HANG), "--seed", "1", "--no-color", "--continue-on-failure"),
                    *("--suppress-health-check", "all", "--warnings", "off"),
                ],
                cwd=tmp_path,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stdout[-12000:] + done.stderr[-2000:]
            assert "Traceback" not in served.said


def test_the_description_names_every_route_and_errors(tmp_path: Path) -> None:
    agents = [{"name": "only", "endpoint": "http://127.0.0.1:9/v1", "model": "any", "price": 1.0, "logprobs": 0}]
    with gateway(tmp_path, agents) as served, urllib.request.urlopen(f"{served.origin}/openapi.json") as answer:
        described = json.load(answer)
    assert described["openapi"].startswith("3.")
    paths = {"/v1/chat/completions", "/v1/responses", "/v1/embeddings", "/v1/models", "/v1/feedback", "/healthz"}
    paths |= {"/v1/messages", "/v1/messages/count_tokens", "/v1/completions", "/v1/rerank"}
    paths |= {"/v1/responses/{response_id}", "/v1/responses/{response_id}/input_items"}
    assert paths <= set(described["paths"])
    told = [one["post"]["responses"] for one in described["paths"].values() if "post" in one]
    assert all("default" in one or "400" in one for one in told), "errors are not described"

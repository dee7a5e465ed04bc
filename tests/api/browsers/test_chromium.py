"""What a real browser makes of the service, and lets others make of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis

from optserve.contract.states import State
from optserve.local.embedded import EmbeddedServer
from tests.support.machine.chromium import visit
from tests.support.service.api_process import ApiProcess, api_process
from tests.support.store.protocol import state_of, submit

pytestmark = [pytest.mark.browser, pytest.mark.long]


@pytest.fixture(scope="module")
def running(
    server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ApiProcess]:
    """An API process that listens on all addresses, as in a container."""
    home = tmp_path_factory.mktemp("browsers")
    with api_process(server.url, home, host="0.0.0.0") as started:
        yield started


@contextmanager
def another_site(html: str, **headers: str) -> Iterator[str]:
    """Serve a page; give its URL."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            for name, value in {"Content-Type": "text/html", **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(html.encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        yield f"http://localhost:{serving.server_address[1]}/"
        serving.shutdown()


def test_the_docs_show_every_operation_and_load_nothing_from_elsewhere(
    running: ApiProcess, tmp_path: Path
) -> None:
    seen = visit(f"{running.url}/docs", tmp_path / "profile")

    assert seen.console == []
    assert "/v1/jobs/{job_id}/cancel" in seen.dom.replace("<wbr>", "")
    assert seen.dom.count('class="opblock ') > 25


def test_the_browser_reports_requests_to_other_hosts(tmp_path: Path) -> None:
    """That the console is empty above means something."""
    html = "<script src='http://elsewhere.example/a.js'></script>"
    with another_site(html, **{"Content-Security-Policy": "default-src 'self'"}) as url:
        seen = visit(url, tmp_path / "profile")

    assert any("elsewhere.example" in line for line in seen.console)


def test_a_page_of_another_site_cannot_cancel_a_job(
    running: ApiProcess, client: redis.Redis, tmp_path: Path
) -> None:
    job_id = submit(client)
    asking = f"fetch('{running.url}/v1/jobs/{job_id}/cancel', {{method: 'POST', mode: 'no-cors'}})"
    told = "() => { document.title = 'sent' }, () => { document.title = 'lost' }"
    html = f"<script>{asking}.then({told})</script>"

    with another_site(html) as url:
        seen = visit(url, tmp_path / "profile")

    assert "<title>sent</title>" in seen.dom
    assert state_of(client, job_id) is State.QUEUED


def test_a_page_cannot_read_by_dns_rebinding(
    running: ApiProcess, client: redis.Redis, tmp_path: Path
) -> None:
    job_id = submit(client)
    port = urlsplit(running.url).port

    own = visit(f"http://localhost:{port}/v1/jobs", tmp_path / "profile")
    rebound = visit(
        f"http://evil.example:{port}/v1/jobs",
        tmp_path / "other",
        names={"evil.example": "127.0.0.1"},
    )

    assert job_id in own.dom
    assert job_id not in rebound.dom
    assert "host_not_allowed" in rebound.dom

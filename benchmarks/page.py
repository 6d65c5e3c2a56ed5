"""Measure in Chromium how long a person on a bad connection waits for a page: docs/performance/page.md has the table.

Chromium itself slows the network down (CDP, Network.emulateNetworkConditions), on one machine. Each request is delayed;
connections are opened without a delay.
"""

import argparse
import statistics
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.browser.conftest import ARGUMENTS
from tests.browser.desk import Ward
from tests.conftest import find_chromium

ROUND_TRIP_MS = 800
KBIT_PER_S = 250

LONGEST_MS = 60_000
"""For one page."""

SETTLED = "() => document.querySelector('#survey')?.dataset.connection !== 'connecting'"
"""The survey's WebSocket is open; other pages have none."""


@dataclass(frozen=True)
class View:
    """A page, and the JavaScript expression that is true when a person sees what they came for."""

    name: str
    path: str
    is_shown: str


SURVEY = View("survey: the first question", "/s/phq9", "document.querySelector('#prompt')?.checkVisibility()")
DASHBOARD = (
    View("dashboard: overview", "/dashboard", "document.querySelector('h1')?.checkVisibility()"),
    View("dashboard: sessions", "/dashboard/sessions", "document.querySelector('tbody tr')?.checkVisibility()"),
    View("dashboard: a survey", "/dashboard/surveys/phq9", "document.querySelector('#figures')?.ariaBusy === 'false'"),
)


@dataclass
class Load:
    """One load of a page: the wait, and what came over the network."""

    shown_ms: float = 0
    requests: list[str] = field(default_factory=list)
    size_bytes: float = 0


def load(page: Page, url: str, view: View) -> Load:
    """Open a page over the slow network; return when it is settled."""
    measured, cached = Load(), set[str]()
    addresses: dict[str, str] = {}
    network = page.context.new_cdp_session(page)

    def on(event: str, handle: Callable[[dict[str, Any]], None]) -> None:
        network.on(f"Network.{event}", handle)

    def respond(event: dict[str, Any]) -> None:
        if event["response"].get("fromDiskCache"):
            cached.add(event["requestId"])

    def finish(event: dict[str, Any]) -> None:
        measured.size_bytes += 0 if event["requestId"] in cached else event["encodedDataLength"]

    on("requestWillBeSent", lambda event: addresses.update({event["requestId"]: event["request"]["url"]}))
    on("webSocketCreated", lambda event: addresses.update({event["requestId"]: event["url"]}))
    on("requestServedFromCache", lambda event: cached.add(event["requestId"]))
    on("responseReceived", respond)
    on("loadingFinished", finish)
    network.send("Network.enable")
    throughput = KBIT_PER_S * 1000 / 8
    conditions = {"offline": False, "latency": ROUND_TRIP_MS}
    network.send(
        "Network.emulateNetworkConditions",
        {**conditions, "downloadThroughput": throughput, "uploadThroughput": throughput},
    )
    page.goto(url + view.path, wait_until="commit", timeout=LONGEST_MS)
    shown = page.wait_for_function(f"() => ({view.is_shown}) && performance.now()", polling="raf", timeout=LONGEST_MS)
    measured.shown_ms = shown.json_value()
    page.wait_for_function(SETTLED, timeout=LONGEST_MS)
    page.wait_for_load_state("networkidle", timeout=LONGEST_MS)
    measured.requests = [address for number, address in addresses.items() if number not in cached]
    network.detach()
    return measured


def visits(context: BrowserContext, url: str, view: View) -> Iterator[tuple[str, Load]]:
    """Yield a first visit and a return."""
    for visit in ("first", "return"):
        page = context.new_page()
        yield visit, load(page, url, view)
        page.close()


def measure(browser: Browser, ward: Ward, rounds: int) -> dict[tuple[str, str], list[Load]]:
    """Return the loads by view and visit, each round in a new profile."""
    loads: dict[tuple[str, str], list[Load]] = {}
    for view in (SURVEY, *DASHBOARD):
        for _ in range(rounds):
            context = browser.new_context()
            if view is not SURVEY:
                sign_in = context.request.post(f"{ward.url}/sign-in", form={"key": ward.key})
                assert sign_in.ok, sign_in.status
            for visit, measured in visits(context, ward.url, view):
                loads.setdefault((view.name, visit), []).append(measured)
            context.close()
    return loads


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="the table has medians (3)")
    parser.add_argument("--list", action="store_true", help="list the requests of the last round")
    options = parser.parse_args()
    chromium = find_chromium()
    if chromium is None:
        parser.exit(1, "Chromium was not found (Debian: apt install chromium-headless-shell).\n")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        ward = Ward(Path(folder))
        try:
            browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
            loads = measure(browser, ward, options.rounds)
            browser.close()
        finally:
            ward.server.stop()
    print(f"Round trip {ROUND_TRIP_MS} ms, {KBIT_PER_S} kbit/s, medians of {options.rounds}\n")
    print("| Page | Visit | Shown after, s | Requests | KiB |\n| --- | --- | --: | --: | --: |")
    for (name, visit), rounds in loads.items():
        shown_s = statistics.median(each.shown_ms for each in rounds) / 1000
        requests = statistics.median(len(each.requests) for each in rounds)
        kib = statistics.median(each.size_bytes for each in rounds) / 1024
        print(f"| {name} | {visit} | {shown_s:.1f} | {requests:.0f} | {kib:.0f} |")
        if options.list:
            print("", *rounds[-1].requests, sep="\n    ")


if __name__ == "__main__":
    main()

"""A real headless browser without network, and the pages that are opened in it."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from loadgen.core.masking import Masker, parse
from loadgen.report.evidence import gather
from loadgen.report.page import render
from loadgen.store.verification import find_verification
from tests.report.sample import Sample, make

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

AXE = Path(os.environ.get("AXE_CORE", "node_modules/axe-core/axe.min.js"))
"""axe-core, from ``npm install axe-core`` beside the sources or wherever this variable says."""


def missing(what: str) -> None:
    """Skip, or fail where nothing may be skipped."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what} is missing: browser tests may not be skipped in CI")
    pytest.skip(f"{what} is missing")


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Start one browser for all tests."""
    selenium = pytest.importorskip if os.environ.get("CI") != "true" else __import__
    selenium("selenium")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    binary = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    driver = shutil.which("chromedriver")
    if not binary or not driver:
        missing("chromium or its chromedriver")
    options = webdriver.ChromeOptions()
    options.binary_location = str(binary)
    for flag in (
        "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        f"--user-data-dir={tmp_path_factory.mktemp('profile')}",
    ):  # fmt: skip
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    browser = webdriver.Chrome(options=options, service=Service(str(driver)))
    yield browser
    browser.quit()


class Page:
    """One report, opened."""

    def __init__(self, browser: Any) -> None:
        self.browser = browser

    def run(self, code: str, *arguments: Any) -> Any:
        """Run JavaScript in the page; the names that its program declares are in scope."""
        return self.browser.execute_script(code, *arguments)

    def until(self, code: str, seconds: float = 10.0) -> Any:
        """Wait until an expression is true, and return it."""
        from selenium.webdriver.support.ui import WebDriverWait

        return WebDriverWait(self.browser, seconds, 0.02).until(lambda _: self.run(f"return {code}"))

    def all(self, selector: str) -> list[Any]:
        """Return the elements that a selector finds."""
        return list(self.browser.find_elements("css selector", selector))

    def one(self, selector: str) -> Any:
        """Return the first element that a selector finds."""
        return self.browser.find_element("css selector", selector)

    def keys(self, *keys: str) -> None:
        """Press keys, wherever the focus is."""
        from selenium.webdriver import ActionChains

        ActionChains(self.browser).send_keys(*keys).perform()

    def screen(self, width: int, height: int = 900, *, dark: bool = False, touch: bool = False) -> None:
        """Pretend to be a screen of that size, in that colour scheme."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": touch}
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})

    def requested(self) -> list[str]:
        """Return every address that was asked for since the last call."""
        messages = [json.loads(entry["message"])["message"] for entry in self.browser.get_log("performance")]
        return [
            message["params"]["request"]["url"]
            for message in messages
            if message["method"] == "Network.requestWillBeSent"
        ]

    def complaints(self) -> list[str]:
        """Return what the console said since the last call."""
        return [entry["message"] for entry in self.browser.get_log("browser")]

    def accessibility(self) -> list[str]:
        """Return what axe-core finds wrong with the page as it is now."""
        if not AXE.is_file():
            missing("axe-core")
        self.run("window.eval ? 0 : 0;" + AXE.read_text(encoding="utf-8"))
        found = self.browser.execute_async_script("axe.run(document).then(arguments[0])")
        return [
            f"{one['id']}: {one['help']}: {[node['html'][:160] for node in one['nodes'][:3]]}"
            for one in found["violations"]
        ]


@pytest.fixture
def open_report(chromium: Any, tmp_path: Path) -> Callable[..., Page]:
    """Return a function that makes a run, renders its report, and opens it."""

    def open_(sample: Sample, mask: tuple[str, ...] = (), *, width: int = 1360, dark: bool = False) -> Page:
        run, manifest = make(tmp_path / "run", sample)
        masker = Masker(parse(mask))
        evidence = gather(run, manifest, find_verification(run.path), masker)
        file = tmp_path / "report.html"
        file.write_bytes(render(evidence, masker, version="0"))
        page = Page(chromium)
        page.screen(width, dark=dark, touch=width < 600)
        page.requested()
        page.complaints()
        chromium.get(file.as_uri())
        page.until("document.documentElement.dataset.ready")
        return page

    return open_

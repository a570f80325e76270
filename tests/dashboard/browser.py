"""A real Chromium without a window, and what it was asked for and complained about."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from selenium.common.exceptions import WebDriverException
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

T = TypeVar("T")
# Long enough for a busy machine; what is there sooner is taken sooner.
PATIENCE_S = 20.0
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--lang=en-US",
    "--window-size=1280,900",
)


class Browser:
    """One browser on one server; `origin` is the server's."""

    def __init__(self, profile: Path, origin: str) -> None:
        options = ChromeOptions()
        for flag in (*FLAGS, f"--user-data-dir={profile / 'profile'}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.downloads = profile / "downloads"
        self.downloads.mkdir(parents=True)
        options.add_experimental_option("prefs", {"download.default_directory": str(self.downloads)})
        # Given by name: nothing is looked for or fetched.
        options.binary_location = shutil.which("chromium") or "chromium"
        self.driver = Chrome(options=options, service=Service(shutil.which("chromedriver")))
        self.origin = origin
        self.width = 0

    def quit(self) -> None:
        self.driver.quit()

    def open(self, view: str, *, base: str = "/") -> None:
        """A view by what stands behind the `#/`, loaded anew."""
        self.driver.get("about:blank")
        self.driver.get(f"{self.origin}{base}#/{view}")

    def until(self, probe: Callable[[], T], what: str = "") -> T:
        """The first value of `probe` that is true; an element that is gone meanwhile is looked for again."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            error: Exception | None = None
            try:
                found = probe()
                if found:
                    return found
            except (WebDriverException, StopIteration, AttributeError, KeyError, IndexError) as raised:
                error = raised
            if time.monotonic() > deadline:
                raise AssertionError(f"{what or probe} did not come; the page says:\n{self.text('body')}") from error
            time.sleep(0.02)

    def find(self, css: str) -> WebElement:
        return self.until(lambda: self.driver.find_element(By.CSS_SELECTOR, css), css)

    def click(self, css: str, at: int = 0) -> None:
        """On one of those that match, also where the page makes them anew meanwhile."""
        self.until(lambda: self.all(css)[at].click() or True, css)  # type: ignore[func-returns-value]

    def all(self, css: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, css)

    def text(self, css: str) -> str:
        """As the page holds it, whatever is cut off on the screen."""
        return str(self.run("return document.querySelector(arguments[0])?.textContent ?? ''", css))

    def texts(self, css: str) -> list[str]:
        return list(self.run("return [...document.querySelectorAll(arguments[0])].map((e) => e.textContent)", css))

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def button(self, name: str, within: str = "body") -> WebElement:
        """The button that is called so, by its text or its label."""
        return self.until(
            lambda: next(
                button
                for button in self.all(f"{within} button")
                if name in (button.text.strip(), button.get_attribute("aria-label")) and button.is_displayed()
            ),
            f"the button {name}",
        )

    def screen(self, *, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        """What kind of screen it believes it has."""
        self.width = width
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.command("Emulation.setEmulatedMedia", features=[scheme])
        self.command(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )

    def fits(self) -> bool:
        """Is nothing wider than the screen? A phone would show the page smaller then, and say that the screen is wider."""
        return int(self.run("return Math.max(innerWidth, document.documentElement.scrollWidth)")) <= self.width

    def command(self, name: str, **parameters: Any) -> Any:
        return self.driver.execute_cdp_cmd(name, parameters)

    def complaints(self) -> list[str]:
        """What the console holds since this was last asked: errors and warnings, refused requests among them."""
        entries = self.driver.get_log("browser")  # type: ignore[no-untyped-call]
        return [f"{entry['level']}: {entry['message']}" for entry in entries if entry["level"] != "INFO"]

    def requests(self) -> list[dict[str, Any]]:
        """All that it asked for since this was last asked: `url`, and `status` and `bytes` where an answer came."""
        asked: dict[str, dict[str, Any]] = {}
        for entry in self.driver.get_log("performance"):  # type: ignore[no-untyped-call]
            message = json.loads(entry["message"])["message"]
            method, parameters = message["method"], message["params"]
            if method == "Network.requestWillBeSent":
                asked[parameters["requestId"]] = {"url": parameters["request"]["url"]}
            elif method == "Network.responseReceived" and parameters["requestId"] in asked:
                asked[parameters["requestId"]]["status"] = parameters["response"]["status"]
            elif method == "Network.loadingFinished" and parameters["requestId"] in asked:
                asked[parameters["requestId"]]["bytes"] = parameters["encodedDataLength"]
        return list(asked.values())

    def foreign(self, requests: list[dict[str, Any]]) -> list[str]:
        """Addresses among them that are neither the server's nor made by the page itself."""
        return [
            request["url"]
            for request in requests
            if not request["url"].startswith(f"{self.origin}/")
            and urlsplit(request["url"]).scheme not in ("data", "blob", "about")
        ]

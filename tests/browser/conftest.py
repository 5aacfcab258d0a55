"""One gate for all tests that leave it as it is, and browsers of every width and theme."""

import base64
import json
import os
import pathlib

import pytest
from gate import Gate
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.ui import WebDriverWait

SCREENSHOTS = pathlib.Path(os.environ.get("SCREENSHOTS", "target/browser"))


class Browser:
    """Chromium, and what it said and asked for."""

    def __init__(self, width, theme):
        options = webdriver.ChromeOptions()
        options.binary_location = "/usr/bin/chromium"
        for argument in (
            "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
            "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
        ):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
        self.driver.set_script_timeout(120)
        self.width, self.requests = width, []
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        features = [{"name": "prefers-color-scheme", "value": theme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def open(self, url):
        self.driver.get(url)
        self.wait("the feed is live", lambda: self.text("#live") == "Live")

    def wait(self, what, condition, seconds=30):
        WebDriverWait(self.driver, seconds, 0.1).until(lambda _: condition(), f"still not so: {what}")

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def text(self, selector):
        return self.run("return document.querySelector(arguments[0])?.textContent ?? null", selector)

    def tile(self, name):
        return self.run(
            "return [...document.querySelectorAll('.tile')].find((tile) => tile.firstChild.textContent === arguments[0])"
            "?.querySelector('.tile-value').textContent ?? null", name)

    def rows(self, selector):
        """Returns the texts of a table's cells, row by row."""
        return self.run(
            "return [...document.querySelectorAll(arguments[0] + ' tbody tr')]"
            ".map((row) => [...row.cells].map((cell) => cell.textContent))", selector)

    def console(self):
        return [entry for entry in self.driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]

    def asked_for(self):
        """Returns the addresses of all requests so far."""
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                self.requests.append(message["params"]["request"]["url"])
        return self.requests

    def screenshot(self, name):
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        size = self.driver.execute_cdp_cmd("Page.getLayoutMetrics", {})["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": self.width, "height": size["height"], "scale": 1}
        shot = self.driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip})
        (SCREENSHOTS / f"{name}.png").write_bytes(base64.b64decode(shot["data"]))

    def quit(self):
        self.driver.quit()


@pytest.fixture(scope="session")
def gate():
    gate = Gate()
    yield gate
    gate.stop()


@pytest.fixture
def browse():
    """Makes browsers, and ends them with the test."""
    browsers = []

    def start(width=1280, theme="light"):
        browsers.append(Browser(width, theme))
        return browsers[-1]

    yield start
    for browser in browsers:
        browser.quit()

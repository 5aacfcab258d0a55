"""The operators' page in a real browser."""

import importlib.resources
import json

import pytest
from gate import Gate, Traffic
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

AXE = importlib.resources.files("axe_playwright_python").joinpath("axe.min.js").read_text()


def number(text):
    return int(text.replace(",", ""))


def is_clean(browser, gate):
    """Nothing was complained of, and nothing was asked of anybody else."""
    assert browser.console() == []
    foreign = [url for url in browser.asked_for() if not url.startswith((gate.page, "data:"))]
    assert foreign == []


def tab(browser):
    ActionChains(browser.driver).send_keys(Keys.TAB).perform()


def focused(browser):
    return browser.run(
        "const it = document.activeElement;"
        "return it === document.body ? 'BODY' : it.id || it.getAttribute('aria-label') || it.textContent.trim() || it.tagName")


def focus(browser, selector):
    browser.run("document.querySelector(arguments[0]).focus()", selector)
    return browser.driver.switch_to.active_element


def test_the_figures_are_right_while_traffic_runs(gate, browse):
    before = gate.status()["traffic"]["hour"]["verdicts"]
    browser = browse()
    browser.open(gate.page)
    with Traffic(gate) as traffic:
        browser.wait("refusals are counted live", lambda: number(browser.tile("Refused")) > before["refused"] + 20)
        # the page moves by itself
        seen = number(browser.tile("Refused"))
        browser.wait("the count goes on", lambda: number(browser.tile("Refused")) > seen + 5)
        browser.wait("a step is drawn", lambda: "/s" in browser.text("#plots .legend-value"))
    counted = {verdict: before[verdict] + many for verdict, many in traffic.counts.items()}
    browser.wait("all are counted", lambda: number(browser.tile("Refused")) == counted["refused"])
    told = gate.status()["traffic"]["hour"]
    assert {verdict: told["verdicts"][verdict] for verdict in counted} == counted
    rules = {row[0]: row for row in browser.rows("#rules")}
    for reason, status in (("owner_forbidden", "403"), ("status_unknown", "400")):
        row = rules[reason]
        # the tour of the demo has been refused once for each
        assert (row[1], row[2], number(row[4])) == (status, "enforce", 1 + traffic.counts["refused"] // 2)
    upstream, health, breaker, _, _, answered, failed = browser.rows("#upstreams")[0]
    assert (health, breaker, failed) == ("healthy", "closed", "none")
    assert upstream.startswith("http://127.0.0.1:") and number(answered) >= traffic.counts["permitted"]
    assert [row[0] for row in browser.rows("#caches")] == ["token", "ownership"]
    is_clean(browser, gate)


def test_a_refusal_appears_with_a_link_that_explains_it(gate, browse):
    browser = browse()
    browser.open(gate.page)
    assert gate.update(gate.owner) == 403
    refusal = lambda: gate.status()["refusals"][0]
    link = lambda: browser.run("return document.querySelector('#refusals tbody a')?.getAttribute('href') ?? ''")
    browser.wait("the newest stands first", lambda: link() == f"/explain?request_id={refusal()['request_id']}")
    first = browser.rows("#refusals")[0]
    assert first[1:7] == ["Explain", "refused", "owner_forbidden", "403", "–", "403"]
    assert first[7] == gate.image


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 768, 1280, 1920])
def test_it_fits_every_width_in_both_themes(gate, browse, width, theme):
    browser = browse(width, theme)
    browser.open(gate.page)
    browser.wait("a step is drawn", lambda: len(gate.status()["series"]["at"]) > 2)
    browser.wait("plots are there", lambda: browser.run("return document.querySelectorAll('svg.plot path').length") > 10)
    assert browser.run("return document.documentElement.scrollWidth") <= width
    ground = browser.run("return getComputedStyle(document.body).backgroundColor")
    brightness = sum(int(part) for part in ground.removeprefix("rgb(").removesuffix(")").split(","))
    assert (brightness > 384) == (theme == "light"), ground
    browser.screenshot(f"page-{width}-{theme}")
    is_clean(browser, gate)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_axe_finds_nothing(gate, browse, width, theme):
    gate.update(gate.owner)
    browser = browse(width, theme)
    browser.open(gate.page)
    browser.wait("the refusals are there", lambda: browser.rows("#refusals") != [])
    # with every table open
    browser.run("for (const details of document.querySelectorAll('details')) details.open = true")
    browser.run("document.getElementById('rules-all').click(); document.getElementById('settings-changed').click()")
    browser.run(AXE)
    found = browser.driver.execute_async_script(
        "const done = arguments[arguments.length - 1];"
        "axe.run(document, { resultTypes: ['violations'] }).then((result) => done(result.violations"
        ".map((rule) => `${rule.impact}: ${rule.id}: ${rule.nodes.map((node) => node.target).slice(0, 3).join(' ')}`)))")
    assert found == []


def test_everything_is_reached_by_the_keyboard(gate, browse):
    gate.update(gate.owner)
    browser = browse()
    browser.open(gate.page)
    browser.wait("the refusals are there", lambda: browser.rows("#refusals") != [])
    order = []
    for _ in range(120):
        tab(browser)
        name = focused(browser)
        if order and name in ("BODY", order[0]):
            break
        order.append(name)
        outline = browser.run(
            "const it = document.activeElement; const shown = it.matches('.choice input') ? it.nextElementSibling : it;"
            "return getComputedStyle(shown).outlineStyle")
        assert outline != "none", f"no focus is to be seen on {name}"
    assert order[0] == "Skip to the figures"
    wanted = ["theme", "moment", "Figures as a table", "Upstreams", "rules-all", "Latest refusals, answered or only told",
              "settings-changed", "settings-find", "Configuration in use; secrets are masked", "/status.json"]
    places = [next(place for place, name in enumerate(order) if name.startswith(word)) for word in wanted]
    assert places == sorted(places), order
    assert any(name.startswith("Explain req-") for name in order)


@pytest.mark.parametrize("key", [Keys.ENTER, Keys.SPACE])
def test_the_theme_is_toggled_by_key_and_kept(gate, browse, key):
    browser = browse(theme="light")
    browser.open(gate.page)
    pressed = lambda: browser.run("return document.getElementById('theme').getAttribute('aria-pressed')")
    assert pressed() == "false"
    focus(browser, "#theme").send_keys(key)
    assert pressed() == "true"
    browser.open(gate.page)
    assert pressed() == "true"
    assert browser.run("return document.documentElement.dataset.theme") == "dark"
    focus(browser, "#theme").send_keys(key)
    assert pressed() == "false"
    is_clean(browser, gate)


def test_a_moment_is_looked_at_by_the_keyboard(gate, browse):
    browser = browse()
    browser.open(gate.page)
    browser.wait("there are some steps", lambda: len(gate.status()["series"]["at"]) > 3)
    browser.open(gate.page)
    slider = focus(browser, "#moment")
    slider.send_keys(Keys.ARROW_LEFT, Keys.ARROW_LEFT)
    told = browser.text("#moment-text")
    assert told.count(":") == 2, told
    assert browser.run("return document.getElementById('moment').getAttribute('aria-valuetext')") == told
    assert browser.run("return document.querySelector('line.cursor').getAttribute('visibility')") == "visible"
    slider.send_keys(Keys.END)
    assert browser.text("#moment-text") == "latest"


def test_each_plot_has_its_figures_as_a_table(gate, browse):
    browser = browse()
    browser.open(gate.page)
    browser.wait("there is a step", lambda: len(gate.status()["series"]["at"]) > 0)
    browser.open(gate.page)
    plots = browser.run("return document.querySelectorAll('figure').length")
    assert plots == 6
    for place in range(plots):
        summary = browser.run("return document.querySelectorAll('figure summary')[arguments[0]]", place)
        summary.send_keys(Keys.ENTER)
        table = f"#plots figure:nth-of-type({place + 1})"
        browser.wait("the table is there", lambda table=table: browser.rows(table) != [])
        heads = browser.run("return document.querySelectorAll(arguments[0] + ' thead th').length", table)
        assert heads == len(browser.rows(table)[0])
        label = browser.run("return document.querySelector(arguments[0] + ' svg').getAttribute('aria-label')", table)
        assert "Latest:" in label


def test_the_configuration_is_found_and_its_secrets_are_not(gate, browse):
    browser = browse()
    browser.open(gate.page)
    changed = browser.rows("#settings")
    assert ["keystone_authtoken.password", '"***"', "environment"] in changed
    assert all(row[2] != "default" for row in changed)
    focus(browser, "#settings-changed").send_keys(Keys.SPACE)
    every = browser.rows("#settings")
    assert len(every) > 100
    focus(browser, "#settings-find").send_keys("breaker_open")
    assert [row[0] for row in browser.rows("#settings")] == ["upstream.breaker_open_time"]
    focus(browser, "#settings-find").send_keys("nowhere")
    assert browser.rows("#settings") == [] and "No key fits" in browser.text("#settings .empty")


def test_nothing_jumps_and_nothing_chatters(gate, browse):
    browser = browse()
    browser.open(gate.page)
    browser.run(
        "window.shifts = 0; window.words = [];"
        "new PerformanceObserver((list) => { for (const entry of list.getEntries()) window.shifts += entry.value; })"
        ".observe({ type: 'layout-shift' });"
        "for (const region of document.querySelectorAll('[role=status], [role=alert], [aria-live]'))"
        "  new MutationObserver(() => window.words.push(region.textContent)).observe(region, { childList: true, characterData: true, subtree: true });")
    steps = len(gate.status()["series"]["at"])
    with Traffic(gate):
        browser.wait("two steps have gone by", lambda: len(gate.status()["series"]["at"]) >= min(720, steps + 2))
    assert browser.run("return window.words") == []
    assert browser.run("return window.shifts") < 0.05


def test_the_kill_switch_and_what_glance_says_then_are_seen(browse):
    gate = Gate()
    try:
        browser = browse()
        browser.open(gate.page)
        assert browser.text("#mode") == "Enforcing"
        gate.kill_switch("on")
        browser.wait("the badge says so", lambda: browser.text("#mode") == "Kill switch on, held by operator")
        assert "The kill switch is on." in browser.text("#announcer")
        with Traffic(gate) as traffic:
            browser.wait("they are counted", lambda: number(browser.tile("Would refuse")) > 30)
        told = traffic.counts["refused"]
        browser.wait("all are", lambda: number(browser.tile("Would refuse")) == told)
        rules = {row[0]: row for row in browser.rows("#rules")}
        for reason in ("owner_forbidden", "status_unknown"):
            # mode; only told; compared; disagreed; agreement
            assert rules[reason][2] == "observe (set to enforce)"
            assert rules[reason][5:] == [str(told // 2), str(told // 2), "0", "100 %"]
        browser.screenshot("page-kill-switch")
        gate.kill_switch("off")
        browser.wait("it is off again", lambda: browser.text("#mode") == "Enforcing")
        is_clean(browser, gate)
    finally:
        gate.stop()


def test_who_finds_no_place_reads_the_document_now_and_then(browse):
    gate = Gate()
    places = []
    try:
        places = [gate.listen() for _ in range(16)]
        browser = browse()
        browser.driver.get(gate.page)
        browser.wait("it reads the document", lambda: browser.text("#live") == "Every 10 s")
        assert browser.text("#ready") == "Ready" and browser.rows("#upstreams") != []
        for place in places:
            place.close()
        browser.wait("it is live once there is a place", lambda: browser.text("#live") == "Live")
    finally:
        gate.stop()


def test_figures_that_are_old_say_so(browse):
    gate = Gate()
    try:
        browser = browse()
        browser.open(gate.page)
        assert browser.run("return document.getElementById('stale').hidden")
    finally:
        gate.stop()
    browser.wait("the banner is there", lambda: not browser.run("return document.getElementById('stale').hidden"))
    assert browser.text("#stale").startswith("The feed is lost: these figures are as of ")
    assert browser.text("#live") == "Not live"
    assert browser.run("return document.body.hasAttribute('data-stale')")
    browser.screenshot("page-stale")


DIFFERENCES = {
    "schema": 1, "now": 1_800_000_000, "since": 1_799_990_000, "forgotten": 0,
    "compared": {"all": 200, "equal": 190, "differs": 8, "not_compared": 2},
    "routes": [{"method": "GET", "route": "/v2/images", "all": 200, "equal": 190, "differs": 8, "not_compared": 2}],
    "differences": [
        {"method": "GET", "route": "/v2/images", "field": field, "kind": "changed", "primary_status": primary,
         "staging_status": staging, "counts": counts, "ignored": ignored, "learned": 0, "built_in": built_in,
         "share": 0.04, "first": 1_799_990_000, "last": 1_799_999_990, "reason": "known" if ignored else None,
         "examples": [{"request_id": "req-1", "target": "/v2/images?<b>", "primary": "\"<i>\"", "staging": None}]}
        for field, primary, staging, counts, ignored, built_in in
        [("/images/*/name", 200, 200, 8, 0, 0), ("status", 403, 404, 0, 5, 0), ("/images/*/created_at", 200, 200, 0, 0, 190)]
    ],
    "rules": [
        {"line": 1, "rule": "status 403 → 404", "reason": "known", "expires": None, "is_expired": False, "hits": 5},
        {"line": 6, "rule": "body", "reason": "old", "expires": "2020-01-01", "is_expired": True, "hits": 0},
    ],
    "learned": [{"method": "GET", "route": "/v2/images", "field": "/flaps", "kind": "changed", "seen": 3,
                 "last": 1_799_999_990, "is_noise": True, "hits": 2}],
    "lines": {"written": 13},
    "copies": [{"name": "shadow_copies_total", "labels": {"outcome": "sent"}, "value": 200}],
}


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_the_page_of_differences_ranks_them_and_is_reached_by_a_link(gate, browse, width, theme):
    browser = browse(width, theme)
    # the demo has no staging: what it would have found is given to the page
    script = f"window.fetch = async () => ({{ ok: true, json: async () => ({json.dumps(DIFFERENCES)}) }});"
    browser.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": script})
    browser.open(gate.page)
    assert browser.run("return document.querySelector('a[href=\"/shadow\"]') !== null")
    browser.open(gate.page + "shadow")
    assert browser.text("#verdict") == "1 kind of difference"
    assert (browser.tile("Compared"), browser.tile("Differ")) == ("200", "8")
    assert [row[0] for row in browser.rows("#differences")] == ["/images/*/name"]
    assert browser.rows("#examples")[0] == ["/images/*/name", "req-1", "/v2/images?<b>", "\"<i>\"", "–"]
    assert browser.rows("#ignored")[0][-1] == "known"
    assert [row[2] for row in browser.rows("#idle")] == ["expired"]
    assert browser.rows("#copies") == [["shadow_copies_total", "outcome sent", "200"]]
    assert browser.run("return document.documentElement.scrollWidth") <= width
    browser.screenshot(f"shadow-{width}-{theme}")
    browser.run(AXE)
    found = browser.driver.execute_async_script(
        "const done = arguments[arguments.length - 1];"
        "axe.run(document, { resultTypes: ['violations'] }).then((result) => done(result.violations"
        ".map((rule) => `${rule.impact}: ${rule.id}: ${rule.nodes.map((node) => node.target).slice(0, 3).join(' ')}`)))")
    assert found == []
    is_clean(browser, gate)

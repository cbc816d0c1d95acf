"""Opens pages in chromium and looks at what can be measured of them.

    python report.py FOLDER NAME=PAGE…

For each page, size and colour scheme a screenshot is put into FOLDER.
"""

import pathlib
import sys

from playwright.sync_api import sync_playwright

SIZES = {"phone": (390, 844), "desk": (1280, 900)}
# What a page needs to be read without zooming, in pixels on the screen.
SMALLEST_TEXT = 9

MEASURE = """() => ({
  width: document.documentElement.scrollWidth, screen: innerWidth,
  ground: getComputedStyle(document.body).backgroundColor,
  broken: [...document.images].filter(i => i.src && !(i.complete && i.naturalWidth)).length,
  text: Math.min(99, ...[...document.querySelectorAll('svg text:not(.tag)')].map(t => t.getBoundingClientRect().height)),
  tables: document.querySelectorAll('table').length, cases: document.querySelectorAll('.case').length,
})"""


def check(what, holds, said):
    if not holds:
        sys.exit(f"{what}: {said}")


def look(browser, folder, name, page_file, size, scheme):
    what = f"{name} {size} {scheme}"
    width, height = SIZES[size]
    phone = size == "phone"
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme, has_touch=phone, is_mobile=phone)
    page = context.new_page()
    said, asked = [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(pathlib.Path(page_file).resolve().as_uri())
    page.wait_for_function("[...document.images].every(i => !i.src || i.complete)")
    seen = page.evaluate(MEASURE)
    fetched = [url for url in asked if not url.startswith(("file:", "data:"))]
    check(what, not said, f"the console says {said}")
    check(what, not fetched, f"it fetches {fetched}")
    check(what, seen["width"] <= seen["screen"], f"it is {seen['width']} wide on a screen of {seen['screen']}")
    check(what, seen["broken"] == 0, f"{seen['broken']} pictures are broken")
    check(what, seen["tables"] >= 2, "it has no tables")
    check(what, seen["text"] >= SMALLEST_TEXT, f"text of a chart is {seen['text']:.1f} pixels high")
    page.screenshot(path=folder / f"{name}-{size}-{scheme}.png", full_page=True)
    if seen["cases"]:
        view(page, what, folder / f"{name}-{size}-{scheme}-viewer.png")
    context.close()
    return seen["ground"]


def view(page, what, shot):
    """Goes through the pictures as a reader does, and reads one group alone."""
    first = page.locator(".panels button").first
    first.scroll_into_view_if_needed()
    first.click()
    shown = page.locator("#viewer[open] img")
    check(what, shown.count() == 1, "a click opens no viewer")
    before = shown.get_attribute("src")
    page.locator("#viewer button", has_text="›").click()
    check(what, shown.get_attribute("src") != before, "the viewer does not go on")
    page.keyboard.press("ArrowLeft")
    check(what, shown.get_attribute("src") == before, "the viewer does not go back")
    page.screenshot(path=shot)
    page.locator("#viewer button", has_text="close").click()
    check(what, page.locator("#viewer[open]").count() == 0, "the viewer does not close")
    group = page.locator("#filter button").nth(1)
    group.click()
    alone = page.evaluate("[...new Set([...document.querySelectorAll('#cases .case')].filter(c => !c.hidden).map(c => c.dataset.group))]")
    check(what, alone == [group.text_content()], f"of group {group.text_content()!r} it shows {alone}")


def main():
    folder = pathlib.Path(sys.argv[1])
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        for argument in sys.argv[2:]:
            name, page_file = argument.split("=", 1)
            for size in SIZES:
                light, dark = (look(browser, folder, name, page_file, size, scheme) for scheme in ("light", "dark"))
                check(name, light != dark, f"light and dark are both {light}")
        browser.close()
    print(f"{len(sys.argv) - 2} pages, on {len(SIZES)} screens, in light and dark")


main()

"""axe-core's opinion of a page: can people who see, hear or move otherwise use it?"""

from importlib.resources import files

AXE = files("axe_playwright_python").joinpath("axe.min.js")


def serious(page) -> list[tuple[str, list]]:
    """What axe-core calls serious or critical: (rule, where) of each fault."""
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")["violations"]
    return [
        (one["id"], [node["target"] for node in one["nodes"]])
        for one in found
        if one["impact"] in ("serious", "critical")
    ]

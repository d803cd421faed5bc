"""The power planner: how many volunteers a study takes, before there is one."""

from urllib.parse import urlencode

from fastapi import APIRouter, Request
from fastapi.responses import Response

from .. import plots, stats
from .entry import Entry

# name: (default, lowest, highest, label, help)
QUESTIONS = {
    "trials": (12, 1, 120, "Main trials of each volunteer", "Pairs of the study; the paper has 12."),
    "margin": (0.65, 0.51, 0.99, "Margin", "The accuracy that the study shall exclude."),
    "true_share": (0.5, 0.3, 0.95, "True accuracy", "0.5 if the noise really cannot be perceived."),
    "power": (0.8, 0.05, 0.99, "Wanted power", "Probability that the study then excludes the margin."),
    "confidence": (0.95, 0.5, 0.999, "Confidence", "Of the one-sided upper bound."),
    "icc": (0.0, 0.0, 0.5, "Likeness within volunteers", "Intra-class correlation; 0 if everybody is alike."),
}
WHOLE = ("trials",)


def read(query) -> tuple[dict, dict, dict]:
    """(numbers, what was typed, errors by name); a number that is wrong falls back to its default."""
    numbers, typed, errors = {}, {}, {}
    for name, (default, low, high, _, _) in QUESTIONS.items():
        typed[name] = query.get(name, f"{default:g}")[:40]
        numbers[name] = default
        try:
            value = float(typed[name].replace(",", "."))
            if not low <= value <= high or (name in WHOLE and value != int(value)):
                raise ValueError
            numbers[name] = int(value) if name in WHOLE else value
        except ValueError:
            kind = "a whole number" if name in WHOLE else "a number"
            errors[name] = f"Must be {kind} from {low:g} to {high:g}."
    return numbers, typed, errors


def plan(numbers: dict) -> dict:
    return stats.planner(
        numbers["trials"],
        power=numbers["power"],
        margin=numbers["margin"],
        confidence=numbers["confidence"],
        true_share=numbers["true_share"],
        icc=numbers["icc"],
    )


def routes(context, entry: Entry) -> APIRouter:
    """Args: context: see xab.pages."""
    router = APIRouter(include_in_schema=False, prefix="/lab/planner")

    @router.get("")
    async def planner(request: Request):
        entry.cookie(request)
        numbers, typed, errors = read(request.query_params)
        answer = await context.pool(plan, numbers)
        return entry.page(
            request,
            "planner.html",
            questions=QUESTIONS,
            typed=typed,
            errors=errors,
            numbers=numbers,
            answer=answer,
            query=urlencode(numbers),
        )

    @router.get("/power.{form}")
    async def figure(request: Request, form: str):
        entry.cookie(request)
        if form not in plots.FORMATS:
            return Response(status_code=404)
        numbers, _, _ = read(request.query_params)
        theme = "dark" if request.query_params.get("theme") == "dark" else "light"

        def draw() -> bytes:
            answer = plan(numbers)
            needed = answer["needed"]["volunteers"] if answer["needed"] else None
            return plots.power_curve(answer["rows"], power=numbers["power"], needed=needed, theme=theme, form=form)

        return picture(await context.pool(draw), form)

    return router


def picture(data: bytes, form: str) -> Response:
    """A figure; an SVG's own styles are allowed inside it and nothing else is."""
    headers = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox"}
    return Response(data, media_type=plots.FORMATS[form], headers=headers)

"""What a study has found, live; what its stimuli really are; and everything as files."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from .. import export, plots, report, stats
from ..store import NotFound
from .entry import Entry
from .lab_planner import picture

# What a detector's card may leave unsaid.
FACTS = {"architecture": None, "trained_on": None, "licence": None, "sha256": None, "threshold": 0.0}
CROPS = {"face_box": "the face's box", "talknet_demo": "nose to chin"}


def routes(context, entry: Entry) -> APIRouter:
    """Args: context: see xab.pages."""
    router = APIRouter(include_in_schema=False, prefix="/lab")
    store, run = context.store, context.pool

    @router.get("/{study_id}/results")
    async def results(request: Request, study_id: str):
        entry.cookie(request)
        fingerprint = await run(store.results.fingerprint, study_id)
        found = await run(report.make_report, store, study_id)
        shown = [
            (name, title, len(found.analysis["by"][name]))
            for name, title in report.TITLES.items()
            if len(found.analysis["by"][name]) > 1
        ]
        return entry.page(
            request,
            "results.html",
            report=found,
            study=found.study,
            analysis=found.analysis,
            overall=found.analysis["overall"],
            figures=shown,
            fingerprint=fingerprint,
            paper=stats.paper_result(),
        )

    @router.get("/{study_id}/figures/{name}.{form}")
    async def figure(request: Request, study_id: str, name: str, form: str):
        entry.cookie(request)
        theme = "dark" if request.query_params.get("theme") == "dark" else "light"
        if name not in report.FIGURES or form not in plots.FORMATS:
            raise NotFound("no_figure", "there is no such figure")

        def draw() -> bytes:
            return report.figure(report.make_report(store, study_id), name, theme=theme, form=form)

        return picture(await run(draw), form)

    @router.get("/{study_id}/stimuli")
    async def stimuli(request: Request, study_id: str):
        entry.cookie(request)
        study, pairs = await run(lambda: (store.studies.get(study_id), store.studies.pairs(study_id)))
        facts = {pair.model: FACTS | pair.measures["detector"] for pair in pairs if "detector" in pair.measures}
        return entry.page(request, "stimuli.html", study=study, pairs=pairs, detectors=facts, crops=CROPS)

    @router.get("/{study_id}/export/{name}")
    async def files(request: Request, study_id: str, name: str):
        entry.cookie(request)
        if name == "all.zip":
            data, kind = await run(export.archive, store, study_id), "application/zip"
        elif name in export.FILES:
            data, kind = await run(export.one, store, study_id, name), export.kind_of(name)
        else:
            raise NotFound("no_file", "there is no such file")
        headers = {"Content-Disposition": f'attachment; filename="xab-{study_id}-{name}"'}
        return Response(data, media_type=kind, headers=headers)

    return router

"""The experimenter's pages: the way in, all studies, and one study from draft to archive."""

import csv
import io
import re

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response

from ..blinding import StimulusDamaged
from ..export import CSV
from ..files import clip_names, model_names, remove_stimuli
from ..plan import PLAIN_NAMES, paper_preset
from ..store import NotFound, Refused
from . import form
from .entry import COOKIE, Entry, NotAdmitted, fields_of, first, go, up
from .http import refusal

STATES = {
    "draft": "draft",
    "making": "making stimuli",
    "failed": "stopped",
    "ready": "ready, not started",
    "frozen": "running",
    "archived": "archived",
}


def routes(desk, entry: Entry) -> APIRouter:
    """Args: desk: see xab.pages."""
    router = APIRouter(include_in_schema=False, prefix="/lab")
    store, run = desk.store, desk.pool

    def choices() -> dict[str, list[str]]:
        return form.choices_of(clip_names(desk.settings.assets), model_names())

    def start_making(study_id: str) -> None:
        store.studies.request(study_id)
        desk.start_worker(study_id)

    # The way in and out

    @router.get("/login")
    async def login_page(request: Request):
        return entry.page(request, "login.html", wrong=False)

    @router.post("/login")
    async def login(request: Request):
        if not await entry.log_in(first(await fields_of(request), "password")):
            return entry.page(request, "login.html", status=403, wrong=True)
        response = go(request)
        response.set_cookie(
            COOKIE,
            desk.gate.cookie(),
            # The browser's own choice is the folder of the login page, whatever a proxy calls it.
            path=None,
            httponly=True,
            samesite="lax",
            secure=request.url.scheme == "https",
        )
        return response

    @router.post("/logout")
    async def logout(request: Request):
        await entry.form(request)
        response = go(request, "/login")
        response.set_cookie(COOKIE, "", max_age=0, path=None, httponly=True, samesite="lax")
        return response

    # All studies

    @router.get("")
    async def studies(request: Request):
        entry.cookie(request)

        def gather() -> list[dict]:
            rows = []
            for study in store.studies.all():
                people = store.links.people(study.id)
                done = sum(person["finished_at"] is not None for person in people)
                started = sum(person["consent_at"] is not None for person in people)
                rows.append({"study": study, "links": len(people), "started": started, "done": done})
            return rows

        rows = await run(gather)
        return entry.page(request, "studies.html", rows=rows, states=STATES, data=desk.settings.data, where=store.shown)

    # Design

    @router.get("/new")
    async def new(request: Request):
        entry.cookie(request)
        known = await run(choices)
        design = paper_preset()
        return _form_page(entry, request, form.typed(design), known, design=design)

    @router.post("/new")
    async def create(request: Request):
        posted = await entry.form(request)
        known = await run(choices)
        preset = first(posted, "preset") == "paper"
        return await save(request, posted, form.typed(paper_preset()) if preset else form.read(posted), known, None)

    @router.get("/{study_id}/edit")
    async def edit(request: Request, study_id: str):
        entry.cookie(request)
        study = await run(store.studies.get, study_id)
        return _form_page(
            entry, request, form.typed(study.design), await run(choices), design=study.design, study=study
        )

    @router.post("/{study_id}/edit")
    async def revise(request: Request, study_id: str):
        posted = await entry.form(request)
        study = await run(store.studies.get, study_id)
        return await save(request, posted, form.read(posted), await run(choices), study)

    async def save(request, posted, shown, known, study):
        design, errors = form.design_of(shown, known)
        if errors:
            return _form_page(entry, request, shown, known, errors=errors, study=study, status=422)
        if study is None:
            study_id = await run(store.studies.create, design)
        else:
            study_id = study.id
            await run(store.studies.revise, study_id, design)
            await run(remove_stimuli, desk.settings.data, study_id)
        if first(posted, "then") != "draft":
            await run(start_making, study_id)
        return go(request, f"/{study_id}")

    @router.post("/summary")
    async def summary(request: Request):
        posted = await entry.form(request)
        design, errors = form.design_of(form.read(posted), await run(choices))
        box = form.summary(design) if design else None
        page = entry.page(request, "summary.html", summary=box)
        return JSONResponse({"html": page.body.decode(), "errors": errors})

    # One study

    @router.get("/{study_id}")
    async def overview(request: Request, study_id: str):
        entry.cookie(request)

        def gather() -> dict:
            study = store.studies.get(study_id)
            return {
                "study": study,
                "stale": store.studies.stale(study),
                "people": store.links.people(study_id),
                "fingerprint": store.results.fingerprint(study_id),
            }

        seen = await run(gather)
        return entry.page(
            request,
            "study.html",
            **seen,
            state=STATES[seen["study"].state],
            summary=form.summary(seen["study"].design),
            address=_address(desk, request),
            log=desk.settings.data / "worker.log",
        )

    @router.get("/{study_id}/progress")
    async def progress(request: Request, study_id: str):
        entry.cookie(request)
        study = await run(store.studies.get, study_id)
        return JSONResponse({"state": study.state, "made": study.made, "of": study.to_make, "note": study.note})

    @router.get("/{study_id}/fingerprint")
    async def fingerprint(request: Request, study_id: str):
        entry.cookie(request)
        return JSONResponse({"fingerprint": await run(store.results.fingerprint, study_id)})

    @router.get("/{study_id}/links.csv")
    async def links_csv(request: Request, study_id: str):
        entry.cookie(request)
        people, study = await run(lambda: (store.links.people(study_id), store.studies.get(study_id)))
        address, trials = _address(desk, request), form.summary(study.design)["trials"]
        table = io.StringIO()
        rows = csv.writer(table)
        rows.writerow(["volunteer", "link", "state", "answered", "of"])
        for person in people:
            if person["token"]:
                link = f"{address}?t={person['token']}"
                rows.writerow([person["number"], link, person["step"], person["answered"], person["planned"] or trials])
        headers = {"Content-Disposition": f'attachment; filename="links-{study_id}.csv"'}
        return Response(table.getvalue().encode(CSV), media_type="text/csv", headers=headers)

    actions = {
        "make": lambda study_id, _posted: start_making(study_id),
        "cancel": lambda study_id, _posted: store.studies.cancel(study_id),
        "freeze": lambda study_id, _posted: store.studies.freeze(study_id),
        "archive": lambda study_id, _posted: store.studies.archive(study_id),
        "links": lambda study_id, posted: store.links.add_links(study_id, _count(first(posted, "count"))) and None,
        "open": lambda study_id, posted: store.links.set_open_link(study_id, first(posted, "on") == "yes") and None,
        "remove": lambda study_id, posted: store.links.delete_person(study_id, _count(first(posted, "volunteer"))),
    }

    @router.post("/{study_id}/preview")
    async def preview(request: Request, study_id: str):
        await entry.form(request)
        token = await run(store.links.preview_link, study_id)
        return RedirectResponse(f"{up(request)}../xab?t={token}", 303)

    @router.post("/{study_id}/delete")
    async def delete(request: Request, study_id: str):
        posted = await entry.form(request)
        study = await run(store.studies.get, study_id)
        if first(posted, "title").strip() != study.title:
            raise Refused("not_confirmed", "nothing was deleted: type the study's title to confirm")
        await run(store.studies.delete, study_id)
        await run(remove_stimuli, desk.settings.data, study_id)
        return go(request)

    @router.post("/{study_id}/{action}")
    async def act(request: Request, study_id: str, action: str):
        posted = await entry.form(request)
        if action not in actions:
            raise NotFound("no_page", "there is no such page")
        await run(actions[action], study_id, posted)
        return go(request, f"/{study_id}")

    return router


def refusals(entry: Entry):
    """The handler of everything that may go wrong below /lab."""

    async def refuse(request: Request, error: Exception) -> Response:
        if isinstance(error, NotAdmitted):
            if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
                return go(request, "/login")
            return entry.page(request, "refusal.html", status=403, message="Please log in first.", hint="login")
        told = refusal(error)
        if isinstance(error, StimulusDamaged):
            message = str(error)
        else:
            message = error.message if isinstance(error, Refused) else "the database does not answer; try again soon"
        page = entry.page(
            request, "refusal.html", status=told.status_code, message=form.sentence(message), hint="studies"
        )
        if isinstance(wait := getattr(error, "wait", None), int):
            page.headers["retry-after"] = str(wait)
        return page

    return refuse


def _form_page(entry, request, shown, known, *, design=None, study=None, errors=None, status=200):
    design = design or form.design_of(shown, known)[0]
    return entry.page(
        request,
        "design.html",
        status=status,
        groups=form.GROUPS,
        plain=PLAIN_NAMES,
        choices=known,
        shown=shown,
        errors=errors or {},
        study=study,
        summary=form.summary(design) if design else None,
    )


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 9):
        raise Refused("bad_count", "a whole number is missing")
    return int(text)


def _address(desk, request: Request) -> str:
    """Where volunteers find the test."""
    if desk.settings.public_url:
        return desk.settings.public_url.rstrip("/") + "/xab"
    root, prefix = request.scope.get("root_path", ""), request.headers.get("x-forwarded-prefix", "").rstrip("/")
    if re.fullmatch(r"(/[\w.~-]+)+", prefix, re.ASCII) and not root.startswith(f"{prefix}/"):
        root = prefix + root
    return f"{request.url.scheme}://{request.url.netloc}{root}"

"""The experimenter's pages: the way in, all studies, and one study from draft to archive."""

import csv
import io
import re

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response

from ..blinding import StimulusDamaged
from ..export import CSV
from ..files import clip_names, model_names, remove_stimuli
from ..plan import SHOWN_NAMES, Design, paper_preset
from ..settings import BROWSER_SECONDS
from ..store import NotFound, Refused, Study
from . import form
from .entry import BROWSER_COOKIE, COOKIE, Entry, NotAdmitted, fields_of, first, go, up
from .http import refusal

STATES = {
    "draft": "draft",
    "making": "making stimuli",
    "failed": "stopped",
    "ready": "ready, not started",
    "frozen": "running",
    "archived": "archived",
}


def routes(context, entry: Entry) -> APIRouter:
    """Args: context: see xab.pages."""
    router = APIRouter(include_in_schema=False, prefix="/lab")
    login, studies, designs, study = (
        Login(context, entry),
        Studies(context, entry),
        Designs(context, entry),
        OneStudy(context, entry),
    )
    for path, get, post in (
        ("/login", login.page, login.enter),
        ("/logout", None, login.leave),
        ("", studies.page, None),
        ("/new", designs.new, designs.create),
        ("/{study_id}/edit", designs.edit, designs.revise),
        ("/summary", None, designs.summary),
        ("/{study_id}", study.page, None),
        ("/{study_id}/progress", study.progress, None),
        ("/{study_id}/fingerprint", study.fingerprint, None),
        ("/{study_id}/links.csv", study.links, None),
        ("/{study_id}/preview", None, study.preview),
        ("/{study_id}/delete", None, study.delete),
        # Last: it would take the addresses above.
        ("/{study_id}/{action}", None, study.act),
    ):
        if get:
            router.add_api_route(path, get, methods=["GET"])
        if post:
            router.add_api_route(path, post, methods=["POST"])
    return router


class Login:
    """The way in and out."""

    def __init__(self, context, entry: Entry):
        self._context, self._entry = context, entry

    async def page(self, request: Request):
        return self._entry.page(request, "login.html", wrong=False)

    async def enter(self, request: Request):
        if not await self._entry.log_in(request, first(await fields_of(request), "password")):
            return self._entry.page(request, "login.html", status=403, wrong=True)
        response, gate = go(request), self._context.gate
        for name, value, seconds in (
            (COOKIE, gate.cookie(), None),
            # Opens nothing: others' wrong passwords do not lock this browser out.
            (BROWSER_COOKIE, gate.browser_cookie(), BROWSER_SECONDS),
        ):
            response.set_cookie(
                name,
                value,
                max_age=seconds,
                # The browser's own choice is the folder of the login page, whatever a proxy calls it.
                path=None,
                httponly=True,
                samesite="lax",
                secure=request.url.scheme == "https",
            )
        return response

    async def leave(self, request: Request):
        await self._entry.form(request)
        self._context.gate.end(self._entry.cookie(request))
        response = go(request, "/login")
        response.set_cookie(COOKIE, "", max_age=0, path=None, httponly=True, samesite="lax")
        return response


class Studies:
    """The list of all studies."""

    def __init__(self, context, entry: Entry):
        self._context, self._entry = context, entry

    async def page(self, request: Request):
        self._entry.cookie(request)
        rows = await self._context.pool(self._progress)
        return self._entry.page(
            request,
            "studies.html",
            rows=rows,
            states=STATES,
            data=self._context.settings.data,
            where=self._context.store.shown,
        )

    def _progress(self) -> list[dict]:
        rows, store = [], self._context.store
        for study in store.studies.all():
            people = store.links.people(study.id)
            done = sum(person["finished_at"] is not None for person in people)
            started = sum(person["consent_at"] is not None for person in people)
            rows.append({"study": study, "links": len(people), "started": started, "done": done})
        return rows


class Designs:
    """The form: a new study, and the design of one that nobody has started."""

    def __init__(self, context, entry: Entry):
        self._context, self._entry, self._run = context, entry, context.pool

    async def new(self, request: Request):
        self._entry.cookie(request)
        design = paper_preset()
        return self._page(request, form.typed(design), await self._choices(), design=design)

    async def create(self, request: Request):
        posted = await self._entry.form(request)
        preset = first(posted, "preset") == "paper"
        return await self._save(request, posted, form.typed(paper_preset()) if preset else form.read(posted), None)

    async def edit(self, request: Request, study_id: str):
        self._entry.cookie(request)
        study = await self._run(self._context.store.studies.get, study_id)
        design = study.design
        return self._page(request, form.typed(design), await self._choices(), design=design, study=study)

    async def revise(self, request: Request, study_id: str):
        posted = await self._entry.form(request)
        study = await self._run(self._context.store.studies.get, study_id)
        return await self._save(request, posted, form.read(posted), study)

    async def summary(self, request: Request):
        posted = await self._entry.form(request)
        design, errors = form.design_of(form.read(posted), await self._choices())
        box = form.summary(design) if design else None
        page = self._entry.page(request, "summary.html", summary=box)
        return JSONResponse({"html": page.body.decode(), "errors": errors})

    async def _save(self, request: Request, posted, shown, study: Study | None):
        known = await self._choices()
        design, errors = form.design_of(shown, known)
        if errors:
            return self._page(request, shown, known, errors=errors, study=study, status=422)
        store = self._context.store
        if study is None:
            study_id = await self._run(store.studies.create, design)
        else:
            study_id = study.id
            await self._run(store.studies.revise, study_id, design)
            await self._run(remove_stimuli, self._context.settings.data, study_id)
        if first(posted, "then") != "draft":
            await self._run(start_making, self._context, study_id)
        return go(request, f"/{study_id}")

    async def _choices(self) -> dict[str, list[str]]:
        def look() -> dict[str, list[str]]:
            try:
                return form.choices_of(clip_names(self._context.settings.assets), model_names())
            except ValueError as error:
                raise Refused("no_detectors", str(error)) from error

        return await self._run(look)

    def _page(
        self, request: Request, shown, known, *, design: Design | None = None, study=None, errors=None, status=200
    ):
        design = design or form.design_of(shown, known)[0]
        return self._entry.page(
            request,
            "design.html",
            status=status,
            groups=form.GROUPS,
            names=SHOWN_NAMES,
            choices=known,
            ways=form.WAYS,
            ways_help=form.WAYS_HELP,
            shown=shown,
            errors=errors or {},
            study=study,
            summary=form.summary(design) if design else None,
        )


class OneStudy:
    """A study's own page, and what can be done with it there."""

    def __init__(self, context, entry: Entry):
        self._context, self._entry, self._run = context, entry, context.pool
        store = context.store
        self._actions = {
            "make": lambda study_id, _posted: start_making(context, study_id),
            "cancel": lambda study_id, _posted: store.studies.cancel(study_id),
            "freeze": lambda study_id, _posted: store.studies.freeze(study_id),
            "archive": lambda study_id, _posted: store.studies.archive(study_id),
            "links": lambda study_id, posted: store.links.add_links(study_id, _count(first(posted, "count"))),
            "open": lambda study_id, posted: store.links.set_open_link(study_id, first(posted, "on") == "yes"),
            "remove": lambda study_id, posted: store.links.delete_person(study_id, _count(first(posted, "volunteer"))),
        }

    async def page(self, request: Request, study_id: str):
        self._entry.cookie(request)
        seen = await self._run(self._seen, study_id)
        return self._entry.page(
            request,
            "study.html",
            **seen,
            state=STATES[seen["study"].state],
            summary=form.summary(seen["study"].design),
            address=_address(self._context, request),
            log=self._context.settings.data / "worker.log",
        )

    def _seen(self, study_id: str) -> dict:
        store = self._context.store
        study = store.studies.get(study_id)
        return {
            "study": study,
            "stale": store.studies.stale(study),
            "people": store.links.people(study_id),
            "fingerprint": store.results.fingerprint(study_id),
        }

    async def progress(self, request: Request, study_id: str):
        self._entry.cookie(request)
        study = await self._run(self._context.store.studies.get, study_id)
        return JSONResponse({"state": study.state, "made": study.made, "of": study.to_make, "note": study.note})

    async def fingerprint(self, request: Request, study_id: str):
        self._entry.cookie(request)
        return JSONResponse({"fingerprint": await self._run(self._context.store.results.fingerprint, study_id)})

    async def links(self, request: Request, study_id: str):
        """All links as CSV."""
        self._entry.cookie(request)
        store = self._context.store
        people, study = await self._run(lambda: (store.links.people(study_id), store.studies.get(study_id)))
        address, trials = _address(self._context, request), form.summary(study.design)["trials"]
        table = io.StringIO()
        rows = csv.writer(table)
        rows.writerow(["volunteer", "link", "state", "answered", "of"])
        for person in people:
            if person["token"]:
                link = f"{address}?t={person['token']}"
                rows.writerow([person["number"], link, person["step"], person["answered"], person["planned"] or trials])
        headers = {"Content-Disposition": f'attachment; filename="links-{study_id}.csv"'}
        return Response(table.getvalue().encode(CSV), media_type="text/csv", headers=headers)

    async def preview(self, request: Request, study_id: str):
        await self._entry.form(request)
        token = await self._run(self._context.store.links.preview_link, study_id)
        return RedirectResponse(f"{up(request)}../xab?t={token}", 303)

    async def delete(self, request: Request, study_id: str):
        posted = await self._entry.form(request)
        study = await self._run(self._context.store.studies.get, study_id)
        if first(posted, "title").strip() != study.title:
            raise Refused("not_confirmed", "nothing was deleted: type the study's title to confirm")
        await self._run(self._context.store.studies.delete, study_id)
        await self._run(remove_stimuli, self._context.settings.data, study_id)
        return go(request)

    async def act(self, request: Request, study_id: str, action: str):
        posted = await self._entry.form(request)
        if action not in self._actions:
            raise NotFound("no_page", "there is no such page")
        await self._run(self._actions[action], study_id, posted)
        return go(request, f"/{study_id}")


def start_making(context, study_id: str) -> None:
    """Have the stimuli of a study made by a process of its own."""
    context.store.studies.request(study_id)
    context.start_worker(study_id)


def refusals(entry: Entry):
    """The handler of everything that may go wrong below /lab."""

    async def refuse(request: Request, error: Exception) -> Response:
        if isinstance(error, NotAdmitted):
            if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
                return go(request, "/login")
            return entry.page(request, "refusal.html", status=403, message="Please log in first.", back="login")
        told = refusal(error)
        if isinstance(error, StimulusDamaged):
            message = str(error)
        else:
            message = error.message if isinstance(error, Refused) else "the database does not answer; try again soon"
        page = entry.page(
            request, "refusal.html", status=told.status_code, message=form.sentence(message), back="studies"
        )
        if isinstance(wait := getattr(error, "wait", None), int):
            page.headers["retry-after"] = str(wait)
        return page

    return refuse


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 9):
        raise Refused("bad_count", "a whole number is missing")
    return int(text)


def _address(context, request: Request) -> str:
    """Where volunteers find the test."""
    if context.settings.public_url:
        return context.settings.public_url.rstrip("/") + "/xab"
    root, prefix = request.scope.get("root_path", ""), request.headers.get("x-forwarded-prefix", "").rstrip("/")
    if re.fullmatch(r"(/[\w.~-]+)+", prefix, re.ASCII) and not root.startswith(f"{prefix}/"):
        root = prefix + root
    return f"{request.url.scheme}://{request.url.netloc}{root}"

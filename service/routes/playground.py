"""GET /: the page that shows how samples form. Its files are as they are in service/playground/: nothing is built."""

import json
import os
from pathlib import Path

from fastapi import APIRouter, Response
from fastapi.staticfiles import StaticFiles
from starlette.routing import Mount
from starlette.staticfiles import PathLike
from starlette.types import Receive, Scope, Send

from service.http.security_headers import framed_by
from service.http.whole_files import NO_RANGES, WholeFile, without_range
from service.state import AppState

FOLDER = Path(__file__).parent.parent / "playground"
LANGUAGES = sorted(path.stem.removeprefix("words-") for path in FOLDER.glob("words-*.js"))  # that the page speaks
UNKEPT = {"Cache-Control": "no-cache"}  # asked for again each time: after an update no old module meets a new one


class _Files(StaticFiles):
    def file_response(
        self, full_path: PathLike, stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        answer = super().file_response(full_path, stat_result, scope, status_code)
        answer.headers.update(UNKEPT | NO_RANGES)
        return answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await super().__call__(without_range(scope), receive, send)


router = APIRouter(include_in_schema=False)


@router.get("/playground/languages.js")
async def languages_module() -> Response:
    """The one module that is no file: a browser cannot list a folder."""
    module = f"export const LANGUAGES = {json.dumps(LANGUAGES)};\n"
    return Response(module, media_type="text/javascript", headers=UNKEPT)


router.routes.append(Mount("/playground", _Files(directory=FOLDER)))


@router.get("/")
async def page(state: AppState) -> Response:
    policy = {"Content-Security-Policy": framed_by(state.embed_origins)}
    return WholeFile(FOLDER / "index.html", headers=UNKEPT | policy)

"""GET /: the page that shows how samples form. Its files are as they are in service/playground/: nothing is built."""

from pathlib import Path

from fastapi import APIRouter, Response
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from starlette.routing import Mount

FOLDER = Path(__file__).parent.parent / "playground"
UNKEPT = {"Cache-Control": "no-cache"}  # asked for again each time: after an update no old module meets a new one


class _Files(StaticFiles):
    def file_response(self, *args, **kwargs) -> Response:
        answer = super().file_response(*args, **kwargs)
        answer.headers.update(UNKEPT)
        return answer


router = APIRouter(include_in_schema=False)
router.routes.append(Mount("/playground", _Files(directory=FOLDER)))


@router.api_route("/", methods=["GET", "HEAD"])
async def page() -> Response:
    return FileResponse(FOLDER / "index.html", headers=UNKEPT)

"""GET /docs: the contract as a page, by Swagger UI. All of it is served from here: it works without the internet, and
nobody else's server is told who reads it."""

from importlib.resources import files
from pathlib import Path

from fastapi import APIRouter, Response
from fastapi.responses import HTMLResponse

from service.http.security_headers import CONTENT_SECURITY_POLICY
from service.http.whole_files import WholeFile

SWAGGER_UI = Path(str(files("fastapi_offline"))) / "static"
PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Spirale: the HTTP contract</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="docs/swagger-ui.css">
<div id="contract"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</html>
"""
START = """SwaggerUIBundle({ url: "openapi.json", dom_id: "#contract", deepLinking: true });
"""
# Swagger UI writes styles into its elements.
POLICY = CONTENT_SECURITY_POLICY.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'")

router = APIRouter(prefix="/docs", include_in_schema=False)


@router.get("")
async def page() -> Response:
    return HTMLResponse(PAGE, headers={"Content-Security-Policy": POLICY})


@router.get("/start.js")
async def start() -> Response:
    return Response(START, media_type="text/javascript")


@router.get("/swagger-ui.css")
async def styles() -> Response:
    return WholeFile(SWAGGER_UI / "swagger-ui.css", media_type="text/css")


@router.get("/swagger-ui-bundle.js")
async def script() -> Response:
    return WholeFile(SWAGGER_UI / "swagger-ui-bundle.js", media_type="text/javascript")

"""The pages beside the API: a fixed set of files, read when the server starts, and a strict policy for browsers."""

from importlib import resources

from fastapi import FastAPI, Response

from seqloom.serve.refusal import Refusal

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
}
# Scripts and styles are files of ours, never text within a page; nothing comes from, goes to or shows in other sites.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"  # a script of ours that made HTML of a text would fail
)
# A report is a file of whoever gave the model: it is shown apart from us, runs nothing, loads nothing.
REPORT_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'"


def page_files() -> dict[str, bytes]:
    """The files of the page by their names."""
    folder = resources.files("seqloom.serve") / "page"
    found = sorted(folder.iterdir(), key=lambda each: each.name)
    return {each.name: each.read_bytes() for each in found if suffix(each.name) in TYPES}


def suffix(name: str) -> str:
    """ ".js" of "app.js"."""
    return "." + name.rpartition(".")[2]


def add_pages(app: FastAPI) -> None:
    """`/` and `/docs`, and what they load from `/page/`."""
    files = page_files()

    def file(name: str) -> Response:
        if name not in files:
            raise Refusal(404, "no_such_page", "there is nothing here")
        headers = {"content-security-policy": POLICY, "cache-control": "no-cache"}
        return Response(files[name], media_type=TYPES[suffix(name)], headers=headers)

    @app.get("/", include_in_schema=False)
    async def index() -> Response:
        return file("index.html")

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return file("docs.html")

    @app.get("/page/{name}", include_in_schema=False)
    async def page(name: str) -> Response:
        return file(name)

"""The HTTP API: each route reads what it was asked, lets a lane compute it, and says what came of it."""

import functools
from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from seqloom import __version__
from seqloom.errors import SeqloomError
from seqloom.inference import suggesting
from seqloom.serve import computing, metrics, streams
from seqloom.serve.guard import Call, Guard
from seqloom.serve.hosted import find
from seqloom.serve.pages import REPORT_POLICY, add_pages
from seqloom.serve.refusal import Refusal, a_bug, answer, of_validation
from seqloom.serve.replies import check_size, of_ours, told
from seqloom.serve.requests import LookBody, PredictBody, strict_route
from seqloom.serve.service import Service


def build(service: Service) -> ASGIApp:
    """The application of a service, behind its guard."""
    app = FastAPI(
        title="seqloom",
        version=__version__,
        description="Trained recurrent models: predictions, texts, what was seen, and texts read as they arrive.",
        docs_url=None,  # FastAPI's own pages load scripts from elsewhere; ours is page/docs.html
        redoc_url=None,
        redirect_slashes=False,
    )
    app.router.route_class = strict_route(service.limits.json_values)
    app.state.service = service
    _add_errors(app)
    _add_health(app, service)
    _add_models(app, service)
    _add_answers(app, service)
    streams.add_generate(app, service)
    streams.add_sessions(app, service)
    add_pages(app)
    return Guard(app, service)


def _add_errors(app: FastAPI) -> None:
    async def refused(request: Request, error: Exception) -> Response:
        call: Call = request.scope["seqloom"]
        if isinstance(error, RequestValidationError):
            refusal = of_validation(list(error.errors()))
        elif isinstance(error, Refusal):
            refusal = error
        elif isinstance(error, HTTPException):
            code = {404: "no_such_page", 405: "wrong_method"}.get(error.status_code, "refused")
            refusal = Refusal(
                error.status_code, code, "there is nothing here, or not for this method", hint="see /docs"
            )
        elif isinstance(error, SeqloomError):
            refusal = of_ours(error)
        else:
            return answer(a_bug(), call.id)  # which the guard notes and counts: it gets the error too
        request.app.state.service.metrics.errors.labels(refusal.code).inc()
        return answer(refusal, call.id)

    for kind in (RequestValidationError, HTTPException, SeqloomError, Exception):
        app.add_exception_handler(kind, refused)


def _add_health(app: FastAPI, service: Service) -> None:
    @app.get("/health/live", tags=["health"], summary="Whether the server runs")
    @app.get("/health", include_in_schema=False)
    @app.get("/healthz", include_in_schema=False)
    async def live() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/health/ready", tags=["health"], summary="Whether a new request will be answered")
    @app.get("/readyz", include_in_schema=False)
    async def ready() -> JSONResponse:
        if service.ready():
            return JSONResponse({"status": "ok"})
        return JSONResponse({"status": "draining" if service.draining else "stuck"}, status_code=503)

    @app.get("/metrics", tags=["health"], summary="Counters, as Prometheus reads them")
    async def measure() -> Response:
        return Response(service.measure(), media_type=metrics.CONTENT_TYPE)


def _add_models(app: FastAPI, service: Service) -> None:
    @app.get("/v1/models", tags=["models"], summary="The models, and what each can")
    async def models() -> dict[str, Any]:
        return {"models": [model.card() for model in service.models.values()]}

    @app.get("/v1/models/{name}", tags=["models"], summary="One model")
    async def model(name: str) -> dict[str, Any]:
        return find(service.models, name).card()

    @app.get("/v1/models/{name}/report", tags=["models"], summary="The page that its training left")
    async def report(name: str) -> Response:
        found = find(service.models, name).report
        if found is None:
            raise Refusal(404, "no_report", "the folder of this model has no report", hint="seqloom report MODEL")
        headers = {"content-security-policy": REPORT_POLICY}
        return Response(found, media_type="text/html; charset=utf-8", headers=headers)


def _add_answers(app: FastAPI, service: Service) -> None:
    limits = service.limits

    @app.post("/v1/predict", tags=["answers"], summary="One answer for each input, in order")
    async def predict(request: Request, body: PredictBody) -> JSONResponse:
        model = find(service.models, body.model)
        if len(body.inputs) > limits.inputs:
            raise _too_many(len(body.inputs), limits.inputs)
        for place, given in enumerate(body.inputs):
            check_size(given, limits.characters, field=f"inputs[{place}]")
        bundle = model.bundle if body.suggest is None else suggesting(model.bundle, body.suggest)
        compute = functools.partial(computing.predict, bundle, longest=limits.tokens, suggest=body.suggest)
        # What is drawn hangs on the place of an input among those of its own request.
        key = ("predict", model.name, body.suggest, object() if model.draws else None)
        lane = service.slow if model.writes else service.quick
        ran = await lane.run(key, compute, body.inputs)
        answers = ran.results if body.top_k is None else [_cut(each, body.top_k) for each in ran.results]
        return told(request, model, ran, {"predictions": answers})

    @app.post("/v1/look", tags=["answers"], summary="What the model saw in one input")
    async def look(request: Request, body: LookBody) -> JSONResponse:
        model = find(service.models, body.model)
        check_size(body.input, limits.characters, field="input")
        if model.cannot_look is not None:
            raise Refusal(409, "not_available", model.cannot_look, field="model")

        def compute(rows: Sequence[Any]) -> list[Any]:
            return [computing.look(model.bundle, row, longest=limits.tokens) for row in rows]

        ran = await service.slow.run(("look", model.name), compute, [body.input])
        return told(request, model, ran, {"seen": ran.results[0]})


def _too_many(given: int, most: int) -> Refusal:
    message = f"{given:,} inputs, at most {most:,} at once"
    return Refusal(422, "too_many_inputs", message, field="inputs", hint="send several requests")


def _cut(answer: dict[str, Any], count: int) -> dict[str, Any]:
    """An answer with the likeliest labels only, the likeliest first."""
    if "probabilities" not in answer:
        return answer
    likeliest = sorted(answer["probabilities"].items(), key=lambda each: -each[1])[:count]
    return {**answer, "probabilities": dict(likeliest)}

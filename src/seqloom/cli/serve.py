"""seqloom serve: trained models over HTTP, with a page to try them."""

import sys
from pathlib import Path
from typing import Annotated

import typer


def command(
    models: Annotated[
        list[str] | None, typer.Argument(help="folders of trained models, each also as NAME=FOLDER", metavar="MODEL...")
    ] = None,
    host: Annotated[str, typer.Option(help="address to listen on; others than loopback need a token")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="port to listen on; 0 for any free one")] = 8000,
    token_file: Annotated[Path | None, typer.Option(help="file of tokens that let a client in, one a line")] = None,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="another name that the server is called by; repeatable")
    ] = None,
    state_key_file: Annotated[
        Path | None, typer.Option(help="file with the key of states that clients keep; a new one where not given")
    ] = None,
    limit: Annotated[list[str] | None, typer.Option(help="one limit, as name=number; repeatable")] = None,
    print_limits: Annotated[bool, typer.Option("--print-limits", help="print every limit, and serve nothing")] = False,
    threads: Annotated[int, typer.Option(min=1, help="threads of one computation")] = 1,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="listen on any address without a token: something else keeps watch")
    ] = False,
) -> None:
    """Answer over HTTP with each MODEL: /v1/predict, /v1/generate, /v1/look, texts as they arrive, and a page."""
    from seqloom.errors import ConfigError, import_extra

    for package in ("fastapi", "uvicorn", "prometheus_client"):
        import_extra(package, extra="serve", purpose="seqloom serve")
    import torch

    from seqloom.serve import Address, Service, serve
    from seqloom.serve import host as load
    from seqloom.serve.limits import limits_of
    from seqloom.serve.service import read_key, read_tokens

    limits = limits_of(limit or ())
    if print_limits:
        for name, field in type(limits).model_fields.items():
            print(f"{name:<16} {getattr(limits, name):>12,}  {field.description}")
        return
    if not models:
        raise ConfigError("give the folder of a trained MODEL, or several.")
    address = Address(host, port, tuple(allow_host or ()), read_tokens(token_file))
    address.check(insecure=insecure)
    torch.set_num_threads(threads)
    service = Service(load(models), limits=limits, address=address, key=read_key(state_key_file))
    names = ", ".join(f"{model.name} ({model.bundle.targets.task})" for model in service.models.values())
    serve(service, ready=lambda url: print(f"serving {names} at {url}", file=sys.stderr, flush=True))

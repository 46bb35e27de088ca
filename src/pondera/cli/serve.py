"""`pondera serve`: a model behind HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pondera.cli.options import DeviceOption, ModelOption, quiet_loading, require


def serve(
    model: ModelOption = "nano",
    host: Annotated[str, typer.Option(help="Address to listen at; 0.0.0.0 is every network.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8000,
    name: Annotated[
        str | None, typer.Option(help="The model's name for clients.", show_default="the last part of --model")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Requests computed side by side.")] = 16,
    waiting: Annotated[int, typer.Option(min=1, help="Requests that may wait; more are sent away (429).")] = 256,
    waiting_mb: Annotated[
        float, typer.Option(min=0.001, help="What requests that wait may hold, in MB; more are sent away (429).")
    ] = 512,
    max_body_mb: Annotated[float, typer.Option(min=0.001, help="Longest request, in MB.")] = 32,
    max_pixels: Annotated[int, typer.Option(min=1, help="Largest image.")] = 50_000_000,
    allow_urls: Annotated[
        bool,
        typer.Option(
            "--allow-urls", help="Fetch images from addresses in requests: only where all clients are trusted."
        ),
    ] = False,
    device: DeviceOption = None,
) -> None:
    """Serve a model to chat clients: /v1/chat/completions with images, /v1/models and /v1/score.

    The protocol is OpenAI's, so that the model can be a teacher, a judge, or the subject of other evaluation kits.
    There is no authentication: whoever can reach the address can use it.
    """
    require("serve", "fastapi", "uvicorn")
    import uvicorn

    from pondera.assess import load  # loads torch
    from pondera.serve import Limits, create_app

    quiet_loading()
    limits = Limits(
        body_bytes=int(max_body_mb * 1e6),
        image_pixels=max_pixels,
        waiting=waiting,
        waiting_bytes=int(waiting_mb * 1e6),
        batch_size=batch_size,
        allow_urls=allow_urls,
    )
    shown = name or Path(model).name or model
    app = create_app(load(model, device=device), shown, limits)
    config = uvicorn.Config(app, host=host, port=port, log_level="warning", timeout_graceful_shutdown=5)
    server = uvicorn.Server(config)
    socket = config.bind_socket()  # before the message: a port that is taken must not be announced
    typer.echo(f"serving {shown} at http://{host}:{socket.getsockname()[1]}/v1 (end with Ctrl-C)", err=True)
    server.run(sockets=[socket])

"""The OpenAPI description of the routes, with examples."""

from fastapi import FastAPI


def describe(app: FastAPI, max_offset: int) -> None: ...

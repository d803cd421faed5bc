"""The experimenter's results."""

from fastapi import APIRouter


def routes(desk) -> APIRouter:
    return APIRouter(include_in_schema=False)

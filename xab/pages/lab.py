"""The experimenter's side."""

from fastapi import APIRouter

from .http import refusal


def routes(desk) -> APIRouter:
    return APIRouter(include_in_schema=False)


def refusal_page(request, error):
    return refusal(error)

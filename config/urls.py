"""Where HTTP requests lead."""

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import include, path

from progrock.access import ensure_owner


def page(request: HttpRequest) -> HttpResponse:
    """The page with the button."""
    ensure_owner(request)
    return render(request, "rock/index.html")


urlpatterns = [
    path("", page, name="rock"),
    path("prog/", include("progrock.urls")),
    path("admin/", admin.site.urls),
]

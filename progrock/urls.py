"""Where HTTP requests lead: include this at the path of the websocket, `path("prog/", include("progrock.urls"))`."""

from django.urls import path

from . import views

app_name = "progrock"
urlpatterns = [
    path("jobs/<uuid:job>/file", views.file, name="file"),
    path("hooks/<str:service>/", views.hook, name="hook"),
    path("hooks/<str:service>/<uuid:job>/", views.hook, name="job_hook"),
]

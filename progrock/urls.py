"""Where HTTP requests lead: include this at the path of the websocket, `path("prog/", include("progrock.urls"))`."""

from django.urls import path

from . import views
from .fragments import shown
from .http.jobs import all_jobs, cancel_job, one_job, result_of_job, retry_job
from .http.openapi import description
from .http.report import report_of_job, tracked
from .http.shared import share_of_job, shared_job
from .http.stream import one_stream
from .http.tickets import new_ticket
from .http.updates import all_updates

app_name = "progrock"
urlpatterns = [
    path("jobs/", all_jobs, name="jobs"),
    path("jobs/<str:job>/", one_job, name="job"),
    path("jobs/<str:job>/cancel", cancel_job, name="cancel"),
    path("jobs/<str:job>/retry", retry_job, name="retry"),
    path("jobs/<str:job>/share", share_of_job, name="share"),
    path("shared/<str:token>/", shared_job, name="shared"),
    path("jobs/<str:job>/result", result_of_job, name="result"),
    path("jobs/<uuid:job>/file", views.file, name="file"),
    path("jobs/<str:job>/report", report_of_job, name="report"),
    path("jobs/<str:job>/stream", one_stream, name="stream"),
    path("jobs/<str:job>/fragments", shown, name="fragments"),
    path("tickets/", new_ticket, name="tickets"),
    path("tracked/", tracked, name="tracked"),
    path("updates", all_updates, name="updates"),
    path("openapi.json", description, name="openapi"),
    path("hooks/<str:service>/", views.hook, name="hook"),
    path("hooks/<str:service>/<uuid:job>/", views.hook, name="job_hook"),
]

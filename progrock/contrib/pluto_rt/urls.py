"""Where the templates of pluto-rt find a queue: `path("rt_messages/", include("progrock.contrib.pluto_rt.urls"))`."""

from django.urls import path

from . import signed, views

signed.register()

app_name = "pluto_rt"
urlpatterns = [
    path("sse/<pluto_rt_queue:queue_name>/<pluto_rt_template:item_template>", views.sse, name="sse"),
    path("polling/<pluto_rt_queue:queue_name>/<pluto_rt_template:item_template>", views.polling, name="polling"),
]

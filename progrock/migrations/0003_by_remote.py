"""The way from a service's name for a job to its row, for those who call us back."""

from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [("progrock", "0002_lives")]

    operations = [
        migrations.AddIndex(
            model_name="job",
            index=models.Index(
                fields=["service", "remote"],
                name="progrock_job_remote",
                condition=Q(finished__isnull=True) & ~Q(remote=""),
            ),
        ),
    ]

"""How many lines the journal of a job has had."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("progrock", "0004_deliveries")]

    operations = [
        migrations.AddField(
            model_name="job",
            name="lines",
            field=models.PositiveIntegerField(db_default=0, default=0),
        ),
    ]

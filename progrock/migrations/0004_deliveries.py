"""Who is told of a job's end."""

import uuid

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("progrock", "0003_by_remote"),
    ]

    operations = [
        migrations.AddField(
            model_name="job",
            name="tell",
            field=models.JSONField(blank=True, null=True),
        ),
        migrations.CreateModel(
            name="Delivery",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                (
                    "kind",
                    models.CharField(
                        choices=[("webhook", "Webhook"), ("email", "Email"), ("call", "Call")], max_length=10
                    ),
                ),
                ("target", models.CharField(max_length=500)),
                (
                    "state",
                    models.CharField(
                        choices=[("pending", "Pending"), ("sent", "Sent"), ("failed", "Failed")],
                        default="pending",
                        max_length=10,
                    ),
                ),
                ("tries", models.PositiveIntegerField(default=0)),
                ("error", models.CharField(blank=True, max_length=200)),
                ("created", models.DateTimeField()),
                ("until", models.DateTimeField()),
                ("sent", models.DateTimeField(blank=True, null=True)),
                (
                    "job",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="deliveries", to="progrock.job"
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "deliveries",
                "ordering": ["-created"],
                "indexes": [
                    models.Index(
                        condition=models.Q(("state", "pending")), fields=["id"], name="progrock_delivery_pending"
                    )
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("state__in", ["pending", "sent", "failed"])), name="progrock_delivery_state"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("kind__in", ["webhook", "email", "call"])), name="progrock_delivery_kind"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("error", ""), ("sent__isnull", False), ("state", "sent")),
                            models.Q(models.Q(("state", "sent"), _negated=True), ("sent__isnull", True)),
                            _connector="OR",
                        ),
                        name="progrock_delivery_sent",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("state", "failed"), _negated=True),
                            models.Q(("error", ""), _negated=True),
                            _connector="OR",
                        ),
                        name="progrock_delivery_error",
                    ),
                ],
            },
        ),
    ]

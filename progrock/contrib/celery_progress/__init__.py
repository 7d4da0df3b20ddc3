"""The interface of celery-progress 0.5, for projects that come from there: recorder, URLs and JSON, read from jobs."""

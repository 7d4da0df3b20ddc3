"""The same for pages with celery-progress' `websockets.js`."""

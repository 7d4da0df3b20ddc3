"""Jobs over plain HTTP: docs/reference/http.md, route by route."""

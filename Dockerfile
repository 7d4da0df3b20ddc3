# One image for every role; the command chooses: see docker-compose.yml and deploy/kubernetes/.
# To pin it: --build-arg PYTHON_IMAGE=python:3.12-slim@sha256:...
ARG PYTHON_IMAGE=python:3.12-slim

FROM ${PYTHON_IMAGE} AS build
# What is compiled is valid by its source's hash and not its time, so that the same lock file makes the same files.
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONHASHSEED=0
RUN python -m venv --without-pip /opt/venv
COPY requirements/run.txt /tmp/
RUN pip --python /opt/venv/bin/python install --no-cache-dir --disable-pip-version-check --no-compile \
        --require-hashes --only-binary :all: -r /tmp/run.txt \
    && python -m compileall -q --invalidation-mode unchecked-hash /opt/venv/lib
COPY . /app
# What a new volume has for an owner is that of the folder that it covers.
RUN python -m compileall -q --invalidation-mode unchecked-hash /app \
    && install -d -o 1000 -g 1000 -m 0750 /made/var/lib/progrock /made/etc/progrock

FROM ${PYTHON_IMAGE}
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 VAR_DIR=/var/lib/progrock
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app
COPY --from=build --chown=1000:1000 /made/ /
WORKDIR /app
USER 1000:1000
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["python", "-m", "config.probe", "8000/healthz"]
# Without its own log of requests: tokens may be in their URLs.
CMD ["daphne", "-v", "0", "-b", "0.0.0.0", "-p", "8000", "config.asgi:application"]

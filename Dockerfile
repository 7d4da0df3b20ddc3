# One image for every role; the command chooses: see docker-compose.yml.
FROM python:3.12-slim AS build
RUN python -m venv /opt/venv
COPY requirements/run.txt /tmp/
RUN /opt/venv/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r /tmp/run.txt

FROM python:3.12-slim
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 VAR_DIR=/var/lib/progrock
# A new volume takes its owner from the folder that it covers.
RUN useradd --system --uid 1000 --no-create-home progrock && install -d -o progrock -g progrock "$VAR_DIR"
COPY --from=build /opt/venv /opt/venv
WORKDIR /app
COPY . .
RUN python -m compileall -q .
USER 1000
EXPOSE 8000
CMD ["daphne", "-b", "0.0.0.0", "-p", "8000", "config.asgi:application"]

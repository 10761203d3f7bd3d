# syntax=docker/dockerfile:1
# The gateway is an application: the image holds the checkout, with its dependencies in a virtual environment.
# Pin the base for your own builds: `docker build --build-arg PYTHON=python:3.11-slim-bookworm@sha256:...`; the digest is
# what `docker buildx imagetools inspect python:3.11-slim-bookworm` says.
ARG PYTHON=python:3.11-slim-bookworm

FROM ${PYTHON} AS build
WORKDIR /app
RUN python -m venv /app/.venv
# Dependencies first: their layer is built again only when the lock changes. Each file has to have the hash in the lock.
COPY requirements.lock ./
RUN /app/.venv/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes --only-binary :all: \
    -r requirements.lock
COPY . .
RUN /app/.venv/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps -e .

FROM ${PYTHON}
RUN groupadd --system --gid 10001 gateway \
 && useradd --system --uid 10001 --gid gateway --home-dir /app --shell /usr/sbin/nologin gateway \
 && install -d -o gateway -g gateway -m 0700 /var/lib/gateway
COPY --from=build /app /app
WORKDIR /app
# Off loopback the gateway is never open: without a configured key it makes one at first start and shows it once.
ENV PATH=/app/.venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PYTHONMALLOC=malloc \
    GATEWAY__SERVER__HOST=0.0.0.0 \
    GATEWAY__STATE__DIR=/var/lib/gateway
USER 10001:10001
VOLUME /var/lib/gateway
EXPOSE 8100
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=6s --start-period=10s CMD ["python", "-m", "gateway", "health"]
CMD ["python", "-m", "gateway", "serve"]

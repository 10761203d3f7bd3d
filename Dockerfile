# syntax=docker/dockerfile:1
# The gateway is an application: the image holds the checkout, with its dependencies in a virtual environment.
# Pin the base for your own builds: `docker build --build-arg PYTHON=python:3.11-slim-bookworm@sha256:...`.
ARG PYTHON=python:3.11-slim-bookworm

FROM ${PYTHON} AS build
WORKDIR /app
RUN python -m venv /app/.venv
COPY pyproject.toml setup.cfg README.md ./
COPY gateway/__init__.py gateway/version.py gateway/
COPY config/ config/
COPY watermark/ watermark/
# Dependencies first: their layer is built again only when setup.cfg changes them.
RUN /app/.venv/bin/pip install --no-cache-dir --disable-pip-version-check -e .[speed,docs]
COPY . .

FROM ${PYTHON}
RUN useradd --system --uid 10001 --home-dir /app --shell /usr/sbin/nologin gateway \
 && install -d -o gateway -g gateway -m 0700 /var/lib/gateway
COPY --from=build /app /app
WORKDIR /app
# Off loopback the gateway is never open: without a configured key it makes one at first start and shows it once.
ENV PATH=/app/.venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    GATEWAY__SERVER__HOST=0.0.0.0 \
    GATEWAY__STATE__DIR=/var/lib/gateway
USER gateway
VOLUME /var/lib/gateway
EXPOSE 8100
HEALTHCHECK --interval=15s --timeout=6s --start-period=10s CMD ["python", "-m", "gateway", "health"]
CMD ["python", "-m", "gateway", "serve"]

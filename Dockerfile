# The gateway, `sale serve`, in an image. No key and no password is in it: they come from the environment when it runs.
# docs/deploy.md says how to use it, compose.yaml puts it beside PostgreSQL and Prometheus.

FROM python:3.13-slim AS build
ARG EXTRAS=server,postgres,otel,local
WORKDIR /src
COPY pyproject.toml requirements.lock README.md LICENSE ./
COPY src ./src
# The versions of the lock file, for those packages that the extras need.
RUN sed -E '/^ +--hash/d; s/ \\$//' requirements.lock > /tmp/constraints.txt \
 && python -m venv /opt/sale \
 && /opt/sale/bin/pip install --no-cache-dir --constraint /tmp/constraints.txt ".[${EXTRAS}]"

FROM python:3.13-slim
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/sale sale
COPY --from=build /opt/sale /opt/sale
ENV PATH=/opt/sale/bin:$PATH \
    SALE_CONFIG=/etc/sale/sale.toml \
    XDG_CACHE_HOME=/var/lib/sale/cache \
    XDG_DATA_HOME=/var/lib/sale/data
USER sale
WORKDIR /var/lib/sale
VOLUME /var/lib/sale
EXPOSE 8127
HEALTHCHECK --interval=30s --timeout=5s --start-period=120s \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8127/healthz', timeout=4)"]
ENTRYPOINT ["sale"]
CMD ["serve", "--host", "0.0.0.0"]

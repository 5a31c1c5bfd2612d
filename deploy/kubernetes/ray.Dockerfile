# Ray's own image with `sale` in it, for batch.yaml: KubeRay needs programs that the gateway's image does not have. Build it
# from the root of the repository: docker build --file deploy/kubernetes/ray.Dockerfile --tag …/sale-ray:0.1.0 .
FROM rayproject/ray:2.60.0-py313
WORKDIR /tmp/sale
COPY --chown=ray:users pyproject.toml requirements.lock README.md LICENSE ./
COPY --chown=ray:users src ./src
RUN sed -E '/^ +--hash/d; s/ \\$//' requirements.lock > /tmp/constraints.txt \
 && pip install --no-cache-dir --constraint /tmp/constraints.txt ".[ray,local]"
WORKDIR /home/ray
ENV SALE_CONFIG=/etc/sale/sale.toml RAY_USAGE_STATS_ENABLED=0

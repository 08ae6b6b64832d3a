# One image for every process of the site. Alone it runs the whole of it with embedded servers:
#   docker build -t tradingsite . && docker run --rm -p 127.0.0.1:8000:8000 -v tradingsite:/data tradingsite
# docker-compose.yml runs each process in a container of its own.

FROM python:3.11-slim-bookworm AS build
RUN python -m venv /venv
WORKDIR /build
COPY requirements.txt .
RUN /venv/bin/pip install --no-cache-dir --disable-pip-version-check -r requirements.txt

FROM python:3.11-slim-bookworm
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /data --shell /usr/sbin/nologin site \
    && install -d -o site -g site -m 0700 /data
COPY --from=build /venv /venv
WORKDIR /app
COPY manage.py pyproject.toml ./
COPY migrations migrations
COPY apps apps
COPY workers workers
COPY tradingsite tradingsite
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 TRADINGSITE_VAR=/data WEB_HOST=0.0.0.0 \
    ALLOWED_HOSTS=localhost,127.0.0.1,[::1],0.0.0.0
# By number: the engine and orchestrators can tell that it is not root without the image's list of users.
USER 10001
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM
CMD ["python", "manage.py", "up", "--headless"]

"""The web application, for gunicorn: `gunicorn syncservice.console.wsgi`."""

import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application

from syncservice import logs

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "syncservice.settings")

application = get_wsgi_application()
logs.set_up(settings.LOG_LEVEL, settings.LOG_FORMAT)

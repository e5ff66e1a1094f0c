"""The web application, for gunicorn: `gunicorn syncservice.console.wsgi`."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "syncservice.settings")

application = get_wsgi_application()

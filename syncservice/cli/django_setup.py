"""Django, set up when a command needs it: others start without a database."""

import os


def set_up_django() -> None:
    """Set Django up, with the logging of the other processes."""
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "syncservice.settings")
    django.setup()
    from django.conf import settings

    from syncservice import logs

    logs.set_up(settings.LOG_LEVEL, settings.LOG_FORMAT)

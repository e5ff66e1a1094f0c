from django.apps import AppConfig


class ConsoleConfig(AppConfig):
    name = "syncservice.console"
